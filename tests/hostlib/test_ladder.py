"""The steps of a stop, without a process and without a clock."""

import math

import pytest

from goplugin.handshake import Misuse
from goplugin.hostlib import StopBudget, Stopped
from goplugin.hostlib._ladder import Ladder, Rung

BUDGET = StopBudget(shutdown=2.0, terminate=5.0, kill=3.0)


def climb(ladder: Ladder, start: float) -> list[tuple[float, Rung]]:
    """Take every step at its time, as a shell does whose plugin never ends."""
    now, steps = start, list[tuple[float, Rung]]()
    while not ladder.spent(now):
        rung = ladder.due(now)
        if rung is not None:
            steps.append((now, rung))
        now = max(now, ladder.deadline)
    return [*steps]


def test_each_step_gets_its_share_of_the_budget() -> None:
    ladder = Ladder(BUDGET, 100.0, connected=True)
    assert climb(ladder, 100.0) == [(100.0, Rung.SHUTDOWN), (102.0, Rung.TERMINATE), (107.0, Rung.KILL)]
    assert ladder.spent(100.0 + BUDGET.total)
    assert not ladder.spent(109.9)


def test_between_two_steps_there_is_nothing_to_do_but_wait() -> None:
    ladder = Ladder(BUDGET, 0.0, connected=True)
    assert ladder.due(0.0) is Rung.SHUTDOWN
    assert ladder.due(1.9) is None
    assert ladder.deadline == 2.0


def test_a_plugin_that_cannot_be_asked_gets_sigterm_at_once() -> None:
    ladder = Ladder(BUDGET, 0.0, connected=True)
    ladder.due(0.0)
    ladder.refused(0.5)
    assert ladder.due(0.5) is Rung.TERMINATE
    assert ladder.deadline == 5.5


def test_a_late_refusal_does_not_lengthen_the_step() -> None:
    ladder = Ladder(BUDGET, 0.0, connected=True)
    ladder.due(0.0)
    ladder.refused(2.5)
    assert ladder.deadline == 2.0


def test_without_a_connection_nobody_is_asked() -> None:
    assert Ladder(BUDGET, 0.0, connected=False).due(0.0) is Rung.TERMINATE


def test_a_step_without_time_is_left_out() -> None:
    ladder = Ladder(StopBudget(shutdown=0, terminate=0, kill=1), 0.0, connected=True)
    assert climb(ladder, 0.0) == [(0.0, Rung.KILL)]


@pytest.mark.parametrize("share", ["shutdown", "terminate", "kill"])
@pytest.mark.parametrize("seconds", [-1.0, 1e6, math.inf, math.nan])
def test_a_budget_has_an_end(share: str, seconds: float) -> None:
    with pytest.raises(Misuse, match=share):
        StopBudget(**{share: seconds})


def test_the_last_step_needs_time() -> None:
    with pytest.raises(Misuse, match="kill"):
        StopBudget(kill=0)


@pytest.mark.parametrize(
    ("rung", "status", "how", "exit_code", "signal"),
    [
        (None, 3, "exited already", 3, None),
        (Rung.SHUTDOWN, 0, "shutdown", 0, None),
        (Rung.TERMINATE, -15, "terminated", None, "SIGTERM"),
        (Rung.KILL, -9, "killed", None, "SIGKILL"),
        (Rung.KILL, None, "killed", None, None),
    ],
)
def test_the_record_says_which_step_did_it(
    rung: Rung | None, status: int | None, how: str, exit_code: int | None, signal: str | None
) -> None:
    stopped = Stopped.after(rung, status, 1.5)
    assert (stopped.how, stopped.exit_code, stopped.signal, stopped.seconds) == (how, exit_code, signal, 1.5)
