"""Uses plugins for as long as asked, samples what this process holds meanwhile, and draws it.

    python interop_tests/support/soak.py [--seconds 300] [--page docs/soak.md]

A Go plugin that calls its host back over a brokered connection at each call runs supervised, on both shells at once,
and is killed again and again. It is go-plugin's example "bidirectional", unchanged.
"""

import argparse
import asyncio
import os
import platform
import signal
import statistics
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any, NamedTuple, Unpack

import grpc
import provision
import psutil

from goplugin import hostlib
from goplugin.handshake import Handshake
from goplugin.hostlib import Options, RestartPolicy, aio

PLUGIN = "example-bidirectional-plugin"
BASIC = Handshake(cookie_key="BASIC_PLUGIN", cookie_value="hello")
AGAIN = RestartPolicy(delay=0.01, delay_max=0.01, limit=None)
LIFE = 25  # calls that each plugin answers before it is killed
SAMPLES = 300  # in one run, at most ten a second
WIDTH, HEIGHT, LEFT, GAP = 840, 120, 64, 56  # pixels: of a graph, of the margin for its scale, between two graphs


class Sample(NamedTuple):
    """What the process held at a moment, in seconds since the start."""

    at: float
    descriptors: float
    threads: float
    memory: float  # resident, in MiB


SERIES: dict[str, Callable[[Sample], float]] = {
    "descriptors": lambda sample: sample.descriptors,
    "threads": lambda sample: sample.threads,
    "resident memory, MiB": lambda sample: sample.memory,
}


@dataclass
class Soak:
    """What was done, and what was seen meanwhile."""

    seconds: float
    calls: int = 0
    restarts: int = 0
    samples: list[Sample] = field(default_factory=list[Sample])

    def ends(self, series: Callable[[Sample], float]) -> tuple[float, float]:
        """The medians of the second and of the last quarter: in the first, grpc and malloc take what they keep."""
        values = [series(sample) for sample in self.samples]
        quarter = len(values) // 4
        return statistics.median(values[quarter : 2 * quarter]), statistics.median(values[-quarter:])


class AddHelper(grpc.GenericRpcHandler):
    """The host's service, which the plugin calls: adds two numbers. Servers of both shells take it."""

    def service(self, handler_call_details: Any) -> "grpc.RpcMethodHandler[Any, Any] | None":
        known = handler_call_details.method == "/proto.AddHelper/Sum"
        return grpc.unary_unary_rpc_method_handler(self._sum) if known else None

    def _sum(self, request: bytes, _: Any) -> bytes:
        # Messages of one-byte varints, so the sum stays one.
        numbers = {request[at] >> 3: request[at + 1] for at in range(0, len(request), 2)}
        return bytes([0x08, (numbers.get(1, 0) + numbers.get(2, 0)) % 100])

    def register(self, server: Any) -> None:
        """Join a server."""
        server.add_generic_rpc_handlers((self,))


def putter(channel: Any) -> Any:
    """Dispense the plugin's method that adds."""
    return channel.unary_unary("/proto.Counter/Put")


def put_request(add_server: int) -> bytes:
    """Return the message that has 1 added by way of the brokered connection ``add_server``."""
    return bytes([0x08, add_server, 0x12, 1, ord("k"), 0x18, 1])


def soak_sync(soak: Soak, command: Path, options: Options, until: float) -> None:
    """Use the plugin by threads."""
    helper = AddHelper()
    plugins = {"put": putter}
    make = lambda: hostlib.Client([command], BASIC, plugins, **options)  # noqa: E731
    with hostlib.Supervised(make, policy=AGAIN) as plugin:
        while monotonic() < until:
            client = plugin.ready()
            for _ in range(LIFE):
                with client.broker.accept_and_serve(client.broker.next_id(), helper.register) as served:
                    client.dispense("put")(put_request(served.id))
                soak.calls += 1
            os.kill(client.id or 0, signal.SIGKILL)
            soak.restarts += 1
            if client.wait(60) is None:
                raise TimeoutError("a killed plugin has not ended")


async def soak_aio(soak: Soak, command: Path, options: Options, until: float) -> None:
    """Use the plugin by an event loop."""
    helper = AddHelper()
    plugins = {"put": putter}
    make = lambda: aio.Client([command], BASIC, plugins, **options)  # noqa: E731
    async with aio.Supervised(make, policy=AGAIN) as plugin:
        while monotonic() < until:
            client = await plugin.ready()
            for _ in range(LIFE):
                async with await client.broker.accept_and_serve(client.broker.next_id(), helper.register) as served:
                    await client.dispense("put")(put_request(served.id))
                soak.calls += 1
            os.kill(client.id or 0, signal.SIGKILL)
            soak.restarts += 1
            if await client.wait(60) is None:
                raise TimeoutError("a killed plugin has not ended")


def run(command: Path, seconds: float, **options: Unpack[Options]) -> Soak:
    """Soak both shells for ``seconds``, with options of their clients, and return what was seen."""
    soak, process, over = Soak(seconds), psutil.Process(), threading.Event()
    begun = monotonic()

    def watch() -> None:
        while not over.wait(max(0.1, seconds / SAMPLES)):
            memory = process.memory_info().rss / 2**20
            soak.samples.append(Sample(monotonic() - begun, process.num_fds(), process.num_threads(), memory))

    with (
        tempfile.TemporaryDirectory() as first,
        tempfile.TemporaryDirectory() as second,
        ThreadPoolExecutor(3) as threads,
    ):
        watching = threads.submit(watch)
        try:
            works = (
                threads.submit(soak_sync, soak, command, {**options, "cwd": first}, begun + seconds),
                threads.submit(asyncio.run, soak_aio(soak, command, {**options, "cwd": second}, begun + seconds)),
            )
            for work in works:
                work.result()
        finally:
            over.set()
        watching.result()
    return soak


def drawn(soak: Soak) -> str:
    """Return the samples as a picture, an SVG: one graph for each series, over the same time."""
    height = len(SERIES) * (HEIGHT + GAP) + 24
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {LEFT + WIDTH + 24} {height}" '
        'font-family="sans-serif" font-size="13">',
        '<rect width="100%" height="100%" fill="white"/>',
    ]
    last = soak.samples[-1].at
    for number, (name, series) in enumerate(SERIES.items()):
        top = number * (HEIGHT + GAP) + 32
        values = [series(sample) for sample in soak.samples]
        ceiling = max(values) * 1.1  # the scale begins at 0: a slope would be seen as it is
        points = " ".join(
            f"{LEFT + sample.at / last * WIDTH:.1f},{top + HEIGHT * (1 - value / ceiling):.1f}"
            for sample, value in zip(soak.samples, values, strict=True)
        )
        parts.append(f'<text x="{LEFT}" y="{top - 10}" font-weight="bold">{name}</text>')
        for mark in (0.0, max(values) / 2, max(values)):
            y = top + HEIGHT * (1 - mark / ceiling)
            parts.append(f'<line x1="{LEFT}" x2="{LEFT + WIDTH}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>')
            parts.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end" fill="#555">{mark:.0f}</text>')
        parts.append(f'<polyline points="{points}" fill="none" stroke="#1f5fa8" stroke-width="1.5"/>')
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        x = LEFT + share * WIDTH
        parts.append(
            f'<text x="{x:.0f}" y="{height - 20}" text-anchor="middle" fill="#555">{share * last:.0f} s</text>'
        )
    return "\n".join([*parts, "</svg>", ""])


def described(soak: Soak, picture: str) -> str:
    """Return the page about the run."""
    rows = [
        f"| {name} | {before:.0f} | {after:.0f} | {max(map(series, soak.samples)):.0f} |"
        for name, series in SERIES.items()
        for before, after in [soak.ends(series)]
    ]
    lines = "\n".join(rows)
    return f"""# Soak

`make soak` uses plugins for five minutes and samples what the host's process holds meanwhile; `make test` does so for
some seconds and fails where a line rises. The plugin is go-plugin's own example in Go, which calls its host back over a
brokered connection at each call. It runs under `Supervised`, with threads and on asyncio in the same process, and is
killed by SIGKILL after {LIFE} calls, each time.

Python {platform.python_version()} on {platform.system()}: {soak.seconds:.0f} s, {soak.calls} calls with as many
brokered servers, {soak.restarts} restarts.

![descriptors, threads and resident memory over the run]({picture})

| | second quarter, median | last quarter, median | highest |
| --- | ---: | ---: | ---: |
{lines}
"""


def main() -> None:
    """Run, and write the page and its picture."""
    parser = argparse.ArgumentParser(description="Uses plugins for a while and draws what this process holds.")
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--page", type=Path, default=Path("docs/soak.md"))
    arguments = parser.parse_args()
    soak = run(provision.program(PLUGIN), arguments.seconds)
    picture = arguments.page.with_suffix(".svg")
    picture.write_text(drawn(soak))
    arguments.page.write_text(described(soak, picture.name))
    print(f"{soak.calls} calls, {soak.restarts} restarts: {arguments.page}")


if __name__ == "__main__":
    main()
