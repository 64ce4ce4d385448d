"""Both shells of the host behind one face, so that one table of tests runs over both."""

import asyncio
import sys
import threading
from collections.abc import Callable, Coroutine, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from goplugin import hostlib
from goplugin.handshake import Handshake
from goplugin.hostlib import StopBudget, Stopped, aio

R = TypeVar("R")

PROGRAMS = Path(__file__).parent.parent / "hostlib" / "programs"
BAD_PLUGINS = Path(__file__).parents[2] / "interop_tests" / "badplugins"
SUPPORT = {"PYTHONPATH": str(Path(__file__).parent)}  # where a program in Python finds `bare_plugin`

HANDSHAKE = Handshake(protocol_version=1, cookie_key="TEST_COOKIE", cookie_value="yes")
LIMIT = 60.0  # seconds for one step, whatever it is
PATIENT = StopBudget(shutdown=30, terminate=30, kill=30)  # the default's are not much for a machine that is busy


def program(name: str) -> list[str]:
    """Return the command that runs a program of one of the two folders; one in Python needs `SUPPORT`, too."""
    path = BAD_PLUGINS / name
    return [sys.executable if name.endswith(".py") else "sh", str(path if path.exists() else PROGRAMS / name)]


class Echo:
    """A stub of the plugin in ``tests/hostlib/programs/bare.py``: bytes to bytes."""

    def __init__(self, channel: Any) -> None:
        self.echo = channel.unary_unary("/test.Echo/Echo")
        self.exit = channel.unary_unary("/test.Echo/Exit")
        self.hang = channel.unary_unary("/test.Echo/Hang")
        self.fail = channel.unary_unary("/test.Echo/Fail")
        self.count = channel.unary_stream("/test.Echo/Count")
        self.join = channel.stream_unary("/test.Echo/Join")
        self.each = channel.stream_stream("/test.Echo/Each")


class SyncShell:
    """The synchronous client as it is."""

    def __init__(self, command: list[str] | None, **options: Any) -> None:
        if command is not None:
            options["env"] = SUPPORT | options.get("env", {})
        plugins = None if "versions" in options else {"echo": Echo}
        options = {"stop_budget": PATIENT} | options
        self.client: Any = hostlib.Client(command, HANDSHAKE, plugins, **options)

    def start(self) -> None:
        self.client.start()

    def echo(self) -> Echo:
        echo: Echo = self.client.dispense("echo")
        return echo

    def call(self, method: Any, request: Any = b"", **options: Any) -> Any:
        return method(request, **options)

    def collect(self, method: Any, request: Any = b"") -> list[Any]:
        return list(method(request))

    def ping(self, timeout: float = LIMIT) -> None:
        self.client.ping(timeout)

    def stop(self) -> Stopped:
        stopped: Stopped = self.client.stop()
        return stopped

    def start_and_stop(self, begun: threading.Event, then: Callable[[], object] = lambda: None) -> None:
        """Start, stop as soon as ``begun`` is set, and do ``then``; raise what the stop raises, or else the start."""
        with ThreadPoolExecutor(1) as other:
            starting = other.submit(self.start)
            assert begun.wait(LIMIT)
            try:
                self.stop()
            finally:
                then()
            starting.result(LIMIT)

    def close(self) -> None:
        self.stop()


class AioShell:
    """The asyncio client on an event loop of its own, which runs only while a step is under way."""

    def __init__(self, command: list[str] | None, **options: Any) -> None:
        self._runner = asyncio.Runner()
        if command is not None:
            options["env"] = SUPPORT | options.get("env", {})
        plugins = None if "versions" in options else {"echo": Echo}
        options = {"stop_budget": PATIENT} | options
        self.client: Any = aio.Client(command, HANDSHAKE, plugins, **options)

    def run(self, work: Callable[[], Coroutine[Any, Any, R]]) -> R:
        async def bounded() -> R:
            async with asyncio.timeout(LIMIT):
                return await work()

        return self._runner.run(bounded())

    def start(self) -> None:
        self.run(self.client.start)

    def echo(self) -> Echo:
        async def dispense() -> Any:
            return self.client.dispense("echo")

        echo: Echo = self.run(dispense)
        return echo

    def call(self, method: Any, request: Any = b"", **options: Any) -> Any:
        async def call() -> Any:
            return await method(request, **options)

        return self.run(call)

    def collect(self, method: Any, request: Any = b"") -> list[Any]:
        async def collect() -> list[Any]:
            return [response async for response in method(request)]

        return self.run(collect)

    def ping(self, timeout: float = LIMIT - 1) -> None:
        self.run(lambda: self.client.ping(timeout))

    def stop(self) -> Stopped:
        stopped: Stopped = self.run(self.client.stop)
        return stopped

    def start_and_stop(self, begun: threading.Event, then: Callable[[], object] = lambda: None) -> None:
        """Start, stop as soon as ``begun`` is set, and do ``then``; raise what the stop raises, or else the start."""

        async def work() -> None:
            starting = asyncio.create_task(self.client.start())
            while not begun.is_set():
                await asyncio.sleep(0.01)
            try:
                await self.client.stop()
            finally:
                then()
            await starting

        self.run(work)

    def close(self) -> None:
        try:
            self.stop()
        finally:
            self._runner.close()


Shell = SyncShell | AioShell
SHELLS: dict[str, type[SyncShell] | type[AioShell]] = {"sync": SyncShell, "aio": AioShell}


@contextmanager
def clients(shell: str) -> Generator[Callable[..., Shell], None, None]:
    """Give a maker of clients of that shell, from a command and options, and stop each of them in the end."""
    made: list[Shell] = []

    def make(command: list[str], **options: Any) -> Shell:
        made.append(SHELLS[shell](command, **options))
        return made[-1]

    try:
        yield make
    finally:
        for client in made:
            client.close()
