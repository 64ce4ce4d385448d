"""Worker threads: few, named, daemonic."""

import subprocess
import sys
import threading
from concurrent.futures import CancelledError, wait

import pytest

from goplugin.transport import Workers

PATIENCE = 30.0  # seconds for what takes milliseconds


def test_results_and_errors_come_back_through_futures() -> None:
    workers = Workers(2, "t")
    assert workers.submit(max, 1, 3, key=abs).result(PATIENCE) == 3
    with pytest.raises(ZeroDivisionError):
        workers.submit(lambda: 1 // 0).result(PATIENCE)
    workers.shutdown()


def test_no_more_threads_than_asked_for_and_none_before_they_are_needed() -> None:
    def alive() -> int:
        return sum(thread.name.startswith("few-") for thread in threading.enumerate())

    workers = Workers(3, "few")
    assert alive() == 0
    together = threading.Barrier(3)

    def name() -> str:
        together.wait(PATIENCE)
        return threading.current_thread().name

    names = [workers.submit(name) for _ in range(9)]
    assert {name.result(PATIENCE) for name in names} == {"few-0", "few-1", "few-2"}
    assert alive() == 3
    workers.shutdown()
    assert alive() == 0


def test_without_a_thread_a_call_is_refused_or_waits_for_one_that_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    workers = Workers(2, "scarce")
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError, match="can't start"):
            workers.submit(int)
    assert workers.finish(0)
    gate = threading.Event()
    first = workers.submit(gate.wait, PATIENCE)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        second = workers.submit(int)
    gate.set()
    assert (first.result(PATIENCE), second.result(PATIENCE)) == (True, 0)
    workers.shutdown()


def test_an_idle_thread_is_used_before_a_new_one_is_made() -> None:
    workers = Workers(5, "idle")
    for _ in range(50):
        assert workers.submit(int).result(PATIENCE) == 0
        assert workers.finish(PATIENCE)  # one that has just set a result may not be idle yet
    assert sum(thread.name.startswith("idle-") for thread in threading.enumerate()) == 1
    workers.shutdown()


def test_after_shutdown_what_was_queued_runs_unless_cancelled_and_nothing_is_taken() -> None:
    gate = threading.Event()
    workers = Workers(1, "end")
    running, queued = workers.submit(gate.wait, PATIENCE), workers.submit(int)
    workers.shutdown(wait=False)
    with pytest.raises(RuntimeError, match="shut down"):
        workers.submit(int)
    gate.set()
    assert running.result(PATIENCE)
    assert queued.result(PATIENCE) == 0


def test_cancelled_calls_tell_who_waits_for_them() -> None:
    begun, gate = threading.Event(), threading.Event()
    workers = Workers(1, "cancel")

    def run() -> bool:
        begun.set()
        return gate.wait(PATIENCE)

    running = workers.submit(run)
    queued = workers.submit(int)
    assert begun.wait(PATIENCE)
    workers.shutdown(wait=False, cancel_futures=True)
    gate.set()
    with pytest.raises(CancelledError):
        queued.result(PATIENCE)
    assert running.result(PATIENCE)


def test_many_submitters_lose_nothing() -> None:
    workers = Workers(4, "many")
    results = [workers.submit(int, n) for n in range(2000)]
    assert not wait(results, timeout=PATIENCE).not_done
    assert sorted(f.result() for f in results) == list(range(2000))
    workers.shutdown()


def test_finish_waits_for_running_and_queued_calls_but_no_longer_than_told() -> None:
    gate = threading.Event()
    workers = Workers(1, "finish")
    assert workers.finish(0)
    workers.submit(gate.wait, PATIENCE)
    queued = workers.submit(int)
    assert not workers.finish(0.01)
    gate.set()
    assert workers.finish(PATIENCE)
    assert queued.done()
    workers.shutdown()


def test_there_must_be_at_least_one() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Workers(0, "none")


def test_a_call_that_never_returns_does_not_keep_the_process() -> None:
    program = (
        "import threading\nfrom goplugin.transport import Workers\n"
        "workers, begun = Workers(1, 'hung'), threading.Event()\n"
        "workers.submit(lambda: (begun.set(), threading.Event().wait()))\nbegun.wait(10)\nprint('end')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.returncode) == ("end\n", 0)
