"""The broker's book-keeping."""

from goplugin.handshake import Unix
from goplugin.transport import Announcement, Broker


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def at(number: int, path: str = "/p") -> Announcement:
    return Announcement(id=number, address=Unix(path))


def test_ids_start_at_one_and_never_repeat() -> None:
    broker = Broker()
    assert [broker.next_id() for _ in range(3)] == [1, 2, 3]


def test_an_announcement_is_taken_once() -> None:
    broker = Broker()
    broker.announced(at(7))
    assert broker.take(7) == at(7)
    assert broker.take(7) is None
    assert broker.take(8) is None


def test_an_announcement_that_nobody_takes_is_forgotten_after_five_seconds() -> None:
    clock = Clock()
    broker = Broker(clock)
    broker.announced(at(1))
    clock.now += 4
    broker.announced(at(2))
    clock.now += 1
    assert broker.take(1) is None
    assert broker.take(2) == at(2)


def test_a_repeated_announcement_replaces_the_first_and_starts_its_time_again() -> None:
    clock = Clock()
    broker = Broker(clock)
    broker.announced(at(1, "/old"))
    clock.now += 3
    broker.announced(at(1, "/new"))
    clock.now += 3
    assert broker.take(1) == at(1, "/new")


def test_a_flood_of_announcements_keeps_the_newest() -> None:
    broker = Broker(Clock())
    for number in range(20_000):
        broker.announced(at(number))
    assert broker.take(0) is None
    assert broker.take(19_999) == at(19_999)
    assert broker.take(10_000) == at(10_000)
    assert broker.take(9_999) is None
