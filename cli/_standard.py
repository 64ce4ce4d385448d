"""Standard output and standard error, which may be closed, full or without a reader: never a traceback.

Decides nothing: what cannot be written is lost, and a command that minds asks whether something was.
"""

import io
import os
import sys
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

__all__ = ["guard", "lost"]


class _Lossy(io.FileIO):
    """A descriptor that takes everything; what it cannot write is lost.

    Attributes:
        fault: why something was lost, if it was.
    """

    fault: OSError | None = None

    def write(self, data: "ReadableBuffer", /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            self.fault = error
            return memoryview(data).nbytes


def guard() -> None:
    """Have both streams of this process take everything. To be called before anything else opens a file."""
    sys.stdout = _guarded(sys.stdout, 1)
    sys.stderr = _guarded(sys.stderr, 2)


def lost() -> OSError | None:
    """Return why something that was written to standard output since the last call was lost; None if nothing was."""
    sys.stdout.flush()
    raw = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    if not isinstance(raw, _Lossy):
        return None
    fault, raw.fault = raw.fault, None
    return fault


def _guarded(stream: TextIO | None, number: int) -> TextIO:
    if stream is None:
        return _text(_nowhere(number), "utf-8", "backslashreplace", line_buffering=True)
    buffer = getattr(stream, "buffer", None)
    if type(getattr(buffer, "raw", buffer)) is not io.FileIO:  # Windows' console, or what somebody else has put there
        return stream
    stream.flush()
    return _text(stream.fileno(), stream.encoding, stream.errors, line_buffering=bool(stream.line_buffering))


def _text(descriptor: int, encoding: str, errors: str | None, *, line_buffering: bool) -> TextIO:
    raw = _Lossy(descriptor, "w", closefd=False)
    return io.TextIOWrapper(io.BufferedWriter(raw), encoding, errors, line_buffering=line_buffering)


def _nowhere(number: int) -> int:
    """Return a descriptor that can be open but not written, ``number`` itself if it is free.

    Otherwise the next file or socket would get the number, and with it what C code prints there.
    """
    opened = os.open(os.devnull, os.O_RDONLY)
    if opened == number or _is_open(number):
        return opened
    os.dup2(opened, number, inheritable=False)
    os.close(opened)
    return number


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True
