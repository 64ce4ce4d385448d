"""Every error of goplugin. The class says who must act; the fields say what happened. Nobody needs to match text.

GoPluginError
├── Misuse             you: this API was called or configured wrongly
├── MachineFault       the operator: a directory, a socket or a program that the machine should have is missing
├── DialTimeout        whose author, its subclasses say: nobody served a brokered connection in time
├── HostFault          the host's author: the host broke the contract
│   └── HostDialTimeout    … it did not serve a brokered connection that the plugin was to dial
└── PluginFault        the plugin's author: the plugin broke the contract
    ├── HandshakeRefused   what the plugin said on its first line cannot be accepted
    ├── PluginDialTimeout  it did not serve a brokered connection that the host was to dial
    └── PluginLost         the plugin's process ended, or never became ready
        └── StartTimeout   … because the start took too long
"""

from collections.abc import Sequence

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


class HostFault(GoPluginError):
    """The host's author must act: the host broke the contract, with the plugin's environment or later."""


class PluginFault(GoPluginError):
    """The plugin's author must act: the plugin broke the contract."""


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


class PluginLost(PluginFault):
    """The plugin's process ended, or never became ready.

    Attributes:
        reason: what was noticed, such as ``"exited before its handshake line"``.
        pid: the process, or None where none was started.
        argv: the command.
        exit_code: the exit code, or None when it was killed by a signal or has not exited.
        signal: the name of the signal that ended it, such as ``"SIGSEGV"``, or None.
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
        self.reason, self.argv, self.pid, self.said = reason, tuple(argv), pid, said
        self.exit_code = status if status is not None and status >= 0 else None
        number = -status if status is not None and status < 0 else 0
        self.signal = _SIGNALS.get(number, f"signal {number}") if number else None
        self.stderr, self.notes = tuple(stderr), tuple(notes)
        super().__init__(self._message(_HINTS.get(number, "")))

    def _message(self, hint: str) -> str:
        parts = [f"the plugin {self.reason}"]
        if self.exit_code is not None:
            parts.append(f"exit code {self.exit_code}")
        if self.signal is not None:
            parts.append(f"killed by {self.signal}" + (f" ({hint})" if hint else ""))
        if self.argv:
            parts.append("command " + " ".join(quoted(word) for word in self.argv))
        if self.pid is not None:
            parts.append(f"pid {self.pid}")
        if self.said:
            parts.append(f"its stdout began {quoted(self.said)}")
        text = "; ".join([*parts, *self.notes])
        if self.stderr:
            text += "\nits last stderr lines:" + "".join(f"\n    {quoted(line)[1:-1]}" for line in self.stderr)
        return text


class StartTimeout(PluginLost):
    """The plugin printed no complete handshake line within the start timeout."""


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
