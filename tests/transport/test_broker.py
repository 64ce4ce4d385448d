"""The broker's book-keeping."""

from collections.abc import Callable

import pytest

from goplugin.handshake import (
    DialTimeout,
    HostDialTimeout,
    HostFault,
    Misuse,
    PluginDialTimeout,
    PluginFault,
    Unix,
)
from goplugin.transport import Announcement, Side, Stream
from goplugin.transport._broker import OUTGOING_MAX, PENDING_MAX, Dial, Ledger


def at(number: int, path: str = "/p") -> Announcement:
    return Announcement(id=number, address=Unix(path))


class Bell:
    """Counts how often it was rung."""

    rung = 0

    def __call__(self) -> None:
        self.rung += 1


@pytest.fixture
def ledger() -> Ledger:
    """That of a host."""
    return Ledger(Side.PLUGIN)


def answered(ledger: Ledger, id: int, now: float) -> bool:
    """Dial without waiting."""
    dial = ledger.dial(id, now, 0, Bell())
    ledger.leave(dial)
    try:
        return dial.result().id == id
    except DialTimeout:
        return False


def test_ids_start_at_one_and_never_repeat(ledger: Ledger) -> None:
    assert [ledger.next_id() for _ in range(3)] == [1, 2, 3]


# Dialling


def test_what_was_announced_before_is_dialled_at_once_and_once(ledger: Ledger) -> None:
    ledger.announced(at(7), 100)
    bell = Bell()
    dial = ledger.dial(7, 104, 5, bell)
    assert bell.rung == 1
    assert dial.result() == at(7)
    assert not answered(ledger, 7, 104)
    assert not answered(ledger, 8, 104)


def test_what_is_announced_later_wakes_the_dial_that_waits_for_it_and_no_other(ledger: Ledger) -> None:
    bells = [Bell(), Bell()]
    one, two = (ledger.dial(id, 100, 5, bell) for id, bell in zip((1, 2), bells, strict=True))
    ledger.announced(at(2), 103)
    assert [bell.rung for bell in bells] == [0, 1]
    assert two.result() == at(2)
    ledger.leave(one)
    ledger.announced(at(1), 106)
    assert bells[0].rung == 0, "nobody waits for it any more"
    assert answered(ledger, 1, 106), "but the next dial finds it"


@pytest.mark.parametrize(
    ("other", "kind", "fault"), [(Side.PLUGIN, PluginDialTimeout, PluginFault), (Side.HOST, HostDialTimeout, HostFault)]
)
def test_a_dial_that_nothing_answered_says_who_did_not_serve_what(
    other: Side, kind: type[DialTimeout], fault: type[Exception]
) -> None:
    ledger = Ledger(other)
    dial = ledger.dial(9, 100, 2.5, Bell())
    ledger.leave(dial)
    with pytest.raises(fault, match=f"the {other.value} did not serve the brokered connection 9 within 2.5 s") as late:
        dial.result()
    assert type(late.value) is kind
    assert (late.value.id, late.value.seconds) == (9, 2.5)


def test_an_id_is_dialled_by_one_at_a_time(ledger: Ledger) -> None:
    dial = ledger.dial(1, 100, 5, Bell())
    with pytest.raises(Misuse, match="connection 1 is being dialled already"):
        ledger.dial(1, 101, 5, Bell())
    ledger.leave(dial)
    assert not answered(ledger, 1, 101)


@pytest.mark.parametrize("seconds", [-1.0, float("inf"), float("nan"), 1e9])
def test_senseless_seconds_are_a_misuse(ledger: Ledger, seconds: float) -> None:
    with pytest.raises(Misuse, match="timeout must be seconds"):
        ledger.dial(1, 100, seconds, Bell())


@pytest.mark.parametrize("id", [-1, 2**32])
def test_an_id_is_what_the_wire_can_carry(ledger: Ledger, id: int) -> None:
    for step in (lambda: ledger.serve(id), lambda: ledger.dial(id, 100, 5, Bell())):
        with pytest.raises(Misuse, match="0 to 4294967295"):
            step()
    ledger.serve(2**32 - 1)


# Announcements of the other side


def test_an_announcement_that_nobody_dials_is_forgotten_after_five_seconds(ledger: Ledger) -> None:
    ledger.announced(at(1), 100)
    ledger.announced(at(2), 104)
    assert not answered(ledger, 1, 105)
    assert answered(ledger, 2, 105)


def test_a_repeated_announcement_replaces_the_first_and_starts_its_time_again(ledger: Ledger) -> None:
    ledger.announced(at(1, "/old"), 100)
    ledger.announced(at(1, "/new"), 103)
    assert ledger.dial(1, 106, 0, Bell()).result() == at(1, "/new")


def test_a_flood_of_announcements_keeps_the_newest(ledger: Ledger) -> None:
    for number in range(2 * PENDING_MAX):
        ledger.announced(at(number), 100)
    found = [number for number in range(2 * PENDING_MAX) if answered(ledger, number, 100)]
    assert found == list(range(PENDING_MAX, 2 * PENDING_MAX))


# Our own announcements


def test_an_id_is_served_once_at_a_time(ledger: Ledger) -> None:
    ledger.serve(1)
    with pytest.raises(Misuse, match="connection 1 is served already"):
        ledger.serve(1)
    ledger.serve(2)
    ledger.unserve(1)
    ledger.serve(1)


def test_what_is_announced_before_the_stream_is_open_is_sent_first(ledger: Ledger) -> None:
    ledger.announce(at(1))
    ledger.announce(at(2))
    bell = Bell()
    stream = Stream(bell)
    ledger.opened(stream)
    assert bell.rung == 1
    ledger.announce(at(3))
    assert bell.rung == 2
    assert [ledger.outgoing(stream) for _ in range(4)] == [at(1), at(2), at(3), None]


def test_a_stream_with_nothing_to_send_is_not_woken(ledger: Ledger) -> None:
    bell = Bell()
    ledger.opened(Stream(bell))
    assert bell.rung == 0


def test_what_ended_before_it_was_announced_never_is(ledger: Ledger) -> None:
    for id in (1, 2):
        ledger.serve(id)
        ledger.announce(at(id))
    ledger.unserve(1)
    stream = Stream(Bell())
    ledger.opened(stream)
    assert [ledger.outgoing(stream), ledger.outgoing(stream)] == [at(2), None]


def test_announcements_that_nobody_takes_are_bounded() -> None:
    ledger = Ledger(Side.HOST)
    for id in range(OUTGOING_MAX):
        ledger.announce(at(id))
    with pytest.raises(HostFault, match=f"the host takes no announcements: {OUTGOING_MAX} wait for it"):
        ledger.announce(at(OUTGOING_MAX))


# The end


def test_when_the_plugin_ends_its_stream_its_host_brokers_nothing_more(ledger: Ledger) -> None:
    stream, bell = Stream(Bell()), Bell()
    ledger.opened(stream)
    ledger.serve(1)
    dial = ledger.dial(7, 100, 5, bell)
    ledger.ended(stream)
    assert bell.rung == 1
    steps: list[Callable[[], object]] = [
        dial.result,
        lambda: ledger.dial(8, 100, 5, Bell()),
        lambda: ledger.serve(2),
        lambda: ledger.announce(at(1)),
    ]
    for step in steps:
        with pytest.raises(PluginFault, match="the plugin ended its broker stream"):
            step()
    ledger.announced(at(9), 100)
    ledger.unserve(1)


def test_a_host_that_ended_its_stream_may_open_another() -> None:
    ledger = Ledger(Side.HOST)
    first, second = Stream(Bell()), Stream(Bell())
    ledger.opened(first)
    dial = ledger.dial(7, 100, 5, Bell())
    ledger.ended(first)
    with pytest.raises(HostFault, match="the host ended its broker stream"):
        dial.result()
    ledger.announce(at(1))
    assert ledger.outgoing(first) is None
    ledger.opened(second)
    assert ledger.outgoing(second) == at(1)
    ledger.announced(at(7), 101)
    assert answered(ledger, 7, 101)


def test_a_host_that_came_back_is_not_harmed_by_the_end_of_its_earlier_stream() -> None:
    ledger = Ledger(Side.HOST)
    first, second, bell = Stream(Bell()), Stream(Bell()), Bell()
    ledger.opened(first)
    ledger.opened(second)
    dial = ledger.dial(7, 100, 5, bell)
    ledger.announce(at(1))
    ledger.ended(first)
    assert bell.rung == 0
    assert (ledger.outgoing(first), ledger.outgoing(second)) == (None, at(1))
    ledger.leave(dial)


@pytest.mark.parametrize("other", Side)
def test_after_the_close_everything_is_a_misuse(other: Side) -> None:
    ledger = Ledger(other)
    stream, bell = Stream(Bell()), Bell()
    ledger.announce(at(1))
    ledger.announced(at(7), 100)
    dial: Dial = ledger.dial(8, 100, 5, bell)
    ledger.close()
    ledger.close()
    assert bell.rung == 1
    steps: list[Callable[[], object]] = [
        dial.result,
        lambda: ledger.dial(7, 100, 5, Bell()),
        lambda: ledger.serve(2),
        lambda: ledger.announce(at(1)),
        ledger.check_open,
    ]
    for step in steps:
        with pytest.raises(Misuse, match="the broker is closed"):
            step()
    ledger.opened(stream)
    assert ledger.outgoing(stream) is None
