"""Sees to it that a test leaves nothing behind: no process, no thread, no descriptor, no file where sockets live.

A conftest takes it over for all tests of its folder:

    from leftovers import nothing_left as nothing_left
"""

import gc
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import psutil
import pytest

PATIENCE = 5.0  # seconds: grpc closes its sockets and ends its threads in the background


def _children() -> set[str]:
    return {f"process {child.pid} {child.name()} {child.status()}" for child in _descendants()}


def _descendants() -> list[psutil.Process]:
    return [child for child in psutil.Process().children(recursive=True) if psutil.pid_exists(child.pid)]


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
    for number in range(4):
        with grpc.insecure_channel(f"unix:/nonexistent/{number}") as channel:
            caller: Any = channel
            assert caller.unary_unary("/nobody/Answers").future(b"", timeout=10).exception() is not None


@pytest.fixture(autouse=True)
def nothing_left(warm_grpc: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Give the test a TMPDIR of its own, short enough for sockets, and fail it where it left something behind."""
    directory = tempfile.mkdtemp(prefix="gp-", dir="/tmp")
    monkeypatch.setenv("TMPDIR", directory)
    before = _everything()
    try:
        yield directory
        limit = time.monotonic() + PATIENCE
        while left := _everything() - before:
            if time.monotonic() > limit:
                pytest.fail("the test left behind:\n" + "\n".join(sorted(left)))
            gc.collect()  # grpc.aio lets go of its descriptors with its last object
            time.sleep(0.01)
        assert os.listdir(directory) == []
    finally:
        shutil.rmtree(directory)
