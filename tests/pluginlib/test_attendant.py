"""The thread beside the server: the pipe, the parent, the clock. Its last resort is seen in test_serve."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from queue import Empty, SimpleQueue
from time import monotonic

import pytest

from goplugin.pluginlib import _attendant
from goplugin.pluginlib._attendant import Attendant, Parent
from goplugin.pluginlib._life import ORPHANED_AFTER, Cause, Life
from goplugin.pluginlib._output import Output
from goplugin.pluginlib._spool import LIMIT, PIECE, Channel, Spool

PATIENCE = 20.0


class Attended:
    """An attendant without a server."""

    def __init__(self, *, leave_with_host: bool = True) -> None:
        self.causes: SimpleQueue[Cause] = SimpleQueue()
        self.output = Output(Spool(stall=PATIENCE))
        life = Life(drain=0, leave_with_host=leave_with_host, owns_process=False)
        self.attendant = Attendant(life, self.output, on_stop=self.causes.put, last_rites=lambda: None)
        self.pipe, self.feed = os.pipe()
        os.set_blocking(self.pipe, False)

    def start(self) -> "Attended":
        self.attendant.start(self.pipe)
        return self

    def no_more_causes(self) -> bool:
        try:
            self.causes.get_nowait()
        except Empty:
            return True
        return False


@pytest.fixture
def attended() -> Iterator[Attended]:
    made = Attended()
    yield made
    made.attendant.close()
    os.close(made.feed)


def read(output: Output, size: int) -> bytes:
    news = threading.Event()
    reader = output.open(news.set)
    data = b""
    while len(data) < size:
        news.clear()
        chunk = reader.take()
        if chunk is None:
            assert news.wait(PATIENCE), f"only {len(data)} bytes of {size}"
        else:
            assert chunk[0] is Channel.STDOUT
            data += chunk[1]
    reader.close()
    return data


def test_what_enters_the_pipe_comes_out_as_stdout(attended: Attended) -> None:
    attended.start()
    os.write(attended.feed, b"hello")
    assert read(attended.output, 5) == b"hello"


def test_a_writer_waits_for_a_reader_that_is_slow_and_loses_nothing(attended: Attended) -> None:
    attended.start()
    attended.output.open(lambda: None)
    data = os.urandom(3 * LIMIT)

    def write() -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(attended.feed, view) :]

    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    writer.join(0.3)
    assert writer.is_alive()
    assert read(attended.output, len(data)) == data
    writer.join(PATIENCE)
    assert not writer.is_alive()


def test_emptying_takes_what_is_there_although_the_pipe_stays_open(attended: Attended) -> None:
    os.write(attended.feed, b"x" * PIECE)
    begun = monotonic()
    attended.start().attendant.empty_pipe(PATIENCE)
    assert monotonic() - begun < PATIENCE
    assert read(attended.output, PIECE) == b"x" * PIECE


def test_emptying_gives_up_in_time(attended: Attended) -> None:
    attended.output.open(lambda: None)
    for _ in range(LIMIT // PIECE + 1):
        attended.output.feed(Channel.STDOUT, b"x" * PIECE)
    os.write(attended.feed, b"too late")
    attended.start().attendant.empty_pipe(0.1)


def test_emptying_twice_is_fine(attended: Attended) -> None:
    attended.start()
    attended.attendant.empty_pipe(PATIENCE)
    attended.attendant.empty_pipe(PATIENCE)


def test_a_pipe_that_the_program_closed_ends_nothing() -> None:
    attended = Attended()
    os.close(attended.feed)
    attended.start()
    attended.attendant.stop(Cause.SIGTERM)
    assert attended.causes.get(timeout=PATIENCE) is Cause.SIGTERM
    attended.attendant.close()


def test_it_says_stop_once(attended: Attended) -> None:
    attended.start()
    for cause in (Cause.SHUTDOWN, Cause.SIGTERM, Cause.SHUTDOWN):
        attended.attendant.stop(cause)
    assert attended.causes.get(timeout=PATIENCE) is Cause.SHUTDOWN
    attended.attendant.empty_pipe(PATIENCE)
    assert attended.no_more_causes()


def test_a_sigterm_that_the_interpreter_only_wrote_down_stops_it(attended: Attended) -> None:
    attended.start()
    os.write(attended.attendant.wakeup_descriptor, bytes([signal.SIGINT, signal.SIGTERM]))
    assert attended.causes.get(timeout=PATIENCE) is Cause.SIGTERM


def test_any_number_of_wake_ups_does_not_block(attended: Attended) -> None:
    for _ in range(PIECE + 1):
        attended.attendant.stream_opened()
    attended.start()
    attended.attendant.stop(Cause.SIGTERM)
    assert attended.causes.get(timeout=PATIENCE) is Cause.SIGTERM


def test_an_orphan_stops(attended: Attended) -> None:
    attended.start()
    attended.attendant.stream_opened()
    attended.attendant.stream_closed()
    assert attended.causes.get(timeout=ORPHANED_AFTER + PATIENCE) is Cause.ORPHANED


def without_pidfd(pid: int) -> int:
    raise OSError(38, "no such call", str(pid))


def test_a_parent_that_is_gone_stops_it_where_the_kernel_does_not_tell(
    attended: Attended, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "pidfd_open", without_pidfd, raising=False)
    monkeypatch.setattr(_attendant, "PARENT_POLL", 0.01)
    attended.start().attendant.watch_parent()
    assert attended.no_more_causes()
    monkeypatch.setattr(os, "getppid", lambda: 1_000_000)
    assert attended.causes.get(timeout=PATIENCE) is Cause.PARENT_GONE


def test_a_parent_that_was_gone_before_the_watch_began_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    parents = iter([os.getpid(), 1])
    monkeypatch.setattr(os, "getppid", lambda: next(parents))
    parent = Parent()
    assert parent.is_gone()
    parent.close()


def test_closing_before_the_start_leaves_nothing_open() -> None:
    attended = Attended()
    bell = attended.attendant.wakeup_descriptor
    attended.attendant.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(bell)
    os.close(attended.pipe)
    os.close(attended.feed)


HELD_UP = """
import os, sys, time
from time import monotonic
from goplugin.pluginlib import hclog
from goplugin.pluginlib._attendant import Attendant
from goplugin.pluginlib._life import Cause, Life
from goplugin.pluginlib._output import Output
from goplugin.pluginlib._spool import Spool

def never():
    time.sleep(60)

life = Life(drain=0, leave_with_host=True)
rites = never if sys.argv[1] == "rites" else print
attendant = Attendant(life, Output(Spool()), on_stop=print, last_rites=rites)
life.stop(Cause.SHUTDOWN, monotonic() - 60)
if sys.argv[1] == "stderr":
    os.set_blocking(2, False)
    try:
        while True:
            os.write(2, bytes(65536))
    except BlockingIOError:
        os.set_blocking(2, True)
attendant.start(None)
never()
"""


@pytest.mark.parametrize("by", ["stderr", "rites"])
def test_nothing_holds_up_the_last_resort(by: str) -> None:
    """A host that reads no stderr, say, though its plugin has much to tell."""
    program = [sys.executable, "-c", HELD_UP, by]
    with subprocess.Popen(program, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL) as held:
        try:
            assert held.wait(PATIENCE) == 0
        finally:
            held.kill()


def test_nothing_is_written_to_a_closed_bell() -> None:
    attended = Attended().start()
    attended.attendant.close()
    attended.attendant.stop(Cause.SIGTERM)
    assert attended.no_more_causes()
    os.close(attended.feed)
