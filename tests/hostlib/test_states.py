"""The states of a client: one table, one place that changes them."""

from itertools import product

import pytest

from goplugin.handshake import Misuse
from goplugin.hostlib._states import ALLOWED, Lifecycle, State


def reach(state: State) -> Lifecycle:
    life = Lifecycle()
    for step in {
        State.NEW: [],
        State.STARTING: [State.STARTING],
        State.READY: [State.STARTING, State.READY],
        State.STOPPING: [State.STARTING, State.READY, State.STOPPING],
        State.GONE: [State.GONE],
    }[state]:
        life.enter(step)
    return life


@pytest.mark.parametrize(("before", "after"), list(product(State, State)))
def test_only_the_steps_of_the_table_are_allowed(before: State, after: State) -> None:
    life = reach(before)
    if after in ALLOWED[before]:
        life.enter(after)
        assert life.state is after
    else:
        with pytest.raises(Misuse, match=before.value):
            life.enter(after)
        assert life.state is before


def test_nothing_follows_the_end() -> None:
    assert ALLOWED[State.GONE] == set()


def test_starting_again_is_refused_with_the_way_out() -> None:
    with pytest.raises(Misuse, match="make another client"):
        reach(State.GONE).enter(State.STARTING)


@pytest.mark.parametrize("state", State)
def test_only_a_running_plugin_is_ready(state: State) -> None:
    life = reach(state)
    if state is State.READY:
        life.require_ready()
    else:
        with pytest.raises(Misuse, match=state.value):
            life.require_ready()
