"""When a plugin stops, and when its process has to end. All times are made up."""

import pytest

from goplugin.pluginlib._life import EXIT_WITHIN, ORPHANED_AFTER, Cause, Life

DRAIN = 2.0


@pytest.fixture
def life() -> Life:
    return Life(drain=DRAIN, leave_with_host=True)


def test_only_the_first_reason_begins_the_end(life: Life) -> None:
    assert life.stop(Cause.SIGTERM, 10)
    assert not life.stop(Cause.SHUTDOWN, 11)
    assert life.cause is Cause.SIGTERM


@pytest.mark.parametrize("cause", [Cause.SHUTDOWN, Cause.PARENT_GONE, Cause.ORPHANED, Cause.FINISHED])
def test_a_final_reason_ends_the_process_too(life: Life, cause: Cause) -> None:
    life.stop(cause, 10)
    end = 10 + DRAIN + EXIT_WITHIN
    assert life.exit_at == life.deadline == end
    assert (life.must_exit(end - 0.1), life.must_exit(end)) == (False, True)


@pytest.mark.parametrize("cause", [Cause.SIGTERM, Cause.TEST_OVER])
def test_another_reason_leaves_the_process_its_time(life: Life, cause: Cause) -> None:
    life.stop(cause, 10)
    assert life.exit_at is None
    assert not life.must_exit(10_000)


def test_a_final_reason_after_sigterm_still_ends_the_process(life: Life) -> None:
    life.stop(Cause.SIGTERM, 10)
    life.stop(Cause.PARENT_GONE, 20)
    assert life.exit_at == 20 + DRAIN + EXIT_WITHIN
    life.stop(Cause.SHUTDOWN, 25)
    assert life.exit_at == 20 + DRAIN + EXIT_WITHIN


def test_a_process_that_is_not_the_plugins_own_is_never_ended() -> None:
    life = Life(drain=DRAIN, leave_with_host=False, owns_process=False)
    life.stop(Cause.SHUTDOWN, 10)
    assert life.exit_at is None


def test_a_host_that_never_connected_is_not_missed(life: Life) -> None:
    assert life.deadline is None
    assert not life.due(10_000)


def test_the_host_counts_as_dead_some_time_after_its_last_stream(life: Life) -> None:
    life.stream_opened()
    life.stream_opened()
    life.stream_closed(10)
    assert not life.due(10_000)
    life.stream_closed(20)
    assert life.deadline == 20 + ORPHANED_AFTER
    assert (life.due(20), life.due(20 + ORPHANED_AFTER)) == (False, True)


def test_a_host_that_comes_back_in_time_is_alive(life: Life) -> None:
    life.stream_opened()
    life.stream_closed(20)
    life.stream_opened()
    assert life.deadline is None
    assert not life.due(10_000)


def test_a_stopping_plugin_is_no_orphan(life: Life) -> None:
    life.stream_opened()
    life.stop(Cause.SIGTERM, 10)
    life.stream_closed(11)
    assert not life.due(10_000)


def test_a_plugin_that_stays_minds_neither_its_parent_nor_its_streams() -> None:
    life = Life(drain=DRAIN, leave_with_host=False)
    life.stream_opened()
    life.stream_closed(10)
    assert life.deadline is None
    assert not life.stop(Cause.PARENT_GONE, 10)
    assert life.cause is None
