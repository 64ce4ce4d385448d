"""The descriptor that tells of a process's end, and those who wait on it."""

import os
import select
import signal
import subprocess
import threading
import time
from collections.abc import Callable

import psutil
import pytest

from goplugin.hostlib._exit import ExitDescriptor, exit_descriptor, watched


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


@pytest.mark.parametrize("way", [exit_descriptor, watched])
def test_it_is_readable_too_where_the_system_tells_nobody_how_the_process_ended(
    way: Callable[["subprocess.Popen[bytes]"], int],
) -> None:
    usual = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        with subprocess.Popen(["sleep", "60"]) as process:
            descriptor = way(process)
            process.kill()
            assert select.select([descriptor], [], [], 10)[0]
            os.close(descriptor)
    finally:
        signal.signal(signal.SIGCHLD, usual)


def test_it_is_readable_at_once_where_nothing_is_left_of_the_process_to_watch() -> None:
    usual = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        with subprocess.Popen(["true"], stdout=subprocess.PIPE) as process:
            while psutil.pid_exists(process.pid):
                time.sleep(0.001)
            descriptor = exit_descriptor(process)
            assert select.select([descriptor], [], [], 10)[0]
            os.close(descriptor)
    finally:
        signal.signal(signal.SIGCHLD, usual)


def test_without_a_thread_no_descriptor_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with subprocess.Popen(["true"]) as process, monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError, match="new thread"):
            watched(process)


def test_it_is_closed_once_nobody_waits_on_it_any_more() -> None:
    read, write = os.pipe()
    descriptor = ExitDescriptor(read)
    assert not descriptor.ended()
    seen: list[bool] = []
    began = threading.Barrier(3)

    def wait() -> None:
        began.wait()
        seen.append(descriptor.ended(60))

    threads = [threading.Thread(target=wait) for _ in range(2)]
    for thread in threads:
        thread.start()
    began.wait()
    descriptor.close()
    os.close(write)
    for thread in threads:
        thread.join(10)
    assert descriptor.number == -1
    # Whoever came after the end was told what was known then.
    assert set(seen) <= {True, False}
    assert descriptor.ended() == (True in seen)


def test_an_end_that_was_seen_stays_known() -> None:
    read, write = os.pipe()
    descriptor = ExitDescriptor(read)
    os.close(write)
    assert descriptor.ended()
    descriptor.close()
    descriptor.close()
    assert descriptor.ended(60)


def test_a_signal_handler_may_ask_and_close_while_its_thread_is_closing(monkeypatch: pytest.MonkeyPatch) -> None:
    read, write = os.pipe()
    descriptor, close, closed = ExitDescriptor(read), os.close, list[int]()

    def interrupted(number: int) -> None:
        closed.append(number)
        descriptor.close()  # as a handler may that stops the client
        descriptor.ended()
        close(number)

    monkeypatch.setattr("goplugin.hostlib._exit.os.close", interrupted)
    thread = threading.Thread(target=descriptor.close, daemon=True)
    thread.start()
    thread.join(10)
    monkeypatch.undo()
    os.close(write)
    assert not thread.is_alive()
    assert closed == [read]
