"""Decides when a starting plugin has given its handshake line and when it is lost. No I/O, no clock, no signals.

The shell reports facts, asks for the outcome with the time of its clock, waits until ``deadline`` at the longest, and
kills the plugin's group once it is ``condemned``.
"""

from collections.abc import Callable, Collection, Sequence

from ..handshake import LINE_MAX, HandshakeRefused, Line, PluginFault, PluginLost, StartTimeout

SETTLE = 0.25
"""Seconds. The end of stdout is usually seen before the exit status, and stderr may come last; so the first sign of
an end starts a short wait for the others. Without it errors would lose the exit code."""


class Launch:
    """The start of one plugin, up to its line.

    Attributes:
        deadline: until when to wait for the next fact.
        condemned: the plugin is to be killed; the wait that follows is for its last words only.
        first_line: what came as the line, without its end, acceptable or not; None until it has come.
        rest: what followed the line on stdout.
    """

    def __init__(
        self,
        *,
        now: float,
        timeout: float,
        versions: Collection[int],
        argv: Sequence[str],
        pid: int,
        stderr: Callable[[], Sequence[bytes]],
    ) -> None:
        """``stderr`` gives the last lines of stderr so far, for errors."""
        self.deadline = now + timeout
        self.condemned = False
        self.first_line: bytes | None = None
        self.rest = b""
        self._timeout, self._versions = timeout, versions
        self._argv, self._pid, self._stderr = argv, pid, stderr
        self._heard = bytearray()
        self._stdout_ended = self._stderr_ended = self._settling = False
        self._status: int | None = None
        self._verdict: Callable[[], PluginFault] | None = None

    def stdout(self, data: bytes) -> None:
        """The plugin wrote ``data``; empty when it closed its stdout."""
        self._heard += data
        self._stdout_ended = self._stdout_ended or not data

    def stderr_ended(self) -> None:
        """The plugin closed its stderr."""
        self._stderr_ended = True

    def exited(self, status: int) -> None:
        """The process ended; ``status`` is as ``subprocess`` gives it."""
        self._status = status

    def outcome(self, now: float) -> Line | None:
        """Return the line, or None to wait until ``deadline``.

        Raises:
            HandshakeRefused: the first line is not acceptable.
            StartTimeout: there was none in time.
            PluginLost: there will be none.
        """
        if self._verdict is None:
            line = self._judge(now)
            if line is not None or self._verdict is None:
                return line
        if (self._status is not None and self._stderr_ended) or now >= self.deadline:
            raise self._verdict()
        return None

    def _judge(self, now: float) -> Line | None:
        raw, ended, rest = bytes(self._heard).partition(b"\n")
        if ended or len(raw) > LINE_MAX:
            self.first_line = raw[:LINE_MAX]
            try:
                line = Line.parse(raw)
                line.check(versions=self._versions)
            except HandshakeRefused as refusal:
                self._condemn(now, self._refusal(refusal))
                return None
            self.rest = rest
            return line
        exited = self._status is not None
        if exited or self._stdout_ended:
            if not self._settling:
                self._settling, self.deadline = True, min(self.deadline, now + SETTLE)
            if (exited and self._stdout_ended) or now >= self.deadline:
                what = "exited" if exited else "closed its stdout"
                self._condemn(now, self._loss(PluginLost, f"{what} before its handshake line was complete"))
        elif now >= self.deadline:
            reason = f"printed no complete handshake line within {self._timeout:g} s"
            self._condemn(now, self._loss(StartTimeout, reason))
        return None

    def _condemn(self, now: float, verdict: Callable[[], PluginFault]) -> None:
        self._verdict = verdict
        self.condemned, self.deadline = True, now + SETTLE

    def _loss(self, kind: type[PluginLost], reason: str) -> Callable[[], PluginFault]:
        # The status of now: a later one would be of our own killing. stderr, though, is quoted as it is in the end.
        status, said = self._status, bytes(self._heard)
        return lambda: kind(reason, argv=self._argv, pid=self._pid, status=status, said=said, stderr=self._stderr())

    def _refusal(self, refusal: HandshakeRefused) -> Callable[[], PluginFault]:
        who = self._loss(PluginLost, "said this")

        def verdict() -> PluginFault:
            refusal.add_note(str(who()))
            return refusal

        return verdict
