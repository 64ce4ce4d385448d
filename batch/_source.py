"""Opens the inputs of pipelines and reads messages from them. Waits no longer than it is told to."""

import glob
import os
import select
import stat
from collections.abc import Callable
from datetime import UTC, datetime
from time import monotonic
from typing import Protocol, assert_never

from ..handshake import MachineFault
from ..proto import redpanda
from ._components import Batched, FileInput, GenerateInput, InputSettings, Lines, PluginInput, Policy, StdinInput
from ._generated import Generated
from ._lines import LineSplitter
from ._message import Message
from ._receipt import Gatherer, Parcel
from ._value import write_fields

_POLL_MAX = 2**31 - 1  # milliseconds: 25 days
_BLOCK = 32 * 1024  # bytes of one read: lines enough to be worth the call, and few to let through after a stop


class Source(Protocol):
    """An open input."""

    @property
    def consumed(self) -> int:
        """The bytes read so far."""
        ...

    @property
    def expected(self) -> int | None:
        """The bytes that there are to read in all, or None where nobody knows."""
        ...

    @property
    def files(self) -> tuple[str, ...]:
        """What it reads, for an output that must not write there."""
        ...

    def read(self, timeout: float | None) -> list[Parcel] | None:
        """Return what there is now, waiting for it at most ``timeout`` seconds; nothing after that, or None at the end.

        Raises:
            MachineFault: it cannot be read, or what it holds cannot be cut into messages. What came before was given.
        """
        ...

    def rest(self) -> list[Parcel]:
        """Return what was read and not given yet; called after the last `read`, and the second time it is nothing."""
        ...

    def unfinished(self) -> int:
        """Return the bytes read that are part of no message."""
        ...

    def interrupt(self) -> None:
        """Make a `read` in another thread return now."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


def open_source(spec: InputSettings, plugin: Callable[[PluginInput], "Source"]) -> Source:
    """Open an input, having looked that everything is there.

    Args:
        plugin: makes the source of an input that is a plugin.

    Raises:
        MachineFault: a file is missing or cannot be read, or a glob matches nothing.
    """
    match spec:
        case FileInput():
            return _Files(spec)
        case StdinInput():
            return _Stdin(spec.lines)
        case Batched():
            return Gathered(open_source(spec.child, plugin), spec.policy)
        case GenerateInput():
            return Generated(spec)
        case PluginInput():
            return plugin(spec)
        case _:
            assert_never(spec)


class Gathered:
    """A source whose messages are gathered into batches; ``clock`` is for tests."""

    def __init__(self, child: Source, policy: Policy, clock: Callable[[], float] = monotonic) -> None:
        self._child, self._policy, self._clock = child, policy, clock
        self._first: Gatherer | None = None
        self.expected, self.files = child.expected, child.files

    @property
    def consumed(self) -> int:
        return self._child.consumed

    @property
    def _gatherer(self) -> Gatherer:
        # The first period begins with the reading, not with the opening: plugins start between the two.
        self._first = self._first or Gatherer(self._policy, self._clock())
        return self._first

    def read(self, timeout: float | None) -> list[Parcel] | None:
        due = self._gatherer.due
        if due is not None:
            left = max(0.0, due - self._clock())
            timeout = left if timeout is None else min(timeout, left)
        found = self._child.read(timeout)
        if found is None:
            return None
        now = self._clock()
        full = [whole for parcel in found for whole in self._gatherer.add(parcel, now)]
        return full + self._gatherer.tick(now)

    def rest(self) -> list[Parcel]:
        now = self._clock()
        full = [whole for parcel in self._child.rest() for whole in self._gatherer.add(parcel, now)]
        return full + self._gatherer.flush(now)

    def unfinished(self) -> int:
        return self._child.unfinished()

    def interrupt(self) -> None:
        self._child.interrupt()

    def close(self) -> None:
        self._child.close()


class _Files:
    """The lines of files, one after the other."""

    def __init__(self, spec: FileInput) -> None:
        self.files = _expanded(spec)
        self.expected = sum(os.stat(path).st_size for path in self.files)
        self.consumed = 0
        self._lines = spec.lines
        self._left = list(reversed(self.files))
        self._path, self._file = "", -1
        self._metadata = b""
        self._splitter = LineSplitter(spec.lines)

    def read(self, timeout: float | None) -> list[Parcel] | None:  # noqa: ARG002 - a file never makes one wait
        while True:
            _refuse_too_long(self._splitter, self._path, self._lines)
            if self._file < 0:
                if not self._left:
                    return None
                self._open(self._left.pop())
            try:
                data = os.read(self._file, _BLOCK)
            except OSError as error:
                raise MachineFault(f"cannot read {self._path}: {error.strerror}") from None
            self.consumed += len(data)
            lines = self._splitter.feed(data) if data else self._splitter.end()
            if not data:
                self.close()
            if lines:
                return [Parcel([message]) for message in Message.many(lines, self._metadata)]

    def rest(self) -> list[Parcel]:
        return []

    def unfinished(self) -> int:
        return self._splitter.pending

    def interrupt(self) -> None:
        """Nothing waits."""

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _open(self, path: str) -> None:
        try:
            self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            modified = int(os.fstat(self._file).st_mtime)
        except OSError as error:
            raise MachineFault(f"cannot read {path}: {error.strerror}") from None
        self._path, self._splitter = path, LineSplitter(self._lines)
        metadata = redpanda.StructValue()
        # The same as Redpanda Connect's file input adds.
        moment = datetime.fromtimestamp(modified, UTC).isoformat().replace("+00:00", "Z")
        write_fields(metadata, {"path": path, "mod_time_unix": modified, "mod_time": moment})
        self._metadata = metadata.SerializeToString()


class _Stdin:
    """The lines of standard input, as they come."""

    expected = None
    files = ()

    def __init__(self, lines: Lines) -> None:
        try:
            os.fstat(0)
        except OSError:
            raise MachineFault("cannot read standard input: it is closed") from None
        self.consumed = 0
        self._lines, self._splitter = lines, LineSplitter(lines)
        self._ended = False
        self._wake, self._waker = os.pipe()
        self._poll = select.poll()
        self._poll.register(0, select.POLLIN)
        self._poll.register(self._wake, select.POLLIN)

    def read(self, timeout: float | None) -> list[Parcel] | None:
        _refuse_too_long(self._splitter, "standard input", self._lines)
        if self._ended:
            return None
        ready = self._poll.poll(None if timeout is None else min(timeout * 1000, _POLL_MAX))
        if 0 not in (descriptor for descriptor, _ in ready):
            return []
        try:
            data = os.read(0, _BLOCK)
        except OSError as error:
            raise MachineFault(f"cannot read standard input: {error.strerror}") from None
        self.consumed += len(data)
        self._ended = not data
        lines = self._splitter.feed(data) if data else self._splitter.end()
        return [Parcel([message]) for message in Message.many(lines, b"")]

    def rest(self) -> list[Parcel]:
        return []

    def unfinished(self) -> int:
        return self._splitter.pending

    def interrupt(self) -> None:
        if (waker := self._waker) >= 0:  # a signal may come late, and the descriptor may be somebody else's by then
            os.write(waker, b"!")

    def close(self) -> None:
        waker, self._waker = self._waker, -1
        os.close(waker)
        os.close(self._wake)


def _expanded(spec: FileInput) -> tuple[str, ...]:
    paths: dict[str, None] = {}
    for index, path in enumerate(spec.paths):
        where = f"{spec.where}[{index}]"
        if glob.has_magic(path):
            found = sorted(glob.glob(path, recursive=True, include_hidden=True))
            files = [one for one in found if not os.path.isdir(one)]
            if not files:
                raise MachineFault(f"{where}: no file matches {path!r}")
        else:
            files = [path]
        for file in files:
            _look(file, where)
            paths[file] = None
    return tuple(paths)


def _look(path: str, where: str) -> None:
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        raise MachineFault(f"{where}: cannot read {path!r}: {error.strerror}") from None
    if stat.S_ISDIR(mode):
        raise MachineFault(f"{where}: cannot read {path!r}: it is a directory")
    if not os.access(path, os.R_OK):
        raise MachineFault(f"{where}: cannot read {path!r}: permission denied")


def _refuse_too_long(splitter: LineSplitter, name: str, lines: Lines) -> None:
    if splitter.too_long is not None:
        limit = f"{lines.max_size} bytes, the scanner's max_buffer_size"
        raise MachineFault(f"cannot read {name}: line {splitter.too_long} is longer than {limit}")
