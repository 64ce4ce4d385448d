"""How long to wait, and when to give up, as numbers."""

import pytest

from goplugin.batch._patience import FIRST, LONGEST, Patience


def test_each_wait_is_twice_the_last_up_to_a_limit_and_spread_by_chance() -> None:
    patience = Patience(1000.0)
    waits = [patience.failed(100.0, 1.0) for _ in range(8)]
    assert waits == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 3.2, LONGEST, LONGEST])
    assert Patience(1000.0).failed(100.0, 0.0) == FIRST / 2


def test_the_clock_starts_with_the_first_failure_and_again_after_a_success() -> None:
    patience = Patience(10.0)
    assert patience.failed(100.0, 1.0) is not None
    assert patience.failed(109.5, 1.0) is not None
    assert patience.failed(109.9, 1.0) is None
    patience.succeeded()
    assert patience.failed(200.0, 1.0) == FIRST


def test_a_wait_that_was_asked_for_is_kept_and_is_no_part_of_the_limit() -> None:
    patience = Patience(10.0)
    assert patience.failed(100.0, 1.0, asked=60.0) == 60.0
    assert patience.failed(160.0, 1.0, asked=60.0) == 60.0
    assert patience.failed(229.0, 1.0) == FIRST
    assert patience.failed(231.0, 1.0) is None
