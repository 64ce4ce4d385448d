"""Decides when a starting plugin has given its handshake line and when it is lost. No I/O, no clock, no signals.

The shell reports facts, asks for the outcome with the time of its clock, waits until ``deadline`` at the longest, and
kills the plugin's group once it is ``condemned``.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from ..handshake import LINE_MAX, RUN_BY_HAND, HandshakeRefused, Line, PluginFault, PluginLost, StartTimeout

SETTLE = 0.25
"""Seconds. The end of stdout is usually seen before the exit status, and stderr may come last; so the first sign of
an end starts a short wait for the others. Without it errors would lose the exit code."""

SKIP_MAX = 1000
"""Lines before the handshake line that a caller may allow: at 64 KiB each, what a plugin can make its host keep."""

_TURNED_AWAY = RUN_BY_HAND.encode().splitlines()[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What a start is judged by, and what its errors tell.

    Attributes:
        timeout: seconds until the line must have come.
        versions: of which the plugin may choose.
        argv, pid: of its process.
        stderr: gives the last lines of stderr so far.
        diagnose: gives what may explain a failure.
        auto_mtls, multiplex: whether the plugin was asked for it.
        skip_lines: how many lines may come before the handshake line.
    """

    timeout: float
    versions: Collection[int]
    argv: Sequence[str]
    pid: int | None
    stderr: Callable[[], Sequence[bytes]]
    diagnose: Callable[[], Sequence[str]] = tuple
    auto_mtls: bool = False
    multiplex: bool = False
    skip_lines: int = 0


class Launch:
    """The start of one plugin, which began at ``now``, up to its line.

    Attributes:
        deadline: until when to wait for the next fact.
        condemned: the plugin is to be killed; the wait that follows is for its last words only.
        first_line: what came as the line, without its end, acceptable or not; None until it has come.
        rest: what there was on stdout besides the line.
    """

    def __init__(self, now: float, terms: Terms) -> None:
        self.deadline = now + terms.timeout
        self.condemned = False
        self.first_line: bytes | None = None
        self.rest = b""
        self._terms = terms
        self._heard = bytearray()
        self._skipped = list[bytes]()
        self._stdout_ended = self._stderr_ended = self._settling = False
        self._exited = False
        self._status: int | None = None
        self._verdict: Callable[[], PluginFault] | None = None

    def stdout(self, data: bytes) -> None:
        """The plugin wrote ``data``; empty when it closed its stdout."""
        self._heard += data
        self._stdout_ended = self._stdout_ended or not data

    def stderr_ended(self) -> None:
        """The plugin closed its stderr."""
        self._stderr_ended = True

    def exited(self, status: int | None) -> None:
        """The process ended; ``status`` is as ``subprocess`` gives it, or None where nobody knows it."""
        self._exited, self._status = True, status

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
        if (self._exited and self._stderr_ended) or now >= self.deadline:
            raise self._verdict()
        return None

    def _judge(self, now: float) -> Line | None:
        self._skip()
        raw, ended, rest = bytes(self._heard).partition(b"\n")
        if ended or len(raw) > LINE_MAX:
            self.first_line = raw[:LINE_MAX]
            try:
                line = Line.parse(raw)
                asked = self._terms
                line.check(versions=asked.versions, auto_mtls=asked.auto_mtls, multiplex=asked.multiplex)
            except HandshakeRefused as refusal:
                self._condemn(now, self._refusal(refusal))
                return None
            self.rest = b"".join((*self._skipped, rest))
            return line
        exited = self._exited
        if exited or self._stdout_ended:
            if not self._settling:
                self._settling, self.deadline = True, min(self.deadline, now + SETTLE)
            if (exited and self._stdout_ended) or now >= self.deadline:
                what = "exited" if exited else "closed its stdout"
                self._condemn(now, self._loss(PluginLost, f"{what} before its handshake line was complete"))
        elif now >= self.deadline:
            reason = f"printed no complete handshake line within {self._terms.timeout:g} s"
            self._condemn(now, self._loss(StartTimeout, reason))
        return None

    def _skip(self) -> None:
        """Set lines aside that do not even look like a handshake line, as many as may come before it."""
        while len(self._skipped) < self._terms.skip_lines:
            raw, ended, rest = bytes(self._heard).partition(b"\n")
            if not ended or not _is_other(raw):
                return
            self._skipped.append(raw + ended)
            self._heard[:] = rest

    def _condemn(self, now: float, verdict: Callable[[], PluginFault]) -> None:
        self._verdict = verdict
        self.condemned, self.deadline = True, now + SETTLE

    def _loss(self, kind: type[PluginLost], reason: str) -> Callable[[], PluginLost]:
        # The status of now: a later one would be of our own killing. stderr, though, is quoted as it is in the end.
        status, said, terms = self._status, b"".join((*self._skipped, self._heard)), self._terms

        def verdict() -> PluginLost:
            notes, stderr = [*terms.diagnose()], terms.stderr()
            if _TURNED_AWAY in stderr:
                notes.append("it says that no host started it: its cookie is another than that of the host's handshake")
            return kind(reason, argv=terms.argv, pid=terms.pid, status=status, said=said, stderr=stderr, notes=notes)

        return verdict

    def _refusal(self, refusal: HandshakeRefused) -> Callable[[], PluginFault]:
        if refusal.field == "line":
            self._heard.clear()  # the message quotes it already
        who = self._loss(PluginLost, "said this")
        return lambda: refusal.blame(who())


def _is_other(raw: bytes) -> bool:
    """Return whether a line is of another kind: in a handshake line that is merely wrong, the first field is right."""
    try:
        Line.parse(raw)
    except HandshakeRefused as refusal:
        return len(raw) <= LINE_MAX and refusal.field in ("line", "core protocol")
    return False
