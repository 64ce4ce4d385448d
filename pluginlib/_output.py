"""The spool between the threads that print and the one call that carries it to the host.

Waits, for a bounded time, where the spool says that a writer should; decides nothing itself.
"""

import io
import os
import threading
from collections.abc import Callable
from time import monotonic

from ._spool import PIECE, Channel, Chunk, Spool


class Output:
    """Takes what the program prints, from any thread; gives it to the latest reader."""

    def __init__(self, spool: Spool, clock: Callable[[], float] = monotonic) -> None:
        self._spool, self._clock = spool, clock
        # Reentrant, for a signal handler may print while its thread prints.
        self._changed = threading.Condition(threading.RLock())
        self._wake_reader: Callable[[], None] = _nobody
        self.wake_feeder: Callable[[], None] = _nobody
        """Called when there is room again after ``crowded``."""
        self.never_waits: int | None = None
        """The thread that must not wait, because the reader runs on it: that of an event loop."""

    def crowded(self) -> float | None:
        """Return None where there is room, else the time at which to look again at the latest."""
        with self._changed:
            return self._spool.patience if self._spool.crowded(self._clock()) else None

    def feed(self, channel: Channel, data: bytes | memoryview) -> None:
        """Add at most PIECE bytes without waiting."""
        with self._changed:
            if self._spool.append(channel, data, self._clock()):
                self._wake_reader()

    def write(self, channel: Channel, data: bytes | memoryview) -> None:
        """Add any amount, waiting for a reader that reads."""
        view = memoryview(data).cast("B")
        patient = threading.get_ident() != self.never_waits
        for start in range(0, len(view), PIECE):
            with self._changed:
                while patient and (until := self.crowded()) is not None:
                    self._changed.wait(until - self._clock())
                self.feed(channel, view[start : start + PIECE])

    def expect(self, within: float) -> None:
        """Let writers wait for a reader that will come within that many seconds."""
        with self._changed:
            self._spool.expect(self._clock() + within)

    def open(self, wake: Callable[[], None]) -> "Reader":
        """Return a reader, which replaces the one before; ``wake`` is called from any thread when there is news."""
        with self._changed:
            former, self._wake_reader = self._wake_reader, wake
            reader = Reader(self, self._spool.attach(self._clock()))
        former()
        return reader

    def finish(self) -> None:
        """Let the reader end once it has everything."""
        with self._changed:
            self._spool.finished = True
            self._wake_reader()

    def spill(self, descriptor: int) -> None:
        """Write what was kept to a descriptor, for there will be no reader."""
        reader = self.open(_nobody)
        with self._changed:  # what is printed meanwhile could go on for ever
            chunks = list(iter(reader.take, None))
            reader.close()
        try:
            for _, data in chunks:
                _write(descriptor, data)
        except OSError:  # nobody reads that, either
            pass

    def take(self, reader: int) -> Chunk | None:
        """Return the next chunk for this reader, if there is one yet."""
        with self._changed:
            was_crowded = self.crowded() is not None
            chunk = self._spool.take(reader, self._clock())
            if was_crowded and chunk is not None:
                self._changed.notify_all()
                self.wake_feeder()
            return chunk

    def is_over(self, reader: int) -> bool:
        """Return whether this reader has had everything."""
        with self._changed:
            return self._spool.is_over(reader)

    def leave(self, reader: int) -> None:
        """Forget a reader, so that nobody waits for it."""
        with self._changed:
            self._spool.detach(reader)
            self._changed.notify_all()
            self._wake_reader()
        self.wake_feeder()


class Reader:
    """One host's call to StreamStdio."""

    def __init__(self, output: Output, number: int) -> None:
        self._output, self._number = output, number

    def take(self) -> Chunk | None:
        """Return the next chunk, if there is one yet."""
        return self._output.take(self._number)

    @property
    def is_over(self) -> bool:
        """Whether nothing will come any more."""
        return self._output.is_over(self._number)

    def close(self) -> None:
        """Say that this reader takes no more. Closing twice is fine."""
        self._output.leave(self._number)


class StderrStream(io.RawIOBase):
    """What stands below ``sys.stderr`` while a plugin serves."""

    def __init__(self, output: Output, descriptor: int) -> None:
        self._output: Output | None = output
        self._descriptor = descriptor

    def release(self) -> None:
        """Write to the descriptor from now on: for who kept the stream, after the serving and in a forked child."""
        self._output = None

    def writable(self) -> bool:
        return True

    def write(self, data: bytes | memoryview, /) -> int:  # type: ignore[override]
        view = memoryview(data)
        output = self._output
        if output is not None:
            output.write(Channel.STDERR, view)
        else:
            _write(self._descriptor, view)
        return view.nbytes

    def fileno(self) -> int:
        # faulthandler and child processes write to a descriptor, and theirs is the host's log.
        return self._descriptor


def _write(descriptor: int, data: bytes | memoryview) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _nobody() -> None:
    """Nobody is waiting."""
