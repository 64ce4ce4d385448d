"""Batches are full by count, by bytes, or by time, whichever comes first."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goplugin.batch import Message
from goplugin.batch._batcher import Batcher
from goplugin.batch._components import Policy
from goplugin.proto import lazy, redpanda


def gathered(policy: Policy, sizes: list[int]) -> list[list[int]]:
    batcher = Batcher(policy, 0.0)
    batches = [batcher.add(Message(b"x" * size), 0.0) for size in sizes] + [batcher.flush(0.0)]
    return [[len(message.payload) for message in batch] for batch in batches if batch]


@pytest.mark.parametrize(
    ("policy", "sizes", "batches"),
    [
        (Policy(count=2), [1, 1, 1, 1, 1], [[1, 1], [1, 1], [1]]),
        (Policy(count=1), [0, 5], [[0], [5]]),
        (Policy(byte_size=5), [2, 2, 2, 9, 1], [[2, 2, 2], [9], [1]]),
        (Policy(count=3, byte_size=5), [5, 1, 1, 1, 4, 1], [[5], [1, 1, 1], [4, 1]]),
        (Policy(period=1.0), [1, 2, 3], [[1, 2, 3]]),
        (Policy(count=9), [], []),
    ],
)
def test_a_batch_is_full_by_count_or_bytes(policy: Policy, sizes: list[int], batches: list[list[int]]) -> None:
    assert gathered(policy, sizes) == batches


@given(st.integers(0, 5), st.integers(0, 20), st.lists(st.integers(0, 9)))
def test_no_message_is_lost_doubled_or_moved(count: int, byte_size: int, sizes: list[int]) -> None:
    batches = gathered(Policy(count=count, byte_size=byte_size, period=1.0), sizes)
    assert [size for batch in batches for size in batch] == sizes
    assert all(batches)
    if count:
        assert all(len(batch) <= count for batch in batches)


def test_a_period_that_has_passed_since_the_last_batch_ends_this_one() -> None:
    batcher = Batcher(Policy(count=3, period=10.0), now=100.0)
    assert batcher.due == 110.0
    assert batcher.add(Message(b"1"), 109.0) is None
    assert batcher.tick(109.9) is None
    assert batcher.tick(110.0) == [Message(b"1")]
    assert batcher.due == 120.0
    assert batcher.add(Message(b"2"), 120.5) == [Message(b"2")]
    assert batcher.due == 130.5


def test_a_period_without_messages_gives_no_batch_and_begins_anew() -> None:
    batcher = Batcher(Policy(period=10.0), now=0.0)
    assert batcher.tick(10.0) is None
    assert batcher.due == 20.0


def test_without_a_period_nothing_is_ever_due() -> None:
    batcher = Batcher(Policy(count=2), now=0.0)
    assert batcher.due is None
    assert batcher.add(Message(b"1"), 1e9) is None
    assert batcher.tick(1e9) is None


def test_a_message_without_bytes_has_no_size() -> None:
    batcher = Batcher(Policy(byte_size=1), 0.0)
    assert batcher.add(Message(structured=float("nan")), 0.0) is None
    wire = redpanda.Value()
    wire.timestamp_value.seconds = 2**40  # which no datetime is
    lost = lazy.Message(structured=wire.SerializeToString())
    assert batcher.add(next(Message.over([lost])), 0.0) is None
    assert batcher.add(Message(b"x"), 0.0) is not None
