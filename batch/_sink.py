"""Opens the outputs of pipelines and writes messages to them: whole messages, or none."""

import errno
import os
import stat
from collections.abc import Iterable
from typing import Protocol, assert_never

from ..handshake import MachineFault, Misuse
from ._components import DropOutput, FileOutput, StdoutOutput


class Sink(Protocol):
    """An output. It is opened by the first write."""

    def write(self, payloads: Iterable[bytes]) -> int:
        """Write them all; return the bytes written, delimiters included.

        Raises:
            MachineFault: it cannot be written. A file then ends where it ended before this call.
        """
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


def open_sink(spec: FileOutput | StdoutOutput | DropOutput, inputs: Iterable[str] = ()) -> Sink:
    """Return a sink, having looked that it can be written; nothing is created yet.

    Args:
        inputs: files that are being read, of which it must be none.

    Raises:
        MachineFault: it cannot be written.
        Misuse: it is one of the inputs.
    """
    match spec:
        case FileOutput():
            return _File(spec, inputs)
        case StdoutOutput():
            return _Stdout(spec.suffix)
        case DropOutput():
            return _Nowhere()
        case _:
            assert_never(spec)


class _File:
    def __init__(self, spec: FileOutput, inputs: Iterable[str]) -> None:
        self._path, self._suffix, self._file = spec.path, spec.suffix, -1
        _look(self._path)
        if os.path.exists(self._path) and any(os.path.samefile(self._path, one) for one in inputs):
            raise Misuse(f"the output {self._path!r} is one of the input files")

    def write(self, payloads: Iterable[bytes]) -> int:
        data = _joined(payloads, self._suffix)
        try:
            if self._file < 0:
                self._file = _create(self._path)
            status = os.fstat(self._file)
            try:
                _write_all(self._file, data)
            except OSError:
                if stat.S_ISREG(status.st_mode):
                    os.ftruncate(self._file, status.st_size)
                raise
        except OSError as error:
            raise MachineFault(f"cannot write {self._path!r}: {error.strerror}") from None
        return len(data)

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


class _Stdout:
    def __init__(self, suffix: bytes) -> None:
        self._suffix = suffix
        try:
            os.write(1, b"")
        except OSError as error:
            reason = "it is closed" if error.errno == errno.EBADF else error.strerror
            raise MachineFault(f"cannot write to standard output: {reason}") from None

    def write(self, payloads: Iterable[bytes]) -> int:
        data = _joined(payloads, self._suffix)
        try:
            _write_all(1, data)
        except OSError as error:
            raise MachineFault(f"cannot write to standard output: {error.strerror}") from None
        return len(data)

    def close(self) -> None:
        """It is not ours."""


class _Nowhere:
    def write(self, payloads: Iterable[bytes]) -> int:
        return sum(map(len, payloads))

    def close(self) -> None:
        """Nothing is open."""


def _joined(payloads: Iterable[bytes], suffix: bytes) -> bytes:
    # Redpanda Connect leaves a payload alone that ends so already.
    return b"".join(one if one.endswith(suffix) else one + suffix for one in payloads) if suffix else b"".join(payloads)


def _write_all(file: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]


def _create(path: str) -> int:
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    # Appended to, as Redpanda Connect does.
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)


def _look(path: str) -> None:
    """Raise what opening would raise, without creating anything."""
    if os.path.isdir(path):
        raise MachineFault(f"cannot write {path!r}: {os.strerror(errno.EISDIR)}")
    if os.path.lexists(path):
        writable = os.access(path, os.W_OK)
    else:
        directory = os.path.dirname(os.path.abspath(path))
        while not os.path.lexists(directory):
            directory = os.path.dirname(directory)
        if not os.path.isdir(directory):
            raise MachineFault(f"cannot write {path!r}: {directory!r} is not a directory")
        writable = os.access(directory, os.W_OK | os.X_OK)
    if not writable:
        raise MachineFault(f"cannot write {path!r}: {os.strerror(errno.EACCES)}")
