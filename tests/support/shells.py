"""Both shells of the host behind one face, so that one table of tests runs over both."""

import asyncio
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

from goplugin import hostlib
from goplugin.handshake import Handshake
from goplugin.hostlib import Stopped, aio

R = TypeVar("R")

PROGRAMS = Path(__file__).parent.parent / "hostlib" / "programs"
SUPPORT = {"PYTHONPATH": str(Path(__file__).parent)}  # where a program in Python finds `bare_plugin`

HANDSHAKE = Handshake(protocol_version=1, cookie_key="TEST_COOKIE", cookie_value="yes")
LIMIT = 60.0  # seconds for one step, whatever it is


def program(name: str) -> list[str]:
    """Return the command that runs a program of `tests/hostlib/programs`; one in Python needs `SUPPORT`, too."""
    return [sys.executable if name.endswith(".py") else "sh", str(PROGRAMS / name)]


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

    def __init__(self, command: list[str], **options: Any) -> None:
        options["env"] = SUPPORT | options.get("env", {})
        plugins = None if "versions" in options else {"echo": Echo}
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

    def ping(self, **options: Any) -> None:
        self.client.ping(**options)

    def stop(self) -> Stopped:
        stopped: Stopped = self.client.stop()
        return stopped

    def close(self) -> None:
        self.stop()


class AioShell:
    """The asyncio client on an event loop of its own, which runs only while a step is under way."""

    def __init__(self, command: list[str], **options: Any) -> None:
        self._runner = asyncio.Runner()
        options["env"] = SUPPORT | options.get("env", {})
        plugins = None if "versions" in options else {"echo": Echo}
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

    def ping(self, **options: Any) -> None:
        self.run(lambda: self.client.ping(**options))

    def stop(self) -> Stopped:
        stopped: Stopped = self.run(self.client.stop)
        return stopped

    def close(self) -> None:
        self.stop()
        self._runner.close()


Shell = SyncShell | AioShell
SHELLS: dict[str, type[SyncShell] | type[AioShell]] = {"sync": SyncShell, "aio": AioShell}
