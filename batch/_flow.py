"""Moves batches from a source through steps to a sink: a thread for each, a bounded queue between any two.

So several plugins work at once, the order stays, and what is slow slows down what comes before it. Knows neither
processes nor files; never prints.
"""

import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from time import monotonic
from typing import Generic, Protocol, TypeVar

from ._message import Batch, Message
from ._sink import Sink
from ._source import Source
from ._stats import StageStats, Stats

_T = TypeVar("_T")

_QUEUED = 4
"""Batches that wait between two threads: enough to even out their speeds; memory holds this many for each processor."""

TICK = 0.1  # seconds between two reports of progress


class Step(Protocol):
    """What processes batches."""

    @property
    def restarted(self) -> int:
        """How often it had to be started anew."""
        ...

    def process(self, batch: Batch) -> list[Batch]:
        """Return what becomes of a batch."""
        ...


class Failure(Exception):
    """A part of a flow raised ``cause``; ``part`` is "input", "output", or the name of a step."""

    def __init__(self, part: str, cause: BaseException) -> None:
        super().__init__(part, cause)
        self.part, self.cause = part, cause


class Flow:
    """One flow, to be run once.

    Attributes:
        stats: what it has done so far; ``stats.stages`` has one entry for each of ``steps``.
    """

    def __init__(self, source: Source, steps: Sequence[tuple[str, Step]], sink: Sink) -> None:
        self._source, self._steps, self._sink = source, steps, sink
        self.stats = Stats(expected=source.expected, stages=[StageStats(name) for name, _ in steps])
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._failure: Failure | None = None

    def stop(self) -> None:
        """Read no more; what was read goes through to the end. May be called from a signal handler, and twice."""
        self._stopping.set()
        self._source.interrupt()

    def run(self, progress: Callable[[Stats], object] | None = None) -> None:
        """Run until the source has ended, or `stop`, or a failure; then everything behind the failure goes through.

        Args:
            progress: called now and then, and at the end, in this thread.

        Raises:
            Failure: for the first part that raised.
        """
        begun = monotonic()
        channels = [_Channel[Batch](_QUEUED) for _ in range(len(self._steps) + 1)]
        threads = [self._thread("input", self._read, channels[0])]
        for index, (name, step) in enumerate(self._steps):
            links = channels[index], channels[index + 1]
            threads.append(self._thread(name, self._process, step, self.stats.stages[index], *links))
        threads.append(self._thread("output", self._write, channels[-1]))
        for thread in threads:
            while thread.is_alive():
                thread.join(TICK)
                self.stats.seconds = monotonic() - begun
                if progress is not None:
                    progress(self.stats)
        if self._failure is not None:
            raise self._failure

    def _thread(self, part: str, work: Callable[..., None], *arguments: object) -> threading.Thread:
        def run() -> None:
            try:
                work(*arguments)
            except BaseException as error:  # noqa: BLE001 - `run` raises it in the caller's thread
                with self._lock:
                    self._failure = self._failure or Failure(part, error)

        # Daemonic: a program that gives up on its flow can end whatever the threads wait for.
        thread = threading.Thread(target=run, name=f"goplugin-{part}", daemon=True)
        thread.start()
        return thread

    def _read(self, onward: "_Channel[Batch]") -> None:
        try:
            while not self._stopping.is_set():
                batches = self._source.read(None)
                if batches is None or not self._pass_on(batches, onward):
                    break
            self._pass_on(self._source.rest(), onward)
            self.stats.unfinished = self._source.unfinished()
        finally:
            onward.end()

    def _pass_on(self, batches: Iterable[Batch], onward: "_Channel[Batch]") -> bool:
        read, wanted = self.stats.read, True
        for batch in batches:
            # What nobody wants any more was read all the same, and counts as lost.
            read.batches += 1
            read.messages += len(batch)
            read.bytes = self._source.consumed
            wanted = wanted and onward.put(batch)
        return wanted

    def _process(self, step: Step, stats: StageStats, before: "_Channel[Batch]", onward: "_Channel[Batch]") -> None:
        try:
            while (batch := before.get()) is not None:
                marks = _marks(batch)  # which are not this step's
                begun = monotonic()
                try:
                    answer = step.process(batch)
                finally:
                    stats.seconds += monotonic() - begun
                    stats.restarts = step.restarted
                _count(stats, len(batch), answer, marks)
                for one in answer:
                    if not onward.put(one):
                        return
        finally:
            before.close()
            onward.end()

    def _write(self, before: "_Channel[Batch]") -> None:
        written = self.stats.written
        try:
            while (batch := before.get()) is not None:
                payloads = [payload for message in batch if (payload := self._payload(message)) is not None]
                if payloads:
                    written.bytes += self._sink.write(payloads)
                written.batches += 1
                written.messages += len(payloads)
        finally:
            before.close()

    def _payload(self, message: Message) -> bytes | None:
        try:
            return message.payload
        except ValueError as error:
            self.stats.unwritable += 1
            self.stats.first_unwritable = self.stats.first_unwritable or str(error)
            return None


def _marks(batch: Batch) -> list[str]:
    return [message.error for message in batch if message.error]


def _count(stats: StageStats, taken: int, answer: list[Batch], marks: list[str]) -> None:
    given = sum(map(len, answer))
    stats.batches += 1
    stats.taken += taken
    stats.given += given
    stats.filtered += max(0, taken - given)
    new = Counter(mark for batch in answer for mark in _marks(batch))
    new.subtract(marks)
    failed = {mark: count for mark, count in new.items() if count > 0}
    stats.failed += sum(failed.values())
    stats.first_error = stats.first_error or next(iter(failed), "")


class _Channel(Generic[_T]):
    """A bounded queue of which either side can go away: the writer by `end`, the reader by `close`."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._items: deque[_T] = deque()
        self._changed = threading.Condition()
        self._ended = self._closed = False

    def put(self, item: _T) -> bool:
        """Add an item once there is room; return False if there is no reader any more."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or len(self._items) < self._size)
            if not self._closed:
                self._items.append(item)
                self._changed.notify_all()
            return not self._closed

    def get(self) -> _T | None:
        """Return the next item once there is one, or None when there will be none."""
        with self._changed:
            self._changed.wait_for(lambda: self._ended or self._items)
            if not self._items:
                return None
            self._changed.notify_all()
            return self._items.popleft()

    def end(self) -> None:
        """Say that there will be no more items."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def close(self) -> None:
        """Say that no more items will be read."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
