"""Whose the next stream is: both halves of the knocks, on a clock of their own."""

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from goplugin.handshake import GoPluginError, HostFault, PluginFault
from goplugin.transport import Knock, Side
from goplugin.transport._broker import KEPT_FOR, PENDING_MAX
from goplugin.transport._knocks import ABANDONED_MAX, GRANTS_MAX, LAPSE, Door, Turn, Turns


class Alarm:
    """A call that is due."""

    def __init__(self, due: float, job: Callable[[], object]) -> None:
        self.due, self.job = due, job
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 0.0
        self.alarms: list[Alarm] = []

    def read(self) -> float:
        return self.now

    def later(self, seconds: float, job: Callable[[], object]) -> Alarm:
        alarm = Alarm(self.now + seconds, job)
        self.alarms.append(alarm)
        return alarm

    def passes(self, seconds: float) -> None:
        until = self.now + seconds
        while due := sorted((a for a in self.alarms if not a.cancelled and a.due <= until), key=lambda a: a.due):
            self.alarms.remove(due[0])
            self.now = due[0].due
            due[0].job()
        self.now = until


@pytest.fixture
def clock() -> Clock:
    return Clock()


def yes(id: int) -> Knock:
    return Knock(id, ack=True)


# Accepting


@dataclass
class Entrance:
    """A door, and what it answered."""

    clock: Clock
    answers: list[Knock] = field(default_factory=list[Knock])

    def __post_init__(self) -> None:
        self.door = Door(self.answers.append, self.clock.later, self.clock.read)


@pytest.fixture
def entrance(clock: Clock) -> Entrance:
    return Entrance(clock)


def test_a_stream_that_nobody_knocked_for_is_nobodys(entrance: Entrance) -> None:
    entrance.door.serve(1)
    assert entrance.door.arrived() is None


def test_the_stream_after_a_knock_is_for_its_server_and_the_next_is_not(entrance: Entrance) -> None:
    entrance.door.serve(7)
    entrance.door.knocked(7)
    assert entrance.answers == [yes(7)]
    assert [entrance.door.arrived(), entrance.door.arrived()] == [7, None]


def test_a_knock_may_come_before_its_server(entrance: Entrance, clock: Clock) -> None:
    entrance.door.knocked(7)
    clock.passes(KEPT_FOR - 0.1)
    assert entrance.answers == []
    entrance.door.serve(7)
    assert entrance.answers == [yes(7)]
    assert entrance.door.arrived() == 7


def test_a_knock_whose_sender_has_given_up_is_not_answered(entrance: Entrance, clock: Clock) -> None:
    entrance.door.knocked(7)
    clock.passes(KEPT_FOR)
    entrance.door.serve(7)
    assert entrance.answers == []
    assert entrance.door.arrived() is None


def test_knocking_again_counts_once(entrance: Entrance, clock: Clock) -> None:
    entrance.door.knocked(7)
    clock.passes(KEPT_FOR - 0.1)
    entrance.door.knocked(7)
    clock.passes(KEPT_FOR - 0.1)
    entrance.door.serve(7)
    assert entrance.answers == [yes(7)]


def test_nobody_is_let_in_where_nothing_is_served_any_more(entrance: Entrance) -> None:
    entrance.door.serve(7)
    entrance.door.unserve(7)
    entrance.door.knocked(7)
    assert entrance.answers == []


def test_a_second_knock_is_answered_when_the_stream_of_the_first_has_come(entrance: Entrance) -> None:
    for id in (1, 2, 3):
        entrance.door.serve(id)
        entrance.door.knocked(id)
    assert entrance.answers == [yes(1)]
    assert entrance.door.arrived() == 1
    assert entrance.answers == [yes(1), yes(2)]
    assert [entrance.door.arrived(), entrance.door.arrived(), entrance.door.arrived()] == [2, 3, None]
    assert entrance.answers == [yes(1), yes(2), yes(3)]


def test_an_answered_knock_lapses_only_when_another_waits_behind_it(entrance: Entrance, clock: Clock) -> None:
    for id in (1, 2, 3):
        entrance.door.serve(id)
    entrance.door.knocked(1)
    clock.passes(10 * LAPSE)
    entrance.door.knocked(2)
    entrance.door.knocked(3)
    clock.passes(LAPSE - 0.1)
    assert entrance.answers == [yes(1)]
    clock.passes(0.1)
    assert entrance.answers == [yes(1), yes(2)]
    clock.passes(LAPSE)
    assert entrance.answers == [yes(1), yes(2), yes(3)]
    clock.passes(10 * LAPSE)
    assert entrance.door.arrived() == 3


def test_the_knocks_of_who_is_gone_are_forgotten(entrance: Entrance, clock: Clock) -> None:
    entrance.door.serve(1)
    for id in (1, 1, 2):
        entrance.door.knocked(id)
    entrance.door.forget()
    entrance.door.serve(2)
    assert entrance.door.arrived() is None
    assert [alarm for alarm in clock.alarms if not alarm.cancelled] == []


def test_a_flood_of_knocks_for_what_is_served_is_refused(entrance: Entrance) -> None:
    entrance.door.serve(7)
    for _ in range(GRANTS_MAX):
        entrance.door.knocked(7)
    assert entrance.answers == [yes(7)]
    entrance.door.knocked(7)
    assert entrance.answers[1].ack
    assert "no stream came" in entrance.answers[1].error


def test_a_flood_of_knocks_for_what_is_not_served_loses_the_oldest(entrance: Entrance) -> None:
    for id in range(PENDING_MAX + 1):
        entrance.door.knocked(id)
    entrance.door.serve(0)
    entrance.door.serve(1)
    assert entrance.answers == [yes(1)]


# Dialling


class Opened:
    """A stream that was opened."""

    def __init__(self, number: int, settled: Callable[[], object]) -> None:
        self.number, self.settled = number, settled


class Caller:
    """Turns, the knocks that they sent and the streams that they opened."""

    def __init__(self, clock: Clock, other: Side = Side.PLUGIN) -> None:
        self.knocks: list[int] = []
        self.streams: list[Opened] = []
        self.wasted = 0
        self.refused: GoPluginError | None = None
        self.turns = Turns(other, self._knock, self._open, self._waste, clock.later)

    def _knock(self, knock: Knock) -> None:
        assert not knock.ack
        self.knocks.append(knock.id)

    def _open(self, settled: Callable[[], object]) -> Opened:
        if self.refused is not None:
            raise self.refused
        self.streams.append(Opened(len(self.streams), settled))
        return self.streams[-1]

    def _waste(self) -> None:
        self.wasted += 1


@pytest.fixture
def caller(clock: Clock) -> Caller:
    return Caller(clock)


def stream(turn: Turn[Opened]) -> int | None:
    return turn.outcome.number if isinstance(turn.outcome, Opened) else None


def test_the_main_stream_is_opened_without_a_knock(caller: Caller) -> None:
    assert stream(caller.turns.take(None)) == 0
    assert caller.knocks == []


def test_a_stream_is_opened_when_its_knock_was_answered(caller: Caller) -> None:
    turn = caller.turns.take(5)
    told: list[int | None] = []
    turn.watch(1, lambda _: told.append(stream(turn)))
    assert (caller.knocks, turn.outcome) == ([5], None)
    caller.turns.answered(yes(5))
    assert told == [0]


def test_who_no_longer_looks_is_not_told(caller: Caller) -> None:
    turn = caller.turns.take(5)
    told: list[int] = []
    turn.watch(1, told.append)
    turn.watch(0, told.append)
    caller.turns.answered(yes(5))
    assert told == []


def test_the_next_has_its_turn_when_the_stream_before_was_acknowledged(caller: Caller) -> None:
    first, second, main = (caller.turns.take(id) for id in (5, 6, None))
    caller.turns.answered(yes(5))
    assert (caller.knocks, stream(first)) == ([5], 0)
    caller.streams[0].settled()
    assert caller.knocks == [5, 6]
    caller.turns.answered(yes(6))
    caller.streams[1].settled()
    assert (stream(second), stream(main)) == (1, 2)


def test_a_peer_that_acknowledges_no_stream_does_not_hold_the_others_up(caller: Caller, clock: Clock) -> None:
    caller.turns.take(None)
    caller.turns.take(5)
    clock.passes(4.9)
    assert caller.knocks == []
    clock.passes(0.1)
    assert caller.knocks == [5]
    caller.streams[0].settled()  # late
    assert caller.knocks == [5]


@pytest.mark.parametrize(("other", "kind"), [(Side.PLUGIN, PluginFault), (Side.HOST, HostFault)])
def test_a_knock_that_is_refused_is_the_other_sides_fault(other: Side, kind: type[GoPluginError], clock: Clock) -> None:
    caller = Caller(clock, other)
    turn, next = caller.turns.take(5), caller.turns.take(6)
    caller.turns.answered(Knock(5, ack=True, error="no listener for id 5"))
    assert isinstance(turn.outcome, kind)
    assert "no listener for id 5" in str(turn.outcome)
    assert (caller.knocks, caller.streams, next.outcome) == ([5, 6], [], None)


def test_a_knock_that_is_not_answered_lets_the_others_pass_and_is_repeated(caller: Caller, clock: Clock) -> None:
    patient, other = caller.turns.take(5), caller.turns.take(6)
    clock.passes(5)
    assert caller.knocks == [5, 6]
    caller.turns.answered(yes(6))
    caller.streams[0].settled()
    assert caller.knocks == [5, 6, 5]
    caller.turns.answered(yes(5))
    assert (stream(other), stream(patient)) == (0, 1)
    assert caller.wasted == 0


def test_a_late_answer_gets_the_stream_that_it_lets_in(caller: Caller) -> None:
    turn = caller.turns.take(5)
    caller.turns.leave(turn)
    caller.turns.leave(turn)
    waiting = caller.turns.take(6)
    caller.turns.answered(yes(5))
    assert (caller.wasted, waiting.outcome) == (1, None)
    caller.turns.answered(yes(5))
    assert caller.wasted == 1


def test_a_late_refusal_lets_nothing_in(caller: Caller) -> None:
    caller.turns.leave(caller.turns.take(5))
    caller.turns.answered(Knock(5, ack=True, error="no"))
    assert caller.wasted == 0


def test_answers_that_nobody_asked_for_are_ignored(caller: Caller) -> None:
    caller.turns.answered(yes(5))
    turn = caller.turns.take(6)
    caller.turns.answered(yes(5))
    assert (caller.wasted, turn.outcome) == (0, None)


def test_a_turn_that_is_left_before_its_knock_needs_no_answer(caller: Caller) -> None:
    first, second = caller.turns.take(5), caller.turns.take(6)
    caller.turns.leave(second)
    caller.turns.answered(yes(5))
    caller.streams[0].settled()
    caller.turns.answered(yes(6))
    assert (caller.knocks, caller.wasted, stream(first)) == ([5], 0, 0)


def test_the_memory_of_what_was_given_up_is_bounded(caller: Caller) -> None:
    for id in range(ABANDONED_MAX + 1):
        caller.turns.leave(caller.turns.take(id))
    caller.turns.answered(yes(0))
    assert caller.wasted == 0
    caller.turns.answered(yes(1))
    assert caller.wasted == 1


def test_a_stream_that_cannot_be_opened_fails_its_turn_alone(caller: Caller) -> None:
    turn, next = caller.turns.take(5), caller.turns.take(6)
    caller.refused = PluginFault("no more")
    caller.turns.answered(yes(5))
    assert turn.outcome is caller.refused
    caller.refused = None
    caller.turns.answered(yes(6))
    assert stream(next) == 0


def test_where_no_knock_can_be_answered_any_more_all_of_them_fail_and_the_main_stream_does_not(caller: Caller) -> None:
    given_up = caller.turns.take(4)
    caller.turns.leave(given_up)
    knocked, queued, main = (caller.turns.take(id) for id in (5, 6, None))
    error = PluginFault("the plugin ended its broker stream")
    caller.turns.fail(error)
    for turn in (knocked, queued):
        assert isinstance(turn.outcome, PluginFault)
        assert turn.outcome is not error
    assert stream(main) == 0
    caller.turns.answered(yes(4))
    assert (caller.knocks, caller.wasted) == ([4, 5], 0)
