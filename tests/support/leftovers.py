"""Sees to it that a test leaves nothing behind: no process, no thread, no descriptor, no file where sockets live.

On Linux, a process that outlives whoever started it becomes a child of this one, so that it is missed, too.

A conftest takes it over for all tests of its folder:

    from leftovers import nothing_left as nothing_left
"""

import ctypes
import gc
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc
import psutil
import pytest

from goplugin.transport import SCRIBE

PATIENCE = 30.0  # seconds: grpc closes its sockets and ends its threads in the background
PR_SET_CHILD_SUBREAPER = 36

# Where sockets go when TMPDIR is too long for one.
SHORT = Path("/tmp")


_PRCTL: Any = ctypes.CDLL(None).prctl if sys.platform == "linux" else None  # now: a test may replace ctypes.CDLL


def _adopt_orphans(wanted: bool) -> None:
    if _PRCTL is not None:
        assert _PRCTL(PR_SET_CHILD_SUBREAPER, ctypes.c_ulong(wanted), 0, 0, 0) == 0


def _reaped(ended: set[int]) -> set[int]:
    """Reap those that were adopted, and return them. What was started here is for whoever did so to reap."""
    if not ended:
        return set()
    reaped: set[int] = set()
    started = {one.pid for one in gc.get_objects() if issubclass(type(one), subprocess.Popen)}
    for pid in ended - started:
        with suppress(ChildProcessError):  # a child's own, or a thread that waits for it was faster
            reaped.add(os.waitpid(pid, os.WNOHANG)[0])
    return reaped


def _has_ended(process: psutil.Process) -> bool:
    try:
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def _children() -> set[str]:
    # Not by name and status, which change: one that a fixture of the whole file started may run or sleep.
    found = psutil.Process().children(recursive=True)
    reaped = _reaped({child.pid for child in found if _has_ended(child)})
    return {f"process {child.pid}" for child in found if child.pid not in reaped}


def _described(left: str) -> str:
    kind, _, id = left.partition(" ")
    if kind == "process":
        with suppress(psutil.NoSuchProcess):
            process = psutil.Process(int(id))
            return f"{left} {process.status()} {process.cmdline()}"
    return left


def _threads() -> set[str]:
    return {f"thread {thread.name} ({thread.ident})" for thread in threading.enumerate()}


def _descriptors() -> set[str]:
    found: set[str] = set()
    for name in os.listdir("/proc/self/fd") if os.path.isdir("/proc/self/fd") else ():
        try:
            found.add(f"descriptor {name} {os.readlink(f'/proc/self/fd/{name}')}")
        except FileNotFoundError:
            pass  # that of the listing itself
    return found


def _directories() -> set[str]:
    return {f"directory {path}" for path in SHORT.glob("goplugin-*")}


def _new_directories(before: set[str], given: str) -> set[str]:
    """Return those that a test with another TMPDIR than it was given left. Others are of other runs on this machine."""
    if os.environ.get("TMPDIR") == given:
        return set()
    sockets = Path("/proc/net/unix")
    listed = sockets.read_text() if sockets.exists() else ""
    return {left for left in _directories() - before if f" {left.removeprefix('directory ')}/" not in listed}


def _files(directory: str) -> set[str]:
    return {f"file {directory}/{name}" for name in os.listdir(directory)}


def _everything() -> set[str]:
    return _children() | _threads() | _descriptors()


@pytest.fixture(scope="session")
def warm_grpc() -> None:
    """Let grpc open what it keeps for the life of the process."""
    with ThreadPoolExecutor(1) as workers:
        server = grpc.server(workers)
        server.add_insecure_port("127.0.0.1:0")
        server.start()
        server.stop(None).wait(10)
        grpc.server(workers).add_insecure_port("127.0.0.1:0")  # one that never starts: its pollers stay, once
    for number in range(4):
        with grpc.insecure_channel(f"unix:/nonexistent/{number}") as channel:
            caller: Any = channel
            assert caller.unary_unary("/nobody/Answers").future(b"", timeout=10).exception() is not None


@pytest.fixture(autouse=True)
def nothing_left(
    request: pytest.FixtureRequest,
    warm_grpc: None,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> Iterator[str]:
    """Give the test a TMPDIR of its own, short enough for sockets, and fail it where it left something behind."""
    directory = tempfile.mkdtemp(prefix="gp-", dir="/tmp")
    monkeypatch.setenv("TMPDIR", directory)
    before = _everything() | _directories()
    _adopt_orphans(True)
    try:
        yield directory
        SCRIBE.finish(PATIENCE)  # what is told later has frames, too
        for record in caplog.get_records("call"):
            record.exc_info = None  # pytest keeps it, and with it the frames that hold servers and channels
        request.node.funcargs.clear()  # pytest would hold servers until later, and they their descriptors
        limit = time.monotonic() + PATIENCE
        while left := (_everything() - before) | _new_directories(before, directory) | _files(directory):
            if time.monotonic() > limit:
                pytest.fail("the test left behind:\n" + "\n".join(sorted(map(_described, left))))
            gc.collect()  # grpc.aio lets go of its descriptors with its last object
            time.sleep(0.01)
    finally:
        _adopt_orphans(False)
        shutil.rmtree(directory)


@pytest.fixture
def sockets(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A TMPDIR for what nobody can remove: go-plugin removes no socket of a plugin that exits, and the killed none."""
    with tempfile.TemporaryDirectory(prefix="gp-", dir="/tmp") as folder:
        monkeypatch.setenv("TMPDIR", folder)
        yield Path(folder)
