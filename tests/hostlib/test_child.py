"""One process and its group: started, watched, signalled, reaped."""

import os
import resource
import select
import signal
import threading
import time
from collections.abc import Callable, Iterator

import psutil
import pytest

from goplugin.handshake import MachineFault
from goplugin.hostlib import _child, _exit
from goplugin.hostlib._child import Child

Spawn = Callable[[str], Child]


@pytest.fixture
def spawn() -> Iterator[Spawn]:
    made: list[Child] = []

    def spawn(script: str) -> Child:
        made.append(Child(["sh", "-c", script], dict(os.environ), None))
        return made[-1]

    yield spawn
    for child in made:
        child.end(10)
        child.close_pipes()


def read(descriptor: int) -> bytes:
    select.select([descriptor], [], [], 10)
    return os.read(descriptor, 100)


def test_a_system_without_process_descriptors_is_served_by_a_thread(
    monkeypatch: pytest.MonkeyPatch, spawn: Spawn
) -> None:
    def refused(pid: int) -> int:
        raise PermissionError(1, "not in this sandbox")

    monkeypatch.setattr(os, "pidfd_open", refused)
    assert spawn("exit 5").wait(10) == 5


def test_a_status_is_none_while_it_runs_and_stays_once_it_is_known(spawn: Spawn) -> None:
    child = spawn("exec sleep 60")
    assert child.status() is None
    assert child.wait(0.01) is None
    child.send(signal.SIGTERM)
    assert child.wait(10) == -signal.SIGTERM
    assert child.status() == child.wait(10) == -signal.SIGTERM


def test_many_threads_may_wait_while_another_lets_go(spawn: Spawn) -> None:
    child = spawn("sleep 60")
    seen: list[int | None] = []
    threads = [threading.Thread(target=lambda: seen.append(child.wait(10))) for _ in range(20)]
    for thread in threads:
        thread.start()
    child.end(10)
    for thread in threads:
        thread.join(60)
    assert seen == [-signal.SIGKILL] * 20


def test_its_whole_group_is_signalled(spawn: Spawn) -> None:
    child = spawn("sleep 60 & echo $!; wait")
    grandchild = psutil.Process(int(read(child.stdout)))
    child.send(signal.SIGTERM)
    assert child.wait(10) == -signal.SIGTERM
    limit = time.monotonic() + 10
    while grandchild.is_running() and grandchild.status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < limit
        time.sleep(0.005)


@pytest.mark.fault(16)
def test_sigkill_alone_ends_a_process_that_is_stopped(spawn: Spawn) -> None:
    child = spawn("kill -STOP $$")
    limit = time.monotonic() + 10
    while psutil.Process(child.pid).status() != psutil.STATUS_STOPPED:
        assert time.monotonic() < limit
        time.sleep(0.005)
    child.send(signal.SIGKILL)
    assert child.wait(10) == -signal.SIGKILL


@pytest.mark.fault(44)
def test_once_it_is_reaped_its_number_is_never_signalled_again(spawn: Spawn, monkeypatch: pytest.MonkeyPatch) -> None:
    child = spawn("exit 0")
    assert child.wait(10) == 0
    signalled: list[int] = []

    def record(group: int, number: int) -> None:
        signalled.append(group)

    monkeypatch.setattr(os, "killpg", record)
    child.send(signal.SIGKILL)
    child.end(10)
    assert signalled == []
    assert not child.killed


@pytest.mark.parametrize("ignored", [True, False])
def test_where_somebody_else_was_told_how_it_ended_nobody_knows_and_its_number_is_let_alone(
    spawn: Spawn, monkeypatch: pytest.MonkeyPatch, ignored: bool
) -> None:
    signalled: list[int] = []

    def record(group: int, number: int) -> None:
        signalled.append(group)

    usual = signal.signal(signal.SIGCHLD, signal.SIG_IGN if ignored else signal.SIG_DFL)
    try:
        child = spawn("exit 0")
        monkeypatch.setattr(os, "killpg", record)
        if ignored:
            assert select.select([child.exit], [], [], 10)[0]
        else:
            os.waitpid(child.pid, 0)
        child.send(signal.SIGTERM)
        assert child.gone(10)
        assert (child.status(), child.wait(10)) == (None, None)
        child.end(10)
    finally:
        signal.signal(signal.SIGCHLD, usual)
    assert (signalled, child.killed) == ([], False)


def test_a_process_that_does_not_end_is_told_of_in_time(spawn: Spawn, monkeypatch: pytest.MonkeyPatch) -> None:
    def ineffective(group: int, number: int) -> None:
        pass

    child = spawn("sleep 60")
    with monkeypatch.context() as patched:
        patched.setattr(os, "killpg", ineffective)
        begun = time.monotonic()
        with pytest.raises(MachineFault, match=f"{child.pid} does not end"):
            child.end(0.1)
        assert time.monotonic() - begun < 30
    # It cannot be told of a second time, for its descriptor is gone; the test ends it itself.
    os.killpg(child.pid, signal.SIGKILL)
    child._popen.wait()  # pyright: ignore[reportPrivateUsage]
    child._gone = True  # pyright: ignore[reportPrivateUsage]


@pytest.mark.fault(38)
def test_its_stdin_is_empty_and_its_pipes_do_not_block(spawn: Spawn) -> None:
    child = spawn("cat; sleep 60")
    with pytest.raises(BlockingIOError):
        os.read(child.stdout, 1)


@pytest.mark.parametrize(
    ("argv", "cwd", "named"),
    [
        (["/nonexistent"], None, "cannot start the plugin '/nonexistent': No such file"),
        (["/tmp"], None, "cannot start the plugin '/tmp': Permission denied"),
        (["sh"], "/nonexistent", "cannot start the plugin in the directory '/nonexistent'"),
    ],
)
def test_what_is_missing_is_named(argv: list[str], cwd: str | None, named: str) -> None:
    with pytest.raises(MachineFault, match=named):
        Child(argv, {}, cwd)


@pytest.mark.fault(43)
def test_without_free_descriptors_there_is_an_error_and_nothing_else() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.dup(0)
    os.close(lowest)
    outcomes: set[str] = set()
    try:
        for limit in range(lowest, lowest + 30):
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
            try:
                child = Child(["true"], dict(os.environ), None)
            except MachineFault as error:
                outcomes.add(str(error).split(":")[0])
            else:
                child.end(10)
                child.close_pipes()
                outcomes.add("started")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert outcomes == {"cannot start the plugin 'true'", "started"}


@pytest.mark.fault(43)
@pytest.mark.parametrize(
    ("error", "said"),
    [(OSError(24, "Too many open files"), "Too many"), (RuntimeError("can't start new thread"), "can't start")],
)
def test_a_process_that_cannot_be_watched_is_not_left_running(
    monkeypatch: pytest.MonkeyPatch, error: Exception, said: str
) -> None:
    def refused(_: object) -> int:
        raise error

    monkeypatch.setattr(_child, "exit_descriptor", refused)
    with pytest.raises(MachineFault, match=f"cannot watch the plugin 'sleep': {said}"):
        Child(["sleep", "60"], dict(os.environ), None)


def test_reading_takes_all_that_a_pipe_can_hold() -> None:
    assert _child.READ_SIZE == 64 * 1024


def test_a_signal_handler_may_kill_while_its_thread_is_sending(spawn: Spawn, monkeypatch: pytest.MonkeyPatch) -> None:
    child, killpg = spawn("exec sleep 60"), os.killpg

    def interrupted(group: int, number: int) -> None:
        if number == signal.SIGTERM:
            child.send(signal.SIGKILL)
        killpg(group, number)

    monkeypatch.setattr("goplugin.hostlib._child.os.killpg", interrupted)
    thread = threading.Thread(target=child.send, args=(signal.SIGTERM,), daemon=True)
    thread.start()
    thread.join(10)
    assert not thread.is_alive()
    assert child.wait(10) in (-signal.SIGKILL, -signal.SIGTERM)


def test_a_signal_handler_may_ask_for_the_status_while_its_thread_is_reaping(
    spawn: Spawn, monkeypatch: pytest.MonkeyPatch
) -> None:
    child, entered, told = spawn("exit 3"), list[bool](), list[int | None]()
    assert _exit.readable(child.exit, 10)

    for name in ("waitid", "waitpid"):
        wait: Callable[..., object] = getattr(os, name)

        def interrupted(*arguments: object, wait: Callable[..., object] = wait) -> object:
            if not entered:
                entered.append(True)
                told.append(child.status())
            return wait(*arguments)

        monkeypatch.setattr(os, name, interrupted)
    thread = threading.Thread(target=child.status, daemon=True)
    thread.start()
    thread.join(10)
    assert not thread.is_alive()
    assert (told, child.status()) == ([3], 3)
