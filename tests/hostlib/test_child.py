"""One process and its group: started, watched, signalled, reaped."""

import os
import resource
import select
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator

import psutil
import pytest

from goplugin.handshake import MachineFault
from goplugin.hostlib import _child
from goplugin.hostlib._child import Child, exit_descriptor, watched

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


@pytest.mark.parametrize("way", [exit_descriptor, watched])
def test_the_exit_descriptor_is_readable_once_the_process_is_gone_whoever_holds_its_pipes(
    way: Callable[["subprocess.Popen[bytes]"], int],
) -> None:
    with subprocess.Popen(["sh", "-c", "sleep 60 & read x"], stdin=subprocess.PIPE, start_new_session=True) as process:
        descriptor = way(process)
        try:
            assert select.select([descriptor], [], [], 0) == ([], [], [])
            assert process.stdin is not None
            process.stdin.close()
            assert select.select([descriptor], [], [], 10) == ([descriptor], [], [])
            assert process.returncode is None, "it leaves the reaping to others"
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            os.close(descriptor)


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
        thread.join(10)
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


def test_a_process_that_does_not_end_is_told_of_in_time(spawn: Spawn, monkeypatch: pytest.MonkeyPatch) -> None:
    def ineffective(group: int, number: int) -> None:
        pass

    child = spawn("sleep 60")
    with monkeypatch.context() as patched:
        patched.setattr(os, "killpg", ineffective)
        begun = time.monotonic()
        with pytest.raises(MachineFault, match=f"{child.pid} does not end"):
            child.end(0.1)
        assert time.monotonic() - begun < 5
    # It cannot be told of a second time, for its descriptor is gone; the test ends it itself.
    os.killpg(child.pid, signal.SIGKILL)
    child._status = child._popen.wait()  # pyright: ignore[reportPrivateUsage]


def test_its_stdin_is_empty_and_its_pipes_do_not_block(spawn: Spawn) -> None:
    child = spawn("cat; sleep 60")
    with pytest.raises(BlockingIOError):
        os.read(child.stdout, 1)


@pytest.mark.parametrize(
    ("argv", "cwd", "named"),
    [
        (["/nonexistent"], None, "cannot start the plugin '/nonexistent': No such file"),
        (["/tmp"], None, "cannot start the plugin '/tmp': Permission denied"),
        (["sh"], "/nonexistent", "cannot start the working directory '/nonexistent'"),
    ],
)
def test_what_is_missing_is_named(argv: list[str], cwd: str | None, named: str) -> None:
    with pytest.raises(MachineFault, match=named):
        Child(argv, {}, cwd)


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


def test_a_process_that_cannot_be_watched_is_not_left_running(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(pid: int) -> int:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(os, "pidfd_open", refused)
    with pytest.raises(MachineFault, match="cannot watch the plugin 'sleep': Too many open files"):
        Child(["sleep", "60"], dict(os.environ), None)


def test_reading_takes_all_that_a_pipe_can_hold() -> None:
    assert _child.READ_SIZE == 64 * 1024
