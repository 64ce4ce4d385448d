"""One plugin under a Go host that times its own calls (interop_tests/go/cmd/caller). Never judges what it measures."""

import json
import os
import select
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Literal

import provision
import psutil

from benchmarks.calls import MIB, Calls
from benchmarks.plugin import SMALL, START_WITHIN, Failed

Tls = Literal["none", "auto", "unverified"]
ANSWER_WITHIN = 120.0  # seconds; far more than any order here takes
STOP_WITHIN = 10.0  # seconds; the host itself gives its plugin two


class GoHost:
    """A Go host whose plugin has answered its first call. Use it as a context; leaving it stops both.

    Attributes:
        first_call: seconds from before the spawn to the first answer.
        process: the plugin's.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        tls: Tls,
        environment: Mapping[str, str],
        folder: str,
        *,
        multiplex: bool = False,
    ) -> None:
        self._name, self._rest = name, b""
        with ExitStack() as undo:
            self._errors = undo.enter_context(tempfile.TemporaryFile())
            self._host = subprocess.Popen(
                [provision.program("caller"), "-tls", tls, f"-multiplex={multiplex}".lower(), *command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                env=environment,
                cwd=folder,
                start_new_session=True,
            )
            undo.callback(self._stop)
            first = self._answer(START_WITHIN)
            self.first_call = first["seconds"]
            self.process = psutil.Process(first["pid"])
            self._undo = undo.pop_all()

    def unary(self, threads: int, count: int, calls: Calls) -> None:
        """Get a small value ``count`` times from each of so many goroutines."""
        self._order(calls, op="unary", threads=threads, count=count)
        calls.bytes += threads * count * len(SMALL)

    def large(self, count: int, calls: Calls) -> None:
        """Put a value of 1 MiB and get it back, ``count`` times."""
        self._order(calls, op="large", count=count, bytes=MIB)
        calls.bytes += 2 * count * MIB

    def __enter__(self) -> "GoHost":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._undo.close()

    def _order(self, calls: Calls, **order: str | int) -> None:
        assert self._host.stdin is not None
        self._host.stdin.write(json.dumps(order).encode() + b"\n")
        self._host.stdin.flush()
        answer = self._answer(ANSWER_WITHIN)
        calls.latencies += answer["latencies"]
        calls.seconds += answer["seconds"]

    def _answer(self, seconds: float) -> dict[str, Any]:
        assert self._host.stdout is not None
        descriptor = self._host.stdout.fileno()
        while b"\n" not in self._rest:
            if not select.select([descriptor], [], [], seconds)[0]:
                raise Failed(f"{self._name} gives no answer within {seconds:g} s{self._told()}")
            piece = os.read(descriptor, 1 << 20)
            if not piece:
                raise Failed(f"the host of {self._name} has ended{self._told()}")
            self._rest += piece
        line, self._rest = self._rest.split(b"\n", 1)
        answer: dict[str, Any] = json.loads(line)
        if answer["error"]:
            raise Failed(f"{self._name}: {answer['error']}{self._told()}")
        return answer

    def _told(self) -> str:
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        return f"; it said: {lines[-1]}" if lines else ""

    def _stop(self) -> None:
        assert self._host.stdin is not None
        assert self._host.stdout is not None
        self._host.stdin.close()  # its orders are over, so it stops its plugin and ends
        try:
            self._host.wait(STOP_WITHIN)
        except subprocess.TimeoutExpired:
            self._host.kill()
            self._host.wait()
        self._host.stdout.close()
