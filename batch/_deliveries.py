"""Sees to it that what a source gave is delivered: gives failed batches again, and tells the source how it ended.

Waits for nothing but the source. One that does not answer to what became of a batch is told nothing more.
"""

import threading
from collections import deque
from collections.abc import Callable
from time import monotonic

from ..handshake import PluginFault
from ._errors import NoAnswer
from ._patience import FIRST, LONGEST
from ._receipt import Parcel, Receipt
from ._source import Source

_TICK = 0.05  # seconds for which the source is waited for while a batch may still come back


class Undelivered(PluginFault):
    """A batch failed so often that it is not tried again."""

    def __init__(self, messages: int, times: int, error: str) -> None:
        super().__init__(f"a batch of {messages} messages failed {times} times, at last with: {error}")


class _Open:
    """One batch that was given and is not settled."""

    def __init__(self, parcel: Parcel) -> None:
        self.parcel = parcel
        self.failures = 0
        self.due = 0.0


class Deliveries:
    """The batches of a source on their way. One thread reads; any may settle.

    Args:
        source: where they come from.
        replays: whether a failed batch is given again instead of telling the source at once; asked when one fails.
        attempts: how often a batch may fail before it is the source's again, and the reading ends.

    Attributes:
        replayed: the messages that were given again.
        undelivered: those that were given up.
        ended: the source has nothing more to give; what was given may still come again.
    """

    def __init__(
        self, source: Source, replays: Callable[[], bool], attempts: int, clock: Callable[[], float] = monotonic
    ) -> None:
        self._source, self._replays, self._attempts, self._clock = source, replays, attempts, clock
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._open: dict[int, _Open] = {}
        self._again: deque[_Open] = deque()
        self.ended = False
        self._fault: Exception | None = None
        self._silence: NoAnswer | None = None
        self.replayed = self.undelivered = 0

    def read(self) -> list[Parcel] | None:
        """Return what there is now; nothing after a moment without, or None once all was given and settled.

        Raises:
            Undelivered: a batch failed too often. All that was read is given and settled before.
            MachineFault, PluginFault: the source failed, or does not answer. The same.
        """
        with self._lock:
            if parcels := self._due():
                return parcels
            waiting = bool(self._open)
            if self.ended:
                if waiting:
                    self._changed.wait(_TICK)
                elif self._fault is not None:
                    raise self._fault
                return [] if waiting else None
            failed = self._fault is not None
        try:
            found = None if failed else self._source.read(_TICK if waiting else None)
        except Exception as fault:  # noqa: BLE001 - raised once what came before it is dealt with
            found, self._fault = None, self._fault or fault
        return self.rest() if found is None else [self._given(parcel) for parcel in found]

    def rest(self) -> list[Parcel]:
        """Return what the source has read and not given; from now on it is asked for no more."""
        self.ended = True
        return [self._given(parcel) for parcel in self._source.rest()]

    def abandon(self, error: str) -> None:
        """Tell the source of all that is still on its way that it failed.

        Raises:
            NoAnswer: it did not answer to what became of a batch, now or before.
        """
        with self._lock:
            left, self._open = list(self._open.values()), {}
            self._again.clear()
            self.undelivered += sum(len(one.parcel.messages) for one in left)
        for one in left:
            self._tell(one, error)
        if self._silence is not None:
            raise self._silence

    def _given(self, parcel: Parcel) -> Parcel:
        one = _Open(parcel)
        with self._lock:
            self._open[id(one)] = one
        return self._tracked(one)

    def _tracked(self, one: _Open) -> Parcel:
        return Parcel(one.parcel.messages, Receipt(lambda error: self._settled(one, error)))

    def _settled(self, one: _Open, error: str) -> None:
        with self._lock:
            if id(one) not in self._open:
                return  # it was abandoned
            if error and self._replays():
                one.failures += 1
                if one.failures < self._attempts:
                    one.due = self._clock() + min(LONGEST, FIRST * 2 ** (one.failures - 1))
                    self._again.append(one)
                    self._changed.notify_all()
                    return
                self._fault = self._fault or Undelivered(len(one.parcel.messages), one.failures, error)
            del self._open[id(one)]
            self.undelivered += len(one.parcel.messages) if error else 0
            self._changed.notify_all()
        self._tell(one, error)

    def _tell(self, one: _Open, error: str) -> None:
        if self._silence is not None:
            return
        try:
            one.parcel.settle(error)
        except NoAnswer as silence:
            self._silence = silence
            self._fault = self._fault or silence
            self._source.interrupt()  # a read that may take for ever

    def _due(self) -> list[Parcel]:
        now = self._clock()
        due = [one for one in self._again if one.due <= now]
        for one in due:
            self._again.remove(one)
            self.replayed += len(one.parcel.messages)
        return [self._tracked(one) for one in due]
