"""Writers and the reader on their own threads: nobody waits for a reader that is not there, or for ever."""

import os
import sys
import tempfile
import threading
import time
from io import TextIOWrapper

import pytest

from goplugin.pluginlib._output import Output, StderrStream
from goplugin.pluginlib._spool import CHUNK, LIMIT, PIECE, Channel, Spool

PATIENCE = 20.0
BIG = b"x" * (3 * LIMIT)


def read_to_the_end(output: Output, reader_pause: float = 0.0) -> tuple[threading.Thread, bytearray]:
    got, news = bytearray(), threading.Event()
    reader = output.open(news.set)

    def read() -> None:
        while not reader.is_over:
            news.clear()
            chunk = reader.take()
            if chunk is not None:
                got.extend(chunk[1])
                time.sleep(reader_pause)
            elif not reader.is_over:
                news.wait(PATIENCE)

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    return thread, got


@pytest.mark.parametrize("pause", [0.0, 0.001], ids=["fast", "slow"])
def test_a_reader_that_reads_gets_everything(pause: float) -> None:
    output = Output(Spool(stall=PATIENCE))
    thread, got = read_to_the_end(output, pause)
    output.write(Channel.STDOUT, BIG)
    output.finish()
    thread.join(PATIENCE)
    assert not thread.is_alive()
    assert bytes(got) == BIG


def test_without_a_reader_writing_does_not_wait() -> None:
    output = Output(Spool(stall=PATIENCE))
    begun = time.monotonic()
    output.write(Channel.STDOUT, BIG)
    assert time.monotonic() - begun < PATIENCE / 2


def test_a_reader_that_stalls_is_waited_for_once() -> None:
    output = Output(Spool(stall=0.2))
    output.open(lambda: None)
    begun = time.monotonic()
    output.write(Channel.STDOUT, BIG)
    assert 0.2 <= time.monotonic() - begun < PATIENCE / 2


def test_a_writer_goes_on_when_the_reader_goes_away() -> None:
    output = Output(Spool(stall=PATIENCE))
    reader = output.open(lambda: None)
    writer = threading.Thread(target=output.write, args=(Channel.STDOUT, BIG), daemon=True)
    writer.start()
    reader.close()
    writer.join(PATIENCE / 2)
    assert not writer.is_alive()


def test_the_thread_of_the_reader_never_waits() -> None:
    output = Output(Spool(stall=PATIENCE))
    output.open(lambda: None)
    output.never_waits = threading.get_ident()
    begun = time.monotonic()
    output.write(Channel.STDOUT, BIG)
    assert time.monotonic() - begun < PATIENCE / 2


def test_the_feeder_is_woken_when_there_is_room_again() -> None:
    output = Output(Spool(present_limit=CHUNK, stall=PATIENCE))
    woken = threading.Event()
    output.wake_feeder = woken.set
    reader = output.open(lambda: None)
    output.feed(Channel.STDOUT, b"x" * 2 * CHUNK)
    assert output.crowded() is not None
    assert not woken.is_set()
    reader.take()
    assert woken.is_set()


def test_a_reader_that_is_replaced_is_told() -> None:
    output = Output(Spool())
    told = threading.Event()
    first = output.open(told.set)
    output.open(lambda: None)
    assert told.is_set()
    assert first.is_over


def test_a_signal_handler_may_print_while_its_thread_prints() -> None:
    output = Output(Spool())
    reader = output.open(lambda: output.write(Channel.STDERR, b"meanwhile"))
    output.write(Channel.STDOUT, b"x")
    assert {reader.take(), reader.take()} == {(Channel.STDOUT, b"x"), (Channel.STDERR, b"meanwhile")}


def test_what_was_kept_is_spilled_in_order_and_nothing_of_it_is_left() -> None:
    output = Output(Spool())
    output.write(Channel.STDOUT, BIG)
    output.write(Channel.STDOUT, b"the end")
    with tempfile.TemporaryFile() as file:
        output.spill(file.fileno())
        file.seek(0)
        notice, _, rest = file.read().partition(b"\n")
    assert notice.endswith(b"bytes of output were dropped, nobody read them")
    assert rest.endswith(b"xthe end")
    assert LIMIT <= len(rest) <= LIMIT + PIECE
    assert output.open(lambda: None).take() is None


def test_a_spill_that_nobody_takes_raises_nothing_and_no_reader_is_waited_for() -> None:
    output = Output(Spool(stall=PATIENCE))
    output.write(Channel.STDOUT, b"hello")
    read, write = os.pipe()
    os.close(read)
    output.spill(write)
    os.close(write)
    output.write(Channel.STDOUT, BIG)
    assert output.crowded() is None


def test_the_stream_below_sys_stderr_takes_everything_and_names_descriptor_2() -> None:
    output = Output(Spool())
    reader = output.open(lambda: None)
    raw = StderrStream(output, 2)
    stream = TextIOWrapper(raw, "utf-8", "backslashreplace", write_through=True)  # type: ignore[type-var]  # pyright: ignore[reportArgumentType]
    print("schön", "\ud800", file=stream)
    assert stream.fileno() == 2
    assert reader.take() == (Channel.STDERR, "schön \\ud800\n".encode())
    assert sys.stderr is not stream
