"""What was given is delivered, given again, or given up: and its source hears of each batch once."""

import pytest

from goplugin.batch import Message
from goplugin.batch._deliveries import Deliveries, Undelivered
from goplugin.batch._errors import NoAnswer
from goplugin.batch._receipt import Parcel, Receipt
from goplugin.handshake import MachineFault


class Numbers:
    """A source of the batches 0, 1, 2 … that notes what it hears of each."""

    expected, files, consumed = None, (), 0

    def __init__(self, count: int) -> None:
        self._left = list(range(count))
        self.heard: list[tuple[int, str]] = []
        self.silent = self.interrupted = False

    def read(self, timeout: float | None) -> list[Parcel] | None:
        return [self._parcel(self._left.pop(0))] if self._left else None

    def _parcel(self, number: int) -> Parcel:
        return Parcel([Message(b"%d" % number)], Receipt(lambda error: self._hear(number, error)))

    def _hear(self, number: int, error: str) -> None:
        self.heard.append((number, error))
        if self.silent:
            raise NoAnswer("Ack", 60.0)

    def rest(self) -> list[Parcel]:
        return [self._parcel(99)] if self._left else []

    def unfinished(self) -> int:
        return 0

    def interrupt(self) -> None:
        self.interrupted = True

    def close(self) -> None: ...


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def one(deliveries: Deliveries) -> Parcel:
    (parcel,) = deliveries.read() or []
    return parcel


def test_what_is_delivered_is_heard_of_and_then_there_is_an_end() -> None:
    source = Numbers(2)
    deliveries = Deliveries(source, lambda: True, 3)
    first, second = one(deliveries), one(deliveries)
    second.settle()
    assert deliveries.read() == []  # the source has ended, and the first may still fail
    assert source.heard == [(1, "")]
    first.settle()
    assert deliveries.read() is None
    assert source.heard == [(1, ""), (0, "")]


def test_what_fails_comes_again_later_and_its_source_hears_only_of_the_end() -> None:
    source, clock = Numbers(1), Clock()
    deliveries = Deliveries(source, lambda: True, 3, clock)
    one(deliveries).settle("no")
    assert deliveries.read() == []
    clock.now += 0.1
    one(deliveries).settle("no")
    clock.now += 0.1
    assert deliveries.read() == []  # longer and longer
    clock.now += 0.2
    one(deliveries).settle()
    assert deliveries.read() is None
    assert source.heard == [(0, "")]
    assert (deliveries.replayed, deliveries.undelivered) == (2, 0)


def test_what_fails_too_often_is_the_sources_again_and_the_reading_ends() -> None:
    source, clock = Numbers(2), Clock()
    deliveries = Deliveries(source, lambda: True, 2, clock)
    one(deliveries).settle("no")
    clock.now += 9
    one(deliveries).settle("never")
    one(deliveries).settle()  # what the source had read
    for _ in range(2):
        with pytest.raises(Undelivered, match="a batch of 1 messages failed 2 times, at last with: never"):
            deliveries.read()
    assert source.heard == [(0, "never"), (99, "")]
    assert deliveries.undelivered == 1


class Breaking(Numbers):
    """Fails where it would end."""

    def read(self, timeout: float | None) -> list[Parcel] | None:
        if self._left:
            return super().read(timeout)
        self._left = [99]  # which was read, and is the rest
        raise MachineFault("unreadable")


def test_what_a_source_gave_before_it_failed_is_given_and_given_again_before_that_is_raised() -> None:
    source, clock = Breaking(1), Clock()
    deliveries = Deliveries(source, lambda: True, 2, clock)
    first, rest = one(deliveries), one(deliveries)
    first.settle("no")
    rest.settle()
    assert deliveries.read() == []
    clock.now += 9
    one(deliveries).settle()
    with pytest.raises(MachineFault, match="unreadable"):
        deliveries.read()
    assert source.heard == [(99, ""), (0, "")]


def test_a_source_that_wants_to_hear_of_failures_does_at_once() -> None:
    source = Numbers(1)
    deliveries = Deliveries(source, lambda: False, 3)
    one(deliveries).settle("no")
    assert source.heard == [(0, "no")]
    while deliveries.read() is not None:
        pass
    assert (deliveries.replayed, deliveries.undelivered) == (0, 1)


def test_after_the_rest_nothing_is_read_and_what_fails_comes_again_all_the_same() -> None:
    source, clock = Numbers(2), Clock()
    deliveries = Deliveries(source, lambda: True, 3, clock)
    first = one(deliveries)
    (rest,) = deliveries.rest()
    first.settle("no")
    rest.settle()
    assert deliveries.read() == []
    clock.now += 9
    one(deliveries).settle()
    assert deliveries.read() is None
    assert source.heard == [(99, ""), (0, "")]


def test_what_is_abandoned_fails_and_what_becomes_of_it_later_is_not_told() -> None:
    source, clock = Numbers(2), Clock()
    deliveries = Deliveries(source, lambda: True, 3, clock)
    one(deliveries).settle("no")
    second = one(deliveries)
    deliveries.abandon("lost")
    second.settle()
    assert source.heard == [(0, "lost"), (1, "lost")]
    assert deliveries.undelivered == 2


def test_a_source_that_does_not_answer_is_told_nothing_more_and_that_ends_the_reading() -> None:
    source = Numbers(3)
    deliveries = Deliveries(source, lambda: True, 3)
    first, second = one(deliveries), one(deliveries)
    source.silent = True
    first.settle()
    assert source.interrupted
    rest = one(deliveries)
    second.settle()
    rest.settle()
    with pytest.raises(NoAnswer):
        deliveries.read()
    assert source.heard == [(0, "")]
    assert deliveries.undelivered == 0


def test_a_source_that_does_not_answer_to_the_last_of_all_or_to_what_is_abandoned_is_not_forgotten() -> None:
    source = Numbers(3)
    deliveries = Deliveries(source, lambda: True, 3)
    for _ in range(3):
        one(deliveries)
    source.silent = True
    for _ in range(2):
        with pytest.raises(NoAnswer):
            deliveries.abandon("lost")
    assert source.heard == [(0, "lost")]
    assert deliveries.undelivered == 3
