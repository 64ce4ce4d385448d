"""One started plugin: its process, its handshake line, a channel to it. Never judges what it measures."""

import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from time import monotonic, perf_counter
from types import TracebackType
from typing import IO

import grpc
import kv_pb2
import kv_pb2_grpc
import psutil

START_WITHIN = 20.0  # seconds to the line, and again to the first answer; the slowest needs one
STOP_WITHIN = 5.0  # seconds from SIGTERM; after them SIGKILL
CALL_WITHIN = 20.0  # seconds; far more than any call here takes

KEY = "key"
SMALL = b"x" * 100
LINE_MAX = 64 * 1024

OPTIONS = (("grpc.default_authority", "localhost"), ("grpc.use_local_subchannel_pool", 1))
"""The first because not every server takes grpcio's own, the escaped path; the second so that no two plugins share."""


class Failed(Exception):
    """A contestant cannot be measured."""


class Plugin:
    """A plugin that has answered its first call. Use it as a context; leaving it stops the process.

    Attributes:
        line: seconds from before the spawn to the handshake line.
        first_call: seconds from before the spawn to the first answer.
        first_call_work: seconds of processor time that it took the plugin.
    """

    def __init__(self, name: str, command: Sequence[str], environment: Mapping[str, str], folder: str) -> None:
        with ExitStack() as undo:
            errors = undo.enter_context(tempfile.TemporaryFile())
            began = perf_counter()
            try:
                process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=errors,
                    env=environment,
                    cwd=folder,
                    start_new_session=True,  # Ctrl-C is for the benchmark, which then stops its plugins
                )
            except OSError as error:
                raise Failed(f"{name} does not start: {error}") from error
            undo.callback(_stop, process)
            self.process = psutil.Process(process.pid)
            try:
                fields = _first_line(process).split(b"|")
                self.line = perf_counter() - began
                address = fields[3].decode()
                channel = grpc.insecure_channel(f"unix:{address}" if fields[2] == b"unix" else address, OPTIONS)
                undo.callback(channel.close)
                self.kv = kv_pb2_grpc.KVStub(channel)
                self.kv.Put(kv_pb2.PutRequest(key=KEY, value=SMALL), timeout=START_WITHIN)
                self.first_call = perf_counter() - began
                self.first_call_work = self.work()
            except (OSError, EOFError, IndexError, grpc.RpcError) as error:
                raise Failed(f"{name} does not start: {error}{_told(process, errors)}") from error
            self._undo = undo.pop_all()

    def work(self) -> float:
        """Return the seconds of processor time that the process has had; 0 where no system call tells.

        On a busy machine it says more than any clock.
        """
        # Linux numbers the clock of a process so, CPUCLOCK_SCHED, as clock_getcpuclockid(3) does.
        return time.clock_gettime((~self.process.pid << 3) | 2) if sys.platform == "linux" else 0.0

    def __enter__(self) -> "Plugin":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._undo.close()


def _first_line(process: "subprocess.Popen[bytes]") -> bytes:
    assert process.stdout is not None
    descriptor = process.stdout.fileno()
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    deadline = monotonic() + START_WITHIN
    line = b""
    while not line.endswith(b"\n"):
        if not poll.poll(max(0.0, deadline - monotonic()) * 1000):
            raise TimeoutError(f"no handshake line within {START_WITHIN:.0f} s")
        piece = os.read(descriptor, LINE_MAX)
        if not piece:
            raise EOFError(f"its output ended after {line!r}, before a handshake line")
        line += piece
    return line


def _told(process: "subprocess.Popen[bytes]", errors: IO[bytes]) -> str:
    """What the program said on stderr, and how it ended if it did."""
    try:
        ending = f"\nexit status {process.wait(0.5)}"
    except subprocess.TimeoutExpired:
        ending = "\nstill running"
    errors.seek(0)
    lines = errors.read().decode(errors="replace").splitlines()[-10:]
    return "".join(f"\n  {line}" for line in lines) + ending


def _stop(process: "subprocess.Popen[bytes]") -> None:
    with process:
        for number in (signal.SIGTERM, signal.SIGKILL):
            if process.poll() is None:
                os.killpg(process.pid, number)
            try:
                process.wait(STOP_WITHIN)
            except subprocess.TimeoutExpired:
                continue
            return
