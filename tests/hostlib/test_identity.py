"""Which process is which."""

import os
import socket
import subprocess
import threading
import time
from pathlib import Path

import psutil
import pytest

from goplugin.handshake import Tcp, Unix
from goplugin.hostlib import _identity
from goplugin.hostlib._identity import belongs, listener, started


def test_a_process_keeps_its_start_and_another_has_its_own() -> None:
    with subprocess.Popen(["sleep", "60"]) as other:
        try:
            assert started(os.getpid()) == started(os.getpid()) is not None
            assert started(other.pid) != started(os.getpid())
            assert _identity._created(other.pid) == int(psutil.Process(other.pid).create_time() * 1e6)  # pyright: ignore[reportPrivateUsage]
        finally:
            other.kill()
    assert started(other.pid) is None
    assert _identity._created(other.pid) is None  # pyright: ignore[reportPrivateUsage]


def test_a_name_with_brackets_and_blanks_does_not_confuse(tmp_path: Path) -> None:
    program = tmp_path / "a) R 1 2 (b"
    program.symlink_to("/bin/sleep")
    with subprocess.Popen([program, "60"]) as other:
        try:
            assert belongs(other.pid, os.getpid())
        finally:
            other.kill()


def test_who_descends_from_it_or_is_in_its_session_belongs_to_it() -> None:
    script = "sh -c 'sh -c \"echo \\$\\$; exec sleep 60\" & echo' & wait"
    with subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE, start_new_session=True) as leader:
        try:
            assert leader.stdout is not None
            orphan = int(next(line for line in leader.stdout if line.strip()))
            assert belongs(orphan, leader.pid)
            assert belongs(leader.pid, os.getpid()), "though in a session of its own"
            assert not belongs(os.getpid(), leader.pid)
            assert not belongs(1, os.getpid())
        finally:
            os.killpg(leader.pid, 9)
    assert not belongs(leader.pid, os.getpid())


def test_the_kernel_tells_who_listens_at_a_socket(nothing_left: str) -> None:
    path = f"{nothing_left}/s"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
        with pytest.raises(ConnectionRefusedError):
            listener(Unix(path))
        listening.listen(0)
        assert listener(Unix(path)) == os.getpid()
        with pytest.raises(BlockingIOError):  # nobody accepts, so the queue is full
            listener(Unix(path), 0.0)
        begun = time.monotonic()
        with pytest.raises(BlockingIOError):
            listener(Unix(path), 0.05)
        assert time.monotonic() - begun >= 0.05
        waiting = threading.Thread(target=lambda: listening.accept()[0].close())
        waiting.start()
        assert listener(Unix(path), 60.0) == os.getpid(), "once there is room"
        waiting.join()
    os.unlink(path)
    with pytest.raises(FileNotFoundError):
        listener(Unix(path))


def test_of_tcp_it_does_not_tell_who_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        assert listener(Tcp("127.0.0.1", port)) is None
        assert listener(Tcp("", port)) is None
    with socket.socket() as bound:  # and nobody else's
        bound.bind(("127.0.0.1", 0))
        with pytest.raises(ConnectionRefusedError):
            listener(Tcp("127.0.0.1", bound.getsockname()[1]))
