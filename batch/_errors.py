"""The errors of this room, under the tree of `goplugin.handshake`."""

from ..handshake import GoPluginError, Misuse, PluginFault, quoted

TEXT_MAX = 500  # characters of a plugin's words in an error

BACKOFF_MAX = 10_000 * 365 * 86_400
"""Seconds: about as many as a duration on the wire can hold."""


class NotConnected(GoPluginError):
    """The connection of an input or output is lost, or cannot be made: the host connects again, with patience.

    Raised by the author of a plugin from ``connect``, ``read`` or ``write``.
    """

    def __init__(self, message: str = "not connected") -> None:
        super().__init__(message)


class EndOfInput(GoPluginError):
    """Nothing will ever come again: the pipeline ends once everything is settled.

    Raised by the author of an input from ``read``; a generator just ends.
    """

    def __init__(self, message: str = "end of input") -> None:
        super().__init__(message)


class BackOff(GoPluginError):
    """The host is to wait before it connects again. Raised by the author of an input or output, as `NotConnected`.

    Attributes:
        seconds: how long.
    """

    def __init__(self, seconds: float, message: str = "") -> None:
        if not 0 <= seconds <= BACKOFF_MAX:  # false for NaN too
            raise Misuse(f"a plugin backs off for 0 to {BACKOFF_MAX} seconds, not for {seconds}")
        self.seconds = seconds
        super().__init__(message or f"try again in {seconds:g} s")


class BadConfig(Misuse):
    """A configuration does not fit the plugin: who wrote the pipeline must act.

    Attributes:
        field: the path of keys to the fault, such as ``"hosts[2]"``; empty for the whole configuration.
        got: what is there.
        want: what could have been there.
    """

    def __init__(self, *, field: str = "", got: str, want: str) -> None:
        self.field, self.got, self.want = field, got, want
        super().__init__(f"{field or 'the configuration'}: got {got}, want {want}")


class BadValue(GoPluginError):
    """A value cannot cross between Python and the wire: ours on the way out, the other side's on the way in.

    Attributes:
        path: where it is, from the outermost value inwards, such as ``("user", "tags", 3)``.
        got: what is there.
        want: what could have been there.
    """

    def __init__(self, *, path: tuple[str | int, ...] = (), got: str, want: str) -> None:
        self.path, self.got, self.want = path, got, want
        super().__init__(f"{spelled(path) or 'the value'}: got {got}, want {want}")

    def under(self, step: str | int) -> "BadValue":
        """Return the same error as seen from one level further out."""
        return BadValue(path=(step, *self.path), got=self.got, want=self.want)


class BadFile(Misuse):
    """A descriptor or a pipeline file says something that it cannot say.

    Attributes:
        file: its path.
        line: the line, from 1, or None where none is to blame.
        field: the path of keys to the fault, such as ``"pipeline.processors[0].shout"``; empty for the whole file.
        got: what is there.
        want: what could have been there.
        others: further faults that were found with it; the message is about this one alone.
    """

    others: "tuple[BadFile, ...]" = ()

    def __init__(self, *, file: str, line: int | None = None, field: str = "", got: str, want: str) -> None:
        self.file, self.line, self.field, self.got, self.want = file, line, field, got, want
        place = file if line is None else f"{file}:{line}"
        super().__init__(": ".join(part for part in (place, field) if part) + f": got {got}, want {want}")


class NoAnswer(PluginFault):
    """A plugin that runs does not answer.

    Attributes:
        method: what it was asked.
        seconds: how long it was waited for.
    """

    def __init__(self, method: str, seconds: float) -> None:
        self.method, self.seconds = method, seconds
        super().__init__(f"the plugin gave no answer to {method} within {seconds:g} s")


class BadStatus(PluginFault):
    """A plugin that runs answered one call with a status of gRPC; the next may be another matter.

    Attributes:
        words: the status and what it says, as they came.
    """

    def __init__(self, method: str, status: str, details: str) -> None:
        self.words = f"{status}: {details}"
        super().__init__(f"the plugin answered {method} with {status}: {quoted(details, TEXT_MAX)}")


class SendFailed(PluginFault):
    """An output plugin says that it could not deliver a batch.

    Attributes:
        text: why, in its own words, as harmless text in quotes.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        super().__init__(f"the plugin could not deliver a batch: {text}")


class RunFailed(GoPluginError):
    """A run of a pipeline could not go on. The error that it failed with is its cause.

    Attributes:
        part: "input", "output", or the name of the processor; "run" where it was given up and none of them ended.
        cause: what went wrong there.
        lost: messages that were read, and neither written nor dropped by a processor.
    """

    def __init__(self, part: str, cause: BaseException, lost: int) -> None:
        self.part, self.cause, self.lost = part, cause, lost
        what = str(cause) if isinstance(cause, GoPluginError) else f"{type(cause).__name__}: {cause}"
        head, _, rest = what.partition("\n")
        tail = f" ({lost} messages that were read were not written)" if lost else ""
        super().__init__(f"{part}: {head}{tail}" + (f"\n{rest}" if rest else ""))


def spelled(path: tuple[str | int, ...]) -> str:
    """Return a path as people write it: ``user.tags[3]``; a key that is no plain word appears in quotes."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            word = step if step.isidentifier() and step.isascii() else quoted(step)
            text += f".{word}" if text else word
    return text
