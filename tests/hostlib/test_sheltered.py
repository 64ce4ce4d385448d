"""A step that no signal can break off."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import NoReturn, TypeVar

import pytest

from goplugin.handshake import MachineFault
from goplugin.hostlib._sheltered import Sheltered, Wanted

T = TypeVar("T")


class Interrupt(BaseException):
    """What the handler raises, as that of SIGINT does."""


@pytest.fixture(autouse=True)
def interrupts() -> Iterator[None]:
    def interrupt(number: int, frame: object) -> NoReturn:
        raise Interrupt

    before = signal.signal(signal.SIGUSR1, interrupt)
    yield
    signal.signal(signal.SIGUSR1, before)


class Waited(Sheltered[T]):
    """A step with somebody to wait for it, as the shells do."""

    def __init__(self, step: Callable[[ExitStack, Wanted], T]) -> None:
        self.told = threading.Event()
        super().__init__(step, self.told.set)

    def run(self) -> T:
        self.begin()
        assert self.told.wait(30)
        assert self.over
        return self.result()


def test_a_step_gives_its_result_and_is_undone_once() -> None:
    undone: list[int] = []

    def step(undo: ExitStack, wanted: Wanted) -> int:
        undo.callback(undone.append, 1)
        return 7

    sheltered = Waited(step)
    assert not sheltered.over
    assert sheltered.run() == 7
    assert undone == []
    sheltered.close()
    sheltered.close()
    assert undone == [1]


def test_what_a_step_raises_is_the_callers_and_what_it_had_acquired_is_undone() -> None:
    undone: list[int] = []

    def step(undo: ExitStack, wanted: Wanted) -> NoReturn:
        undo.callback(undone.append, 1)
        raise MachineFault("no room")

    sheltered = Waited(step)
    with pytest.raises(MachineFault, match="no room"):
        sheltered.run()
    sheltered.close()
    assert undone == [1]


def test_an_interrupt_reaches_the_caller_and_not_the_step() -> None:
    interrupted = threading.Event()
    done: list[str] = []

    def step(undo: ExitStack, wanted: Wanted) -> None:
        os.kill(os.getpid(), signal.SIGUSR1)
        assert interrupted.wait(30)
        undo.callback(done.append, "undone")
        done.append("done")

    sheltered = Waited(step)
    with pytest.raises(Interrupt):
        sheltered.run()
    interrupted.set()
    assert sheltered.told.wait(30)
    sheltered.close()
    assert done == ["done", "undone"]


def test_a_step_that_was_given_up_before_it_began_never_runs() -> None:
    ran: list[int] = []
    sheltered = Sheltered(lambda undo, wanted: ran.append(1), lambda: None)
    sheltered.give_up()
    assert sheltered.over
    sheltered.begin()
    sheltered.result()
    sheltered.close()
    assert ran == []


def hung(then: Callable[[], object]) -> tuple[Waited[bool], threading.Event, threading.Event]:
    """Return a step that hangs, with what tells that it does and what it waits for; ``then`` undoes it."""
    begun, held = threading.Event(), threading.Event()

    def step(undo: ExitStack, wanted: Wanted) -> bool:
        undo.callback(then)
        begun.set()
        assert held.wait(30)
        return wanted()

    return Waited(step), begun, held


def test_a_step_is_told_when_nobody_waits_any_more() -> None:
    sheltered, begun, held = hung(lambda: None)
    sheltered.begin()
    assert begun.wait(30)
    sheltered.give_up()
    assert not sheltered.over
    held.set()
    assert sheltered.told.wait(30)
    assert sheltered.result() is False
    sheltered.close()


def test_what_hangs_is_left_and_undone_by_its_own_thread() -> None:
    undone = threading.Event()
    sheltered, begun, held = hung(undone.set)
    sheltered.begin()
    assert begun.wait(30)
    sheltered.close()
    assert not undone.is_set()
    held.set()
    assert undone.wait(30)
    sheltered.result()
    assert not sheltered.told.is_set(), "nobody is there to hear it"


def test_what_cannot_be_undone_when_nobody_waits_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> NoReturn:
        raise MachineFault("the process does not end")

    sheltered, begun, held = hung(fail)
    sheltered.begin()
    assert begun.wait(30)
    sheltered.close()
    held.set()
    sheltered.result()
    assert "could not be undone" in caplog.text
    assert "the process does not end" in caplog.text


def test_an_event_loop_that_has_ended_need_not_be_told() -> None:
    def tell() -> NoReturn:
        raise RuntimeError("Event loop is closed")

    sheltered = Sheltered(lambda undo, wanted: 7, tell)
    sheltered.begin()
    assert sheltered.result() == 7
    sheltered.close()


def test_without_a_thread_it_is_the_machines_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(thread: threading.Thread) -> NoReturn:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refused)
    sheltered = Sheltered(lambda undo, wanted: None, lambda: None)
    with pytest.raises(MachineFault, match="can't start new thread"):
        sheltered.begin()
    sheltered.close()
    assert sheltered.over
