"""Many plugins, many starts and much output, for a short while: nothing that the host holds grows.

`make soak` does the same ten times over, and then `soak.py` for five minutes.
"""

import asyncio
import os
import signal
import statistics
import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import psutil
import pytest
import soak
from leftovers import nothing_left as nothing_left
from leftovers import warm_grpc as warm_grpc
from probe_pb2 import AddRequest
from probe_pb2_grpc import ProbeStub
from pyhost import INTEROP
from shells import SHELLS
from shells import program as bare

from goplugin import hostlib
from goplugin.hostlib import Ready, Restarting, RestartPolicy, StopBudget, aio

Program = Callable[[str], Path]

TIMES = int(os.environ.get("GOPLUGIN_LOAD", "1"))
PLUGINS = 100
RESTARTS = 100 * TIMES
MEGABYTES = 100 * TIMES  # of each, stdout and stderr
LIMIT = 120.0 * TIMES
AGAIN = RestartPolicy(delay=0.0, jitter=0.0, limit=None)
PATIENT: hostlib.Options = {"start_timeout": LIMIT, "stop_budget": StopBudget(shutdown=LIMIT)}
MIB = 2**20
GROWTH = 16 * MIB  # of resident memory: malloc's, not a leak's

pytestmark = pytest.mark.timeout(LIMIT)


def resident() -> int:
    return psutil.Process().memory_info().rss


def held() -> tuple[int, int]:
    """How many descriptors and threads this process has."""
    process = psutil.Process()
    return process.num_fds(), process.num_threads()


def beyond(tolerances: Mapping[str, float], ends: Iterable[tuple[float, float]]) -> list[str]:
    """Return what has grown by more than it may, from before to after."""
    return [
        f"{name}: from {before} to {after}"
        for (name, tolerance), (before, after) in zip(tolerances.items(), ends, strict=True)
        if after > before + tolerance
    ]


def not_growing(run: Callable[[], list[str]]) -> None:
    """Fail if something has grown in each of three runs: a leak does, and grpc, which tidies up when it can, does not.

    ``run`` returns what has grown.
    """
    grown: list[str] = []
    for _ in range(3):
        grown = run()
        if not grown:
            return
    pytest.fail("\n".join(grown))


def test_a_hundred_plugins_start_and_run_at_once_for_a_host_with_threads(program: Program) -> None:
    together = threading.Barrier(PLUGINS)

    def use(number: int) -> tuple[int, str]:
        client = hostlib.Client([program("plugin-1.8.0")], INTEROP, {"probe": ProbeStub}, **PATIENT)
        together.wait(LIMIT)
        client.start()
        try:
            together.wait(LIMIT)
            total = client.dispense("probe").Add(AddRequest(a=number, b=1)).sum
            together.wait(LIMIT)
        finally:
            stopped = client.stop()
        return total, stopped.how

    with ThreadPoolExecutor(PLUGINS) as pool:
        assert list(pool.map(use, range(PLUGINS))) == [(number + 1, "shutdown") for number in range(PLUGINS)]


def test_a_hundred_plugins_start_and_run_at_once_for_a_host_on_asyncio(program: Program) -> None:
    async def run() -> list[tuple[int, str]]:
        together = asyncio.Barrier(PLUGINS)

        async def use(number: int) -> tuple[int, str]:
            plugins: dict[str, Any] = {"probe": ProbeStub}
            client = aio.Client([program("plugin-1.8.0")], INTEROP, plugins, **PATIENT)
            await together.wait()
            await client.start()
            try:
                await together.wait()
                total = (await client.dispense("probe").Add(AddRequest(a=number, b=1))).sum
                await together.wait()
            finally:
                stopped = await client.stop()
            return total, stopped.how

        async with asyncio.timeout(LIMIT):
            return await asyncio.gather(*(use(number) for number in range(PLUGINS)))

    assert asyncio.run(run()) == [(number + 1, "shutdown") for number in range(PLUGINS)]


class Restarts:
    """Counts what happened to a supervised plugin, and notes what was held when it became ready."""

    def __init__(self) -> None:
        self.count = 0
        self.held: list[tuple[int, int, int]] = []

    def __call__(self, event: hostlib.Event) -> None:
        if isinstance(event, Restarting):
            self.count += 1
        elif isinstance(event, Ready):
            self.held.append((*held(), resident()))

    def grown(self) -> list[str]:
        assert self.count == RESTARTS
        early, late = self.held[RESTARTS // 10 : RESTARTS // 2], self.held[-RESTARTS // 2 :]
        ends = [[statistics.median(series) for series in zip(*part, strict=True)] for part in (early, late)]
        return beyond({"descriptors": 2, "threads": 2, "memory": GROWTH}, zip(*ends, strict=True))


def test_a_plugin_that_is_restarted_again_and_again_leaves_no_trace_with_threads(program: Program) -> None:
    make = lambda: hostlib.Client([program("plugin-1.8.0")], INTEROP, {"probe": ProbeStub})  # noqa: E731

    def run() -> list[str]:
        restarts = Restarts()
        with hostlib.Supervised(make, policy=AGAIN, on_event=restarts) as plugin:
            for number in range(RESTARTS):
                client = plugin.ready()
                assert client.dispense("probe").Add(AddRequest(a=number, b=1)).sum == number + 1
                os.kill(client.id or 0, signal.SIGKILL)
                assert client.wait(LIMIT) is not None
            plugin.ready()
        return restarts.grown()

    not_growing(run)


def test_a_plugin_that_is_restarted_again_and_again_leaves_no_trace_on_asyncio(program: Program) -> None:
    plugins: dict[str, Any] = {"probe": ProbeStub}
    make = lambda: aio.Client([program("plugin-1.8.0")], INTEROP, plugins)  # noqa: E731

    async def run(restarts: Restarts) -> list[str]:
        async with aio.Supervised(make, policy=AGAIN, on_event=restarts) as plugin:
            for number in range(RESTARTS):
                client = await plugin.ready()
                assert (await client.dispense("probe").Add(AddRequest(a=number, b=1))).sum == number + 1
                os.kill(client.id or 0, signal.SIGKILL)
                assert await client.wait(LIMIT) is not None
            await plugin.ready()
        return restarts.grown()

    not_growing(lambda: asyncio.run(asyncio.wait_for(run(Restarts()), LIMIT)))


class Sink:
    """Counts bytes, and notes how much memory this process had meanwhile."""

    def __init__(self) -> None:
        self.bytes = 0
        self.resident: list[int] = []

    def __call__(self, data: bytes) -> None:
        before, self.bytes = self.bytes, self.bytes + len(data)
        if self.bytes // MIB > before // MIB:
            self.resident.append(resident())


@pytest.mark.parametrize("shell", SHELLS)
def test_a_flood_of_output_passes_through_without_staying(shell: str) -> None:
    stdout, stderr = Sink(), Sink()
    options: dict[str, Any] = {"stdout": stdout, "stderr": stderr, "call_timeout": LIMIT}
    host = SHELLS[shell](bare("floods.py"), **options)
    try:
        host.start()
        for _ in range(MEGABYTES // 20):  # in steps that a shell's own limit allows for
            host.call(host.echo().echo, b"20")
    finally:
        host.close()
    assert stdout.bytes == MEGABYTES * MIB
    assert stderr.bytes == MEGABYTES * (MIB + 70)
    for sink in (stdout, stderr):
        early, late = sink.resident[: MEGABYTES // 5], sink.resident[MEGABYTES // 5 :]
        assert max(late) <= max(early) + GROWTH


@pytest.mark.parametrize(
    ("seconds", "options"),
    [(8.0, {}), (6.0, {"auto_mtls": True}), (6.0, {"auto_mtls": True, "multiplex": True})],
    ids=["plain", "auto_mtls", "multiplexed-auto_mtls"],
)
def test_calls_brokered_servers_and_restarts_leave_no_trace(
    program: Program, seconds: float, options: hostlib.Options
) -> None:
    runs: list[soak.Soak] = []

    def run() -> list[str]:
        runs.append(seen := soak.run(program(soak.PLUGIN), seconds, **options))
        assert seen.calls >= 25
        assert seen.restarts >= 2
        tolerances = {"descriptors": 3, "threads": 3, "resident memory, MiB": GROWTH / MIB}
        return beyond(tolerances, (seen.ends(soak.SERIES[name]) for name in tolerances))

    not_growing(run)
    seen = runs[-1]
    graphs = ElementTree.fromstring(soak.drawn(seen)).findall("{http://www.w3.org/2000/svg}polyline")
    assert [len(graph.attrib["points"].split()) for graph in graphs] == [len(seen.samples)] * len(soak.SERIES)
    assert f"{seen.restarts} restarts" in soak.described(seen, "soak.svg")
