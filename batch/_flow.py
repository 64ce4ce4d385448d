"""Moves batches from a source through steps to an outlet: threads for each, a bounded queue between any two.

So several plugins work at once, what is slow slows down what comes before it, and with one worker for each step and
one batch in flight the order stays. Knows neither processes nor files; never prints.
"""

import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from time import monotonic
from typing import Generic, Protocol, TypeVar

from ._components import Policy
from ._deliveries import Deliveries, Undelivered
from ._ends import Outlet
from ._errors import SendFailed
from ._message import Batch
from ._receipt import Gatherer, Parcel
from ._source import Source
from ._stats import StageStats, Stats

_T = TypeVar("_T")

_QUEUED = 4
"""Batches that wait between two threads: enough to even out their speeds; memory holds this many for each processor."""

TICK = 0.1  # seconds between two reports of progress


class Step(Protocol):
    """What processes batches, one at a time."""

    @property
    def restarted(self) -> int:
        """How often it had to be started anew."""
        ...

    def process(self, batch: Batch) -> list[Batch]:
        """Return what becomes of a batch, which itself stays as it is."""
        ...


class Failure(Exception):
    """A part of a flow raised ``cause``; ``part`` is "input", "output", or the name of a step."""

    def __init__(self, part: str, cause: BaseException) -> None:
        super().__init__(part, cause)
        self.part, self.cause = part, cause


class Flow:
    """One flow, to be run once.

    Args:
        source: where batches come from.
        steps: what each goes through; a name, and the workers that share the work.
        outlet: where they go.
        replays: whether a batch that could not be delivered goes through it all again; asked when the first fails.
        attempts: how often a batch may fail before the flow does.

    Attributes:
        stats: what it has done so far; ``stats.stages`` has one entry for each of ``steps``.
    """

    def __init__(
        self,
        source: Source,
        steps: Sequence[tuple[str, Sequence[Step]]],
        outlet: Outlet,
        replays: Callable[[], bool] = lambda: False,
        attempts: int = 1,
    ) -> None:
        self._source, self._steps, self._outlet = source, steps, outlet
        self._deliveries = Deliveries(source, replays, attempts)
        self.stats = Stats(expected=source.expected, stages=[StageStats(name) for name, _ in steps])
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._failure: Failure | None = None
        self._threads: list[threading.Thread] = []

    @property
    def running(self) -> bool:
        """Whether any of its threads is, as some are where ``progress`` has raised."""
        return any(thread.is_alive() for thread in self._threads)

    def stop(self) -> None:
        """Read no more; what was read goes through to the end. May be called from a signal handler, and twice."""
        self._stopping.set()
        self._source.interrupt()

    def run(self, progress: Callable[[Stats], object] | None = None) -> None:
        """Run until the source has ended, or `stop`, or a failure; then everything behind the failure goes through.

        Once it returns or raises, the source knows of every batch what became of it, unless it does not answer to that.

        Args:
            progress: called now and then, and at the end, in this thread.

        Raises:
            Failure: for the first part that raised.
        """
        begun = monotonic()
        flowing = _Channel[Parcel](_QUEUED)
        self._thread("input", self._read, flowing)
        for (name, workers), stats in zip(self._steps, self.stats.stages, strict=True):
            before, flowing = flowing, _Channel[Parcel](_QUEUED, len(workers))
            for worker in workers:
                self._thread(name, self._process, worker, workers, stats, before, flowing)
        if (policy := self._outlet.policy) is not None:
            before, flowing = flowing, _Channel[Parcel](_QUEUED)
            self._thread("output", self._gather, policy, before, flowing)
        for _ in range(self._outlet.max_in_flight):
            self._thread("output", self._write, flowing)
        self._join(begun, progress)
        # The source may not answer to that, and whoever runs this must be able to give up.
        reason = str(self._failure.cause) if self._failure is not None else "the run was stopped"
        self._thread("input", self._deliveries.abandon, reason)
        self._join(begun, progress)
        self._sum_up(begun, progress)
        if self._failure is not None:
            raise self._failure

    def _join(self, begun: float, progress: Callable[[Stats], object] | None) -> None:
        for thread in self._threads:
            thread.join(TICK)
            while thread.is_alive():
                self._sum_up(begun, progress)
                thread.join(TICK)

    def _sum_up(self, begun: float, progress: Callable[[Stats], object] | None) -> None:
        stats = self.stats
        stats.seconds = monotonic() - begun
        stats.replayed, stats.undelivered = self._deliveries.replayed, self._deliveries.undelivered
        stats.written.restarts = self._outlet.restarted
        if progress is not None:
            progress(stats)

    def _thread(self, part: str, work: Callable[..., None], *arguments: object) -> None:
        def run() -> None:
            try:
                work(*arguments)
            except BaseException as error:  # noqa: BLE001 - `run` raises it in the caller's thread
                with self._lock:
                    blamed = "output" if isinstance(error, Undelivered) else part
                    self._failure = self._failure or Failure(blamed, error)
                self.stop()  # whoever waits for what is behind the failure would wait for ever

        # Daemonic: a program that gives up on its flow can end whatever the threads wait for.
        thread = threading.Thread(target=run, name=f"goplugin-{part}", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _read(self, onward: "_Channel[Parcel]") -> None:
        try:
            self._give(onward, lambda: not self._stopping.is_set())
            self._pass_on(self._deliveries.rest(), onward)
            self.stats.unfinished = self._source.unfinished()
            self._give(onward, lambda: self._failure is None)  # what was read may still have to be given again
        finally:
            onward.end()

    def _give(self, onward: "_Channel[Parcel]", wanted: Callable[[], bool]) -> None:
        while wanted():
            parcels = self._deliveries.read()
            if parcels is None or not self._pass_on(parcels, onward):
                break

    def _pass_on(self, parcels: Iterable[Parcel], onward: "_Channel[Parcel]") -> bool:
        read, wanted = self.stats.read, True
        for parcel in parcels:
            # What nobody wants any more was read all the same, and counts as lost.
            read.batches += 1
            read.messages += len(parcel.messages)
            read.bytes = self._source.consumed
            wanted = wanted and onward.put(parcel)
        return wanted

    def _process(
        self,
        step: Step,
        workers: Sequence[Step],
        stats: StageStats,
        before: "_Channel[Parcel]",
        onward: "_Channel[Parcel]",
    ) -> None:
        try:
            while (parcel := before.get()) is not None:
                batch = parcel.messages
                marks = _marks(batch)  # which are not this step's
                begun = monotonic()
                try:
                    answer = step.process(batch)
                finally:
                    with self._lock:
                        stats.seconds += monotonic() - begun
                        stats.restarts = sum(worker.restarted for worker in workers)
                with self._lock:
                    _count(stats, len(batch), answer, marks)
                if parcel.receipt is not None:
                    parcel.receipt.split(len(answer))
                for one in answer:
                    if not onward.put(Parcel(one, parcel.receipt)):
                        return
        except BaseException:
            before.close()
            raise
        finally:
            if not onward.open:
                before.close()
            onward.end()

    def _gather(self, policy: Policy, before: "_Channel[Parcel]", onward: "_Channel[Parcel]") -> None:
        gatherer = Gatherer(policy, monotonic())
        try:
            while True:
                soon = monotonic() + TICK
                if not before.wait(soon if gatherer.due is None else min(soon, gatherer.due)):
                    # The source may wait for what became of the last messages, so nobody waits for more of them.
                    full = gatherer.flush(monotonic()) if self._deliveries.ended else gatherer.tick(monotonic())
                elif (parcel := before.get()) is not None:
                    full = gatherer.add(parcel, monotonic())
                else:
                    break
                if not all(onward.put(one) for one in full):
                    return
            for one in gatherer.flush(monotonic()):
                onward.put(one)
        finally:
            before.close()
            onward.end()

    def _write(self, before: "_Channel[Parcel]") -> None:
        try:
            while (parcel := before.get()) is not None:
                try:
                    self._outlet.deliver(parcel.messages, self.stats)
                except SendFailed as refusal:
                    with self._lock:
                        self.stats.rejected += len(parcel.messages)
                        self.stats.first_rejection = self.stats.first_rejection or refusal.text
                    parcel.settle(str(refusal))
                else:
                    parcel.settle()
        except BaseException:
            before.close()
            raise


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
    """A bounded queue of which either side can go away: the writers each by `end`, the readers by `close`."""

    def __init__(self, size: int, writers: int = 1) -> None:
        self._size, self._writers = size, writers
        self._items: deque[_T] = deque()
        self._changed = threading.Condition()
        self.open = True

    def put(self, item: _T) -> bool:
        """Add an item once there is room; return False if there is no reader any more."""
        with self._changed:
            self._changed.wait_for(lambda: not self.open or len(self._items) < self._size)
            if self.open:
                self._items.append(item)
                self._changed.notify_all()
            return self.open

    def get(self) -> _T | None:
        """Return the next item once there is one, or None when there will be none."""
        with self._changed:
            self._changed.wait_for(lambda: not self._writers or self._items or not self.open)
            if not self._items or not self.open:
                return None
            self._changed.notify_all()
            return self._items.popleft()

    def wait(self, until: float | None) -> bool:
        """Wait until `get` would return at once, at most until that time; return whether it would."""
        with self._changed:
            left = None if until is None else max(0.0, until - monotonic())
            return bool(self._changed.wait_for(lambda: not self._writers or bool(self._items) or not self.open, left))

    def end(self) -> None:
        """Say that this writer will add no more."""
        with self._changed:
            self._writers -= 1
            self._changed.notify_all()

    def close(self) -> None:
        """Say that no more items will be read."""
        with self._changed:
            self.open = False
            self._changed.notify_all()
