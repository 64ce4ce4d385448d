"""The thread of the relays: what it calls and when, that it survives mistakes, and that it goes."""

import errno
import logging
import socket
import threading
from collections.abc import Callable, Iterator
from functools import partial
from queue import SimpleQueue
from time import monotonic

import pytest
from leftovers import nothing_left as nothing_left
from leftovers import warm_grpc as warm_grpc
from stuck_handler import stuck

from goplugin.handshake import MachineFault
from goplugin.transport import _reactor
from goplugin.transport._reactor import READ, WRITE, Reactor
from goplugin.transport._scribe import SCRIBE

PATIENCE = 10.0


@pytest.fixture
def reactor() -> Reactor:
    return Reactor()


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.settimeout(PATIENCE)
    with ours, theirs:
        yield ours, theirs


def on(reactor: Reactor, job: Callable[[], object]) -> None:
    """Have a job done on the thread, and wait until it is."""
    done = threading.Event()

    def both() -> None:
        job()
        done.set()

    reactor.call(both)
    assert done.wait(PATIENCE)


def names() -> list[str]:
    return [thread.name for thread in threading.enumerate()]


def gone() -> bool:
    waiting = threading.Event()
    for _ in range(int(PATIENCE / 0.005)):
        if "goplugin-relay" not in names():
            return True
        waiting.wait(0.005)
    return False


def test_jobs_are_called_in_order_on_a_thread_that_goes_afterwards(reactor: Reactor) -> None:
    called: SimpleQueue[tuple[int, str, bool]] = SimpleQueue()
    for round in range(3):  # the thread is started again each time
        assert not reactor.is_current()
        for number in range(100):

            def job(number: int = number) -> None:
                here = threading.current_thread()
                called.put((number, here.name, here.daemon and reactor.is_current()))

            reactor.call(job)
        for number in range(100):
            assert called.get(timeout=PATIENCE) == (number, "goplugin-relay", True), round
        assert gone()


def test_a_job_may_call_further_jobs(reactor: Reactor) -> None:
    done = threading.Event()

    def again(times: int) -> None:
        if times:
            reactor.call(partial(again, times - 1))
        else:
            done.set()

    reactor.call(partial(again, 3))
    assert done.wait(PATIENCE)


def test_jobs_of_many_threads_are_all_called(reactor: Reactor) -> None:
    called: SimpleQueue[int] = SimpleQueue()

    def call() -> None:
        for _ in range(500):
            reactor.call(partial(called.put, 1))

    threads = [threading.Thread(target=call) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert sum(called.get(timeout=PATIENCE) for _ in range(4000)) == 4000
    assert gone()


def disturb(reactor: Reactor, amid: str, job: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> None:
    """Call for a job once in the midst of that method.

    There the garbage collector may run a finalizer, and the interpreter a signal handler.
    """
    undisturbed: Callable[[], object] = getattr(reactor, amid)

    def disturbed() -> object:
        monkeypatch.undo()
        reactor.call(job)
        return undisturbed()

    monkeypatch.setattr(reactor, amid, disturbed)


@pytest.mark.parametrize("amid", ["_start", "_end"])
def test_a_call_may_come_in_the_midst_of_another_and_of_the_end(
    reactor: Reactor, monkeypatch: pytest.MonkeyPatch, amid: str
) -> None:
    first, second = threading.Event(), threading.Event()
    disturb(reactor, amid, second.set, monkeypatch)
    threading.Thread(target=reactor.call, args=(first.set,), daemon=True).start()
    assert first.wait(PATIENCE)
    assert second.wait(PATIENCE)
    assert gone()


def test_a_call_that_comes_on_the_thread_itself_as_it_begins_to_wait_is_not_left_lying(
    reactor: Reactor, pair: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    called = threading.Event()
    on(reactor, lambda: reactor.adopt(pair[0]))  # so that there is something to wait for
    on(reactor, lambda: disturb(reactor, "_patience", called.set, monkeypatch))
    assert called.wait(PATIENCE)
    on(reactor, lambda: reactor.forget(pair[0]))
    assert gone()


def test_a_timer_that_is_never_due_keeps_nobody_from_anything(reactor: Reactor) -> None:
    on(reactor, lambda: reactor.later(float("inf"), lambda: None))
    assert gone()
    on(reactor, lambda: reactor.later(0, lambda: None))


def test_readiness_is_told_until_it_is_forgotten(reactor: Reactor, pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    told: SimpleQueue[int] = SimpleQueue()

    def ready(events: int) -> None:
        told.put(events)
        reactor.watch(ours, 0, ready)

    on(reactor, lambda: reactor.watch(ours, WRITE, ready))
    assert told.get(timeout=PATIENCE) == WRITE
    on(reactor, lambda: reactor.watch(ours, READ, ready))
    assert told.empty()
    theirs.send(b"x")
    assert told.get(timeout=PATIENCE) == READ
    on(reactor, lambda: reactor.watch(ours, READ | WRITE, ready))
    assert told.get(timeout=PATIENCE) == READ | WRITE
    assert "goplugin-relay" in names()  # watched for nothing, but not forgotten
    for _ in range(2):
        on(reactor, partial(reactor.forget, ours))
    assert gone()
    assert told.empty()


def test_the_thread_stays_for_a_socket_that_is_not_watched_yet(
    reactor: Reactor, pair: tuple[socket.socket, socket.socket]
) -> None:
    ours, _ = pair
    seen: set[int | None] = set()
    on(reactor, partial(reactor.adopt, ours))
    for _ in range(20):
        threading.Event().wait(0.001)
        on(reactor, lambda: seen.add(threading.current_thread().native_id))
    assert len(seen) == 1
    on(reactor, partial(reactor.forget, ours))
    assert gone()


def test_a_socket_that_another_callback_has_closed_is_not_told(reactor: Reactor) -> None:
    both = [socket.socketpair() for _ in range(2)]
    told: SimpleQueue[int] = SimpleQueue()

    def ready(events: int) -> None:
        told.put(events)
        for ours, _ in both:
            reactor.forget(ours)
            ours.close()

    def watch() -> None:
        for ours, theirs in both:
            theirs.send(b"x")
            reactor.watch(ours, READ, ready)

    on(reactor, watch)
    assert gone()
    assert told.qsize() == 1
    for _, theirs in both:
        theirs.close()


def test_timers_are_due_in_their_order_unless_cancelled(reactor: Reactor, monkeypatch: pytest.MonkeyPatch) -> None:
    due: SimpleQueue[str] = SimpleQueue()
    now = monotonic()

    def arrange() -> None:
        with monkeypatch.context() as patched:
            patched.setattr(_reactor, "monotonic", lambda: now)  # the thread may be held up between two of them
            for name, seconds in (("third", 0.03), ("first", 0.0), ("second", 0.01)):
                reactor.later(seconds, partial(due.put, name))
        for seconds in (0.005, 1000.0):  # a cancelled one does not keep the thread either
            timer = reactor.later(seconds, lambda: due.put("cancelled"))
            timer.cancel()
            timer.cancel()

    on(reactor, arrange)
    assert [due.get(timeout=PATIENCE) for _ in range(3)] == ["first", "second", "third"]
    assert gone()
    assert due.empty()


def test_a_mistake_in_a_callback_is_logged_and_ends_nothing_else(
    reactor: Reactor, pair: tuple[socket.socket, socket.socket], caplog: pytest.LogCaptureFixture
) -> None:
    ours, theirs = pair
    other, its_other = socket.socketpair()
    told = threading.Event()

    def wrong(*_: int) -> None:
        raise ZeroDivisionError

    def right(_: int) -> None:
        told.set()
        reactor.forget(other)

    def arrange() -> None:
        reactor.later(0.0, wrong)
        reactor.watch(ours, READ, wrong)
        reactor.watch(other, READ, right)

    with caplog.at_level(logging.ERROR), other, its_other:
        reactor.call(wrong)
        on(reactor, arrange)
        theirs.send(b"x")  # level-triggered: were the socket still watched, there would be no end of errors
        its_other.send(b"x")
        assert told.wait(PATIENCE)
        assert gone()
        assert SCRIBE.finish(PATIENCE)
    assert [record.exc_info is not None for record in caplog.records] == [True] * 3


def test_a_log_handler_that_is_stuck_holds_up_nothing(reactor: Reactor) -> None:
    with stuck("goplugin.transport") as handler:
        reactor.call(lambda: 1 // 0)
        assert handler.entered.wait(PATIENCE)
        on(reactor, lambda: None)
        assert not handler.let_go.is_set()
        assert handler.told == []


@pytest.mark.parametrize(
    ("what", "error"),
    [
        ((threading.Thread, "start"), RuntimeError("can't start new thread")),
        ((socket, "socketpair"), OSError(errno.EMFILE, "can't start without descriptors")),
    ],
)
def test_where_no_thread_can_be_started_nothing_stays_open_and_no_job_waits(
    reactor: Reactor, monkeypatch: pytest.MonkeyPatch, what: tuple[object, str], error: Exception
) -> None:
    def refuse(*_: object) -> None:
        raise error

    called: list[bool] = []
    with monkeypatch.context() as patched:
        patched.setattr(*what, refuse)
        with pytest.raises(MachineFault, match="can't start"):
            reactor.call(lambda: called.append(True))
    on(reactor, lambda: None)
    assert called == []
    assert gone()
