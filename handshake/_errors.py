"""Every error of goplugin. The class says who must act; the fields say what happened. Nobody needs to match text.

GoPluginError
├── Misuse             you: this API was called or configured wrongly
├── MachineFault       the operator: a directory, a socket or a program that the machine should have is missing
│   └── ChecksumMismatch   … or is another than the host's configuration says
├── DialTimeout        whose author, its subclasses say: nobody served a brokered connection in time
├── HostFault          the host's author: the host broke the contract
│   └── HostDialTimeout    … it did not serve a brokered connection that the plugin was to dial
└── PluginFault        the plugin's author: the plugin broke the contract
    ├── HandshakeRefused   what the plugin said on its first line cannot be accepted
    │   └── MultiplexingNotSupported  … because the host asked for a multiplexed broker and the plugin has none
    ├── TlsRefused         host and plugin do not trust each other's certificates
    ├── PluginDialTimeout  it did not serve a brokered connection that the host was to dial
    └── PluginLost         the plugin's process ended, or never became ready
        ├── StartTimeout       … because the start took too long
        └── ProcessNotFound    … or is no longer what a reattach record says
"""

from collections.abc import Sequence
from typing import Self

from ._text import quoted

# Numbers that POSIX fixes or that every supported system shares; `signal` is not imported here (no look at the world).
_SIGNALS = {
    1: "SIGHUP", 2: "SIGINT", 3: "SIGQUIT", 4: "SIGILL", 5: "SIGTRAP", 6: "SIGABRT", 8: "SIGFPE", 9: "SIGKILL",
    11: "SIGSEGV", 13: "SIGPIPE", 14: "SIGALRM", 15: "SIGTERM",
}  # fmt: skip
_HINTS = {
    4: "the program uses an instruction that this machine lacks",
    6: "the program aborted itself; its last output says why",
    9: "if nobody killed it, the kernel did for lack of memory",
    11: "the program crashed in native code",
}


class GoPluginError(Exception):
    """The root of the tree; only its subclasses are raised."""


class Misuse(GoPluginError):
    """The caller of goplugin must act: an argument or a sequence of calls makes no sense."""


class MachineFault(GoPluginError):
    """The operator must act: the machine lacks something, such as a writable directory."""


class ChecksumMismatch(MachineFault):
    """A file of the plugin is not the one that was meant; nothing of it was run.

    Attributes:
        path: the file.
        got: the checksum that it has.
        want: the checksum that it should have.
    """

    def __init__(self, *, path: str, got: bytes, want: bytes) -> None:
        self.path, self.got, self.want = path, got, want
        super().__init__(
            f"the plugin's file {quoted(path)} has the checksum {got.hex()}, which should be {want.hex()}: "
            "somebody changed it, or the host's configuration is out of date"
        )


class HostFault(GoPluginError):
    """The host's author must act: the host broke the contract, with the plugin's environment or later."""


class PluginFault(GoPluginError):
    """The plugin's author must act: the plugin broke the contract."""

    def blame(self, plugin: "PluginLost") -> Self:
        """Say in the message which plugin it was, by the facts of ``plugin``; return this error.

        Its last line on stderr is in the message, too, so that it is one line to log; all of them are a note.
        """
        facts = plugin.facts
        if plugin.stderr:
            facts.append(f"its last stderr line {quoted(plugin.stderr[-1])}")
        if len(plugin.stderr) > 1:
            self.add_note(plugin.quotation)
        self.args = ("; ".join([str(self), *facts]),)
        return self


class HandshakeRefused(PluginFault):
    """A field of the plugin's handshake line cannot be accepted.

    Attributes:
        field: the field at fault, such as ``"core protocol"``, or ``"line"`` when there are no fields to speak of.
        got: what the plugin sent, as raw text.
        want: what would have been accepted.
    """

    def __init__(self, *, field: str, got: str, want: str, hint: str = "") -> None:
        self.field, self.got, self.want = field, got, want
        message = f"the plugin's handshake has a bad {field}: got {quoted(got)}, want {want}"
        super().__init__(message + (f"; {hint}" if hint else ""))


class TlsRefused(PluginFault):
    """No connection to the plugin could be secured: it is not whom its handshake line named, or it refused the host.

    Its cause is `goplugin.transport.tls.PeerRefused` where goplugin itself judged the plugin, which tells why.

    Attributes:
        reason: why not.
    """

    def __init__(self, where: str, reason: str) -> None:
        self.reason = reason
        super().__init__(f"there is no TLS connection to the plugin at {where}: {reason}")


class MultiplexingNotSupported(HandshakeRefused):
    """The host asked for a multiplexed broker, and the plugin has none (go-plugin's ErrGRPCBrokerMuxNotSupported)."""


class PluginLost(PluginFault):
    """The plugin's process ended, or never became ready.

    Attributes:
        reason: what was noticed, such as ``"exited before its handshake line"``.
        pid: the process, or None where none was started.
        argv: the command.
        exit_code: the exit code, or None when it was killed by a signal, has not exited, or somebody else was told.
        signal: the name of the signal that ended it, such as ``"SIGSEGV"``, or None.
        status: both as ``subprocess.Popen.returncode`` gives them, or None.
        said: what arrived on stdout of an unfinished handshake line.
        stderr: the last lines that it wrote to stderr, oldest first.
    """

    def __init__(
        self,
        reason: str,
        *,
        argv: Sequence[str] = (),
        pid: int | None = None,
        status: int | None = None,
        said: bytes = b"",
        stderr: Sequence[bytes] = (),
        notes: Sequence[str] = (),
    ) -> None:
        """``status`` is as ``subprocess.Popen.returncode``: negative for a signal, None while it runs."""
        self.reason, self.argv, self.pid, self.status, self.said = reason, tuple(argv), pid, status, said
        self.exit_code = status if status is not None and status >= 0 else None
        number = -status if status is not None and status < 0 else 0
        self.signal = _SIGNALS.get(number, f"signal {number}") if number else None
        self.stderr, self.notes = tuple(stderr), tuple(notes)
        self._hint = _HINTS.get(number)
        super().__init__("; ".join([f"the plugin {reason}", *self.facts]) + (f"\n{self.quotation}" if stderr else ""))

    @property
    def facts(self) -> list[str]:
        """What is known of it, as short clauses: how it ended, its command, its process, what it said."""
        parts: list[str] = []
        if self.exit_code is not None:
            parts.append(f"exit code {self.exit_code}")
        if self.signal is not None:
            parts.append(f"killed by {self.signal}" + (f" ({self._hint})" if self._hint else ""))
        if self.argv:
            parts.append("command " + " ".join(quoted(word) for word in self.argv))
        if self.pid is not None:
            parts.append(f"pid {self.pid}")
        if self.said:
            parts.append(f"its stdout began {quoted(self.said)}")
        return [*parts, *self.notes]

    @property
    def quotation(self) -> str:
        """Its last lines on stderr, as a paragraph."""
        return "its last stderr lines:" + "".join(f"\n    {quoted(line)[1:-1]}" for line in self.stderr)


class StartTimeout(PluginLost):
    """The plugin printed no complete handshake line within the start timeout."""


class ProcessNotFound(PluginLost):
    """There is nothing to reattach to: the process of the record has ended, is another one, or does not answer."""


class DialTimeout(GoPluginError):
    """The other side did not serve a brokered connection in time. The subclass says which side that is.

    Attributes:
        id: of the connection.
        seconds: how long it was waited for.
    """

    _who = ""

    def __init__(self, id: int, seconds: float) -> None:
        self.id, self.seconds = id, seconds
        super().__init__(f"{self._who} did not serve the brokered connection {id} within {seconds:g} s")


class HostDialTimeout(DialTimeout, HostFault):
    """In a plugin: the host did not serve it."""

    _who = "the host"


class PluginDialTimeout(DialTimeout, PluginFault):
    """In a host: the plugin did not serve it."""

    _who = "the plugin"
