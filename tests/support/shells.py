"""Both shells of the host behind one face, so that one table of tests runs over both."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from goplugin import hostlib
from goplugin.handshake import Handshake
from goplugin.hostlib import Stopped, aio

R = TypeVar("R")

HANDSHAKE = Handshake(protocol_version=1, cookie_key="TEST_COOKIE", cookie_value="yes")
LIMIT = 60.0  # seconds for one step, whatever it is


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
        plugins = None if "versions" in options else {"echo": Echo}
        self.client: Any = hostlib.Client(command, HANDSHAKE, plugins, **options)

    def start(self) -> None:
        self.client.start()

    def echo(self) -> Echo:
        return self.client.dispense("echo")

    def call(self, method: Any, request: Any = b"", **options: Any) -> Any:
        return method(request, **options)

    def collect(self, method: Any, request: Any = b"") -> list[Any]:
        return list(method(request))

    def ping(self) -> None:
        self.client.ping()

    def stop(self) -> Stopped:
        return self.client.stop()

    def close(self) -> None:
        self.stop()


class AioShell:
    """The asyncio client on an event loop of its own, which runs only while a step is under way."""

    def __init__(self, command: list[str], **options: Any) -> None:
        self._runner = asyncio.Runner()
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
        async def dispense() -> Echo:
            return self.client.dispense("echo")

        return self.run(dispense)

    def call(self, method: Any, request: Any = b"", **options: Any) -> Any:
        async def call() -> Any:
            return await method(request, **options)

        return self.run(call)

    def collect(self, method: Any, request: Any = b"") -> list[Any]:
        async def collect() -> list[Any]:
            return [response async for response in method(request)]

        return self.run(collect)

    def ping(self) -> None:
        self.run(self.client.ping)

    def stop(self) -> Stopped:
        return self.run(self.client.stop)

    def close(self) -> None:
        self.stop()
        self._runner.close()


Shell = SyncShell | AioShell
SHELLS: dict[str, type[SyncShell] | type[AioShell]] = {"sync": SyncShell, "aio": AioShell}
