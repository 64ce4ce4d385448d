"""The errors of this room, under the tree of `goplugin.handshake`."""

from ..handshake import GoPluginError, Misuse, quoted


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
    """

    def __init__(self, *, file: str, line: int | None = None, field: str = "", got: str, want: str) -> None:
        self.file, self.line, self.field, self.got, self.want = file, line, field, got, want
        place = file if line is None else f"{file}:{line}"
        super().__init__(": ".join(part for part in (place, field) if part) + f": got {got}, want {want}")


class RunFailed(GoPluginError):
    """A run of a pipeline could not go on. The error that it failed with is its cause.

    Attributes:
        part: "input", "output", or the name of the processor.
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
