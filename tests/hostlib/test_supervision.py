"""What a supervision decides, given facts, times and chances: no plugin, no clock."""

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goplugin.handshake import MachineFault, Misuse, PluginFault, PluginLost
from goplugin.hostlib import (
    Event,
    GaveUp,
    HealthCheck,
    Lost,
    MayHaveRun,
    PluginGivenUp,
    Ready,
    Restart,
    Restarting,
    RestartPolicy,
    Started,
)
from goplugin.hostlib._supervision import Attempts, Do, Supervision

CRASH = PluginLost("ended", argv=["p"], pid=7, status=-11, stderr=(b"last words",))
EXIT = PluginLost("ended", argv=["p"], pid=7, status=0)
SICK = PluginFault("the plugin does not answer")
PLAIN = RestartPolicy(delay=1.0, factor=2.0, delay_max=5.0, jitter=0.0, steady=10.0, limit=None)
DAY = 86400.0


def supervision(
    policy: RestartPolicy = PLAIN, health: HealthCheck | None = None, chance: Callable[[], float] = lambda: 0.0
) -> Supervision:
    return Supervision(policy, health, chance)


def fall(life: Supervision, now: float, error: Exception = CRASH) -> list[Event]:
    """Lose the plugin and clear it away; return what is told."""
    life.news()
    life.lost(now, error)
    assert life.due(now) is Do.CLEAR
    life.cleared(now)
    return life.news()


def running(life: Supervision, now: float) -> None:
    assert life.due(now) is Do.START
    life.ready(now, 7)
    assert life.due(now) is Do.WATCH


def test_the_first_start_is_due_at_once_and_each_step_is_told() -> None:
    life = supervision()
    assert life.due(100.0) is Do.START
    assert life.news() == [Started(0)]
    life.ready(103.0, 7)
    assert life.running
    assert life.news() == [Ready(7, 3.0)]
    assert life.due(104.0) is Do.WATCH
    assert life.deadline == math.inf
    assert fall(life, 105.0) == [Lost(CRASH, 2.0), Restarting(1, 1.0)]
    assert life.due(105.9) is Do.REST
    assert life.deadline == 106.0
    assert life.due(106.0) is Do.START
    assert life.news() == [Started(1)]


def test_delays_grow_to_their_bound_and_start_over_after_a_steady_while() -> None:
    life, now, delays = supervision(), 0.0, list[float]()
    for ready_for in (0.0, 1.0, 9.9, 0.0, 0.0, 10.0, 0.0):
        assert life.due(now) is Do.START
        if ready_for:
            life.ready(now, 7)
        _, restarting = fall(life, now + ready_for)
        assert isinstance(restarting, Restarting)
        delays.append(restarting.delay)
        now += ready_for + restarting.delay
    assert delays == [1.0, 2.0, 4.0, 5.0, 5.0, 1.0, 2.0]


def test_after_so_many_restarts_within_the_window_it_is_given_up() -> None:
    life = supervision(RestartPolicy(delay=1.0, factor=1.0, jitter=0.0, limit=3, window=60.0))
    for now in (0.0, 1.0, 2.0):
        assert life.due(now) is Do.START
        fall(life, now)
    assert life.due(3.0) is Do.START
    lost, gave_up = fall(life, 3.0)
    assert lost == Lost(CRASH, 0.0)
    assert gave_up == GaveUp("it was restarted 3 times within 60 s", CRASH, 3)
    assert life.due(DAY) is Do.END
    with pytest.raises(PluginGivenUp, match="is not started again, for it was restarted 3 times") as caught:
        life.refuse()
    error = caught.value
    assert (error.pid, error.signal, error.argv, error.stderr) == (7, "SIGSEGV", ("p",), (b"last words",))


def test_restarts_that_are_older_than_the_window_are_forgotten() -> None:
    life = supervision(RestartPolicy(delay=1.0, factor=1.0, jitter=0.0, limit=1, window=60.0))
    life.due(0.0)
    fall(life, 0.0)
    assert life.due(1.0) is Do.START
    assert isinstance(fall(life, 61.0)[-1], Restarting)


def test_an_error_that_is_kept_keeps_no_frames_but_those_of_the_callers_own_function() -> None:
    def fails(error: Exception) -> Exception:
        try:
            try:
                raise ValueError
            except ValueError as inner:
                raise error from inner
        except Exception as outer:  # noqa: BLE001
            return outer

    for error, kept in ((fails(PluginFault("sick")), False), (fails(ZeroDivisionError()), True)):
        life = supervision()
        life.due(0.0)
        life.lost(0.0, error)
        assert error.__cause__ is not None
        assert [error.__traceback__ is not None, error.__cause__.__traceback__ is not None] == [kept, kept]


@pytest.mark.parametrize(
    ("restart", "error", "why"),
    [
        (Restart.ALWAYS, EXIT, None),
        (Restart.ALWAYS, MachineFault("no such file"), None),
        (Restart.ON_FAILURE, EXIT, "it ended by itself and is restarted on failure only"),
        (Restart.ON_FAILURE, CRASH, None),
        (Restart.ON_FAILURE, PluginLost("ended"), None),  # nobody knows how
        (Restart.ON_FAILURE, SICK, None),
        (Restart.NEVER, CRASH, "its policy is so"),
        (Restart.ALWAYS, Misuse("no command"), "no restart can cure this"),
        (Restart.ALWAYS, ZeroDivisionError(), "no restart can cure this"),
    ],
)
def test_the_policy_and_the_error_say_whether_there_is_another_start(
    restart: Restart, error: Exception, why: str | None
) -> None:
    life = supervision(RestartPolicy(restart=restart))
    life.due(0.0)
    _, verdict = fall(life, 0.0, error)
    if why is None:
        assert isinstance(verdict, Restarting)
    else:
        assert verdict == GaveUp(why, error, 0)


def test_a_plugin_is_pinged_and_replaced_once_it_misses_too_many_in_a_row() -> None:
    life = supervision(health=HealthCheck(every=10.0, timeout=2.0, misses=2))
    assert life.patience == 2.0
    running(life, 0.0)
    assert life.due(9.9) is Do.WATCH
    assert life.deadline == 10.0
    assert life.due(10.0) is Do.PING
    life.missed(12.0, SICK)
    assert life.due(21.9) is Do.WATCH
    assert life.due(22.0) is Do.PING
    life.healthy(22.1)
    assert life.due(32.1) is Do.PING
    life.missed(34.0, SICK)
    assert life.running
    assert life.due(44.0) is Do.PING
    life.missed(46.0, SICK)
    assert life.due(46.0) is Do.CLEAR
    assert life.news()[-1] == Lost(SICK, 46.0)


def test_once_it_is_stopped_nothing_else_is_due_or_told() -> None:
    life = supervision()
    running(life, 0.0)
    life.news()
    life.stop()
    assert life.due(0.0) is Do.END
    life.lost(1.0, CRASH)
    assert life.due(1.0) is Do.END
    assert life.news() == []
    with pytest.raises(Misuse, match="was stopped"):
        life.refuse()


def test_who_waits_in_vain_is_told_how_it_was_lost_last() -> None:
    life = supervision()
    assert str(life.unready(5.0)) == "the plugin was not ready within 5 s; it is still starting"
    life.due(0.0)
    fall(life, 0.0)
    life.refuse()
    assert "was not ready within 5 s; it ended; killed by SIGSEGV" in str(life.unready(5.0))
    fall(life, 0.0, SICK)
    assert str(life.unready(5.0)).endswith("PluginFault: the plugin does not answer")


_POLICIES = st.builds(
    RestartPolicy,
    delay=st.floats(0, 10),
    factor=st.floats(1, 4),
    delay_max=st.floats(10, 100),
    steady=st.floats(0, 100),
    jitter=st.floats(0, 1),
    limit=st.none() | st.integers(0, 4),
    window=st.floats(0, 1000),
)
_TIMES = st.floats(0, 200)
_STEPS = st.tuples(st.sampled_from(["ready", "lost", "missed", "healthy"]), _TIMES, st.floats(0, 1))


@given(_POLICIES, st.none() | st.builds(HealthCheck, misses=st.integers(1, 3)), st.lists(_STEPS, max_size=60))
def test_whatever_happens_the_policy_is_kept(
    policy: RestartPolicy, health: HealthCheck | None, steps: list[tuple[str, float, float]]
) -> None:
    chances = iter([*(chance for _, _, chance in steps), *[0.5] * 200])
    life = Supervision(policy, health, lambda: next(chances))
    now, told, starts, misses = 0.0, list[Event](), list[float](), 0
    for fact, seconds, _ in steps:
        do = life.due(now)
        told += life.news()
        match do:
            case Do.START:
                starts.append(now)
                now += seconds
                misses = 0
                life.ready(now, 7) if fact != "lost" else life.lost(now, CRASH)
            case Do.WATCH:
                assert life.running
                if fact == "lost":
                    now = min(now + seconds, life.deadline)
                    life.lost(now, CRASH)
                else:
                    now = min(life.deadline, now + DAY)
            case Do.PING:
                assert health is not None
                if fact == "lost":
                    life.lost(now, CRASH)
                elif fact == "missed":
                    misses += 1
                    life.missed(now, SICK)
                    assert life.running == (misses < health.misses)
                else:
                    misses = 0
                    life.healthy(now)
            case Do.CLEAR:
                assert not life.running
                life.cleared(now)
            case Do.REST:
                assert life.due(math.nextafter(life.deadline, -math.inf)) is Do.REST
                now = max(now, life.deadline)
            case Do.END:
                assert life.due(now + DAY) is Do.END
    told += life.news()

    follows: dict[type, tuple[type, ...]] = {
        Started: (Ready, Lost), Ready: (Lost,), Lost: (Restarting, GaveUp), Restarting: (Started,), GaveUp: (),
    }  # fmt: skip
    assert all(type(after) in follows[type(before)] for before, after in pairwise(told))
    bound = policy.delay
    for before, event in pairwise(told):
        match event:
            case Restarting(_, delay):
                assert (1 - policy.jitter) * bound <= delay * (1 + 1e-9)
                assert delay <= bound
                bound = min(bound * policy.factor, policy.delay_max)
            case Lost(_, ready_for) if ready_for >= policy.steady and isinstance(before, Ready):
                bound = policy.delay
            case _:
                pass
    if policy.limit is not None:
        restarts = starts[1:]
        for index, start in enumerate(restarts):
            assert sum(start - policy.window < other <= start for other in restarts[: index + 1]) <= policy.limit


@pytest.mark.parametrize(
    ("record", "values"),
    [
        (RestartPolicy, {"delay": -1.0}),
        (RestartPolicy, {"delay": 5.0, "delay_max": 4.0}),
        (RestartPolicy, {"delay_max": math.inf}),
        (RestartPolicy, {"factor": 0.9}),
        (RestartPolicy, {"factor": math.inf}),
        (RestartPolicy, {"jitter": 1.1}),
        (RestartPolicy, {"jitter": -0.1}),
        (RestartPolicy, {"steady": math.nan}),
        (RestartPolicy, {"limit": -1}),
        (RestartPolicy, {"window": -1.0}),
        (HealthCheck, {"every": 0.0}),
        (HealthCheck, {"timeout": 0.0}),
        (HealthCheck, {"misses": 0}),
    ],
)
def test_values_that_make_no_sense_are_a_misuse(record: Callable[..., object], values: dict[str, Any]) -> None:
    with pytest.raises(Misuse, match=next(reversed(values))):
        record(**values)


# -------------------------------------------------------------------------------------------------------- the calls


def test_a_call_that_may_have_happened_is_not_tried_again_unless_it_is_idempotent() -> None:
    with pytest.raises(
        MayHaveRun, match="in a call that may have been executed; it ended; killed by SIGSEGV"
    ) as caught:
        Attempts(idempotent=False, attempts=3).broken(CRASH, current=False)
    assert caught.value.__cause__ is CRASH
    tries = Attempts(idempotent=True, attempts=3)
    tries.broken(CRASH, current=False)
    tries.broken(CRASH, current=True)
    with pytest.raises(MayHaveRun):
        tries.broken(CRASH, current=False)


def test_the_loss_of_another_plugin_that_the_call_used_is_what_it_is() -> None:
    tries = Attempts(idempotent=True, attempts=3)
    other = PluginLost("ended", pid=2)
    with pytest.raises(PluginLost) as caught:
        tries.broken(other, current=True, pid=1)
    assert caught.value is other
    tries.broken(other, current=True, pid=2)
    tries.broken(PluginLost("ended"), current=True, pid=1)


def test_a_call_that_never_began_is_made_on_the_next_plugin() -> None:
    tries = Attempts(idempotent=False, attempts=1)
    tries.unsent(CRASH, current=True)
    tries.unsent(Misuse("the plugin is being stopped"), current=False)


def test_a_misuse_of_a_plugin_that_runs_is_the_callers() -> None:
    tries = Attempts(idempotent=True, attempts=3)
    for step in (tries.unsent, tries.broken):
        with pytest.raises(Misuse, match="no plugin 'x'"):
            step(Misuse("version 1 has no plugin 'x'"), current=True)
    with pytest.raises(Misuse, match="attempts"):
        Attempts(idempotent=True, attempts=0)
