"""What is kept of a plugin's output, what is dropped, and when a writer should wait. All times are made up."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goplugin.pluginlib._spool import CHUNK, PIECE, STALL, Channel, Spool

OUT, ERR = Channel.STDOUT, Channel.STDERR


def drained(spool: Spool, reader: int, now: float = 0.0) -> list[tuple[Channel, bytes]]:
    return list(iter(lambda: spool.take(reader, now), None))


def test_output_comes_back_in_order_by_channel() -> None:
    spool = Spool()
    for channel, data in ((OUT, b"a"), (OUT, b"b"), (ERR, b"c"), (OUT, b"d")):
        spool.append(channel, data, 0)
    assert drained(spool, spool.attach(0)) == [(OUT, b"ab"), (ERR, b"c"), (OUT, b"d")]


@given(st.lists(st.tuples(st.sampled_from(Channel), st.binary(max_size=3 * CHUNK))))
def test_a_reader_that_keeps_up_loses_nothing_and_no_chunk_is_too_large(written: list[tuple[Channel, bytes]]) -> None:
    spool = Spool()
    reader = spool.attach(0)
    got: list[tuple[Channel, bytes]] = []
    for channel, data in written:
        for start in range(0, len(data), PIECE):
            spool.append(channel, data[start : start + PIECE], 0)
            while spool.crowded(0):
                chunk = spool.take(reader, 0)
                assert chunk is not None
                got.append(chunk)
    got += drained(spool, reader)
    assert all(0 < len(data) <= CHUNK for _, data in got)
    for channel in Channel:
        assert b"".join(d for c, d in got if c is channel) == b"".join(d for c, d in written if c is channel)


@pytest.mark.fault(25)
def test_without_a_reader_the_oldest_goes_and_is_counted() -> None:
    spool = Spool(limit=PIECE)
    for number in range(10):
        spool.append(OUT, bytes([number]) * PIECE, 0)
        assert not spool.crowded(0)
    (told_on, told), *rest = drained(spool, spool.attach(0))
    kept = b"".join(data for _, data in rest)
    assert told_on is ERR
    assert told == b"goplugin: %d bytes of output were dropped, nobody read them\n" % (10 * PIECE - len(kept))
    assert kept == bytes([8]) * PIECE + bytes([9]) * PIECE


def test_the_first_reader_is_waited_for_while_it_is_expected() -> None:
    spool = Spool(limit=0, present_limit=PIECE)
    spool.expect(until=5)
    spool.append(OUT, b"x" * PIECE, 0)
    assert spool.crowded(4.9)
    assert spool.patience == 5
    assert not spool.crowded(5), "one that has not come by then is absent"
    assert b"".join(data for _, data in drained(spool, spool.attach(1))) == b"x" * PIECE


def test_once_a_reader_came_and_went_none_is_expected() -> None:
    spool = Spool(limit=0, present_limit=PIECE)
    spool.expect(until=5)
    spool.detach(spool.attach(0))
    spool.append(OUT, b"x" * PIECE, 0)
    assert not spool.crowded(1)


def test_what_was_dropped_is_told_once() -> None:
    spool = Spool(limit=0)
    for _ in range(5):
        spool.append(ERR, b"x" * PIECE, 0)
    reader = spool.attach(0)
    assert b"dropped" in drained(spool, reader)[0][1]
    assert drained(spool, reader) == []


@pytest.mark.fault(25)
def test_a_writer_waits_for_a_reader_that_reads_and_for_no_other() -> None:
    spool = Spool(limit=PIECE, present_limit=PIECE)
    reader = spool.attach(100)
    spool.append(OUT, b"x" * PIECE, 100)
    assert spool.crowded(100)
    assert spool.patience == 100 + STALL
    assert not spool.crowded(100 + STALL)
    spool.take(reader, 104)
    spool.append(OUT, b"x" * CHUNK, 104)
    assert spool.crowded(100 + STALL)
    spool.detach(reader)
    assert not spool.crowded(104)


def test_a_reader_that_was_idle_is_not_taken_for_one_that_stalls() -> None:
    spool = Spool(limit=PIECE, present_limit=PIECE)
    spool.attach(0)
    spool.append(OUT, b"x" * PIECE, 1000)
    assert spool.crowded(1000)


def test_more_is_kept_for_a_reader_that_is_there() -> None:
    spool = Spool(limit=PIECE, present_limit=8 * PIECE)
    reader = spool.attach(0)
    for _ in range(8):
        spool.append(OUT, b"x" * PIECE, 0)
    spool.detach(reader)
    told, *rest = drained(spool, spool.attach(0))
    assert told[0] is ERR
    assert sum(len(data) for _, data in rest) == 2 * PIECE


def test_the_latest_reader_takes_over() -> None:
    spool = Spool()
    first = spool.attach(0)
    second = spool.attach(0)
    spool.append(OUT, b"x", 0)
    assert (spool.is_over(first), spool.is_over(second)) == (True, False)
    assert spool.take(first, 0) is None
    spool.detach(first)
    assert spool.take(second, 0) == (OUT, b"x")


def test_a_reader_is_told_only_when_it_may_be_waiting() -> None:
    spool = Spool()
    assert spool.append(OUT, b"x", 0)
    assert not spool.append(OUT, b"y", 0)
    drained(spool, spool.attach(0))
    assert spool.append(OUT, b"z", 0)


def test_a_finished_spool_is_over_once_it_is_empty() -> None:
    spool = Spool()
    reader = spool.attach(0)
    spool.append(OUT, b"x", 0)
    assert not spool.is_over(reader)
    spool.finished = True
    assert not spool.is_over(reader)
    drained(spool, reader)
    assert spool.is_over(reader)
