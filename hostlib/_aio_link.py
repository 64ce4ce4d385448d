"""The asyncio twin of ``_link.py``: the channel to one plugin, and the two streams that a host keeps open on it."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import TypeVar

import grpc
from google.protobuf.message import Message
from grpc import aio

from ..handshake import HandshakeRefused
from ..proto import plugin
from ..proto.rpc import Method
from ..transport import Route, Stream
from ..transport.aio import Broker
from ..transport.wire import conn_info, parse_conn_info
from ._hclog import legible
from ._launch import SETTLE
from ._services import CHECK, HEALTH, NO_ANSWER, STREAM_OVER

Req = TypeVar("Req", bound=Message)
Res = TypeVar("Res", bound=Message)


class Link:
    """A connection, with nothing running on it yet.

    Attributes:
        channel: grpc.aio's own channel.
        broker: the brokered connections beside it; they are closed with it.
    """

    def __init__(self, route: Route, broker: Broker, name: str, logger: logging.Logger) -> None:
        self._route = route
        self.channel = route.aio_channel()
        self.broker = broker
        self._name, self._logger = name, logger
        self._tasks: list[asyncio.Task[None]] = []

    async def probe(self, seconds: float) -> tuple[grpc.StatusCode, str]:
        """Ask for the plugin's health, as the first call on the connection; return how the call ended."""
        # grpcio would try again and again to connect to a plugin that it does not trust.
        patient = self._route.credentials is None
        try:
            await self._unary(CHECK)(HEALTH, timeout=max(0.0, seconds), wait_for_ready=patient)
        except aio.AioRpcError as error:
            return error.code(), error.details() or ""
        return grpc.StatusCode.OK, ""

    def open(self, stdout: Callable[[bytes], object], stderr: Callable[[bytes], object]) -> None:
        """Open the two streams; what comes on StreamStdio goes to ``stdout`` and ``stderr``."""
        self._run("broker", self._read_broker())
        self._run("stdio", self._read_stdio(stdout, stderr))

    async def shut_down(self, seconds: float) -> bool:
        """Ask the plugin to end; return False where it cannot be asked."""
        try:
            await self._unary(plugin.SHUTDOWN)(plugin.Empty(), timeout=max(0.0, seconds))
        except aio.AioRpcError as error:
            return error.code() in NO_ANSWER
        except aio.UsageError:  # grpc's answer where the caller has closed the channel
            return False
        return True

    async def close(self) -> None:
        """Close the connection. What the plugin had sent on StreamStdio before it ended is delivered first."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=SETTLE)
        await self.broker.close()
        await self.channel.close()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=SETTLE)
        self._route.close()

    def _unary(self, method: Method[Req, Res]) -> "aio.UnaryUnaryMultiCallable[Req, Res]":
        return self.channel.unary_unary(method.path, method.request_bytes, method.response_from)

    def _run(self, what: str, work: Coroutine[None, None, None]) -> None:
        async def guarded() -> None:
            try:
                await work
            except aio.AioRpcError as error:
                level = logging.DEBUG if error.code() in STREAM_OVER else logging.WARNING
                self._logger.log(level, "the %s stream ended: %s", what, error.code().name)

        self._tasks.append(asyncio.create_task(guarded(), name=f"goplugin-{what}-{self._name}"))

    async def _read_broker(self) -> None:
        method = plugin.START_STREAM
        opened = self.channel.stream_stream(method.path, method.request_bytes, method.response_from)
        call, news = opened(), asyncio.Event()
        stream = Stream(news.set)
        self.broker.opened(stream)
        writing = asyncio.create_task(self._write_broker(call.write, stream, news))
        try:
            async for info in call:
                try:
                    message = parse_conn_info(info)
                except HandshakeRefused as error:
                    self._logger.warning("ignored what the plugin told the broker: %s", legible(str(error)))
                else:
                    self.broker.told(message)
        finally:
            writing.cancel()
            self.broker.ended(stream)

    async def _write_broker(
        self, write: Callable[[plugin.ConnInfo], Awaitable[None]], stream: Stream, news: asyncio.Event
    ) -> None:
        try:
            while await news.wait():
                news.clear()
                while (ours := self.broker.outgoing(stream)) is not None:
                    await write(conn_info(ours))
        except (aio.AioRpcError, asyncio.InvalidStateError):
            pass  # the stream is over, and its reader says how

    async def _read_stdio(self, stdout: Callable[[bytes], object], stderr: Callable[[bytes], object]) -> None:
        method = plugin.STREAM_STDIO
        opened = self.channel.unary_stream(method.path, method.request_bytes, method.response_from)
        sinks = {plugin.StdioData.STDOUT: stdout, plugin.StdioData.STDERR: stderr}
        async for piece in opened(plugin.GoogleEmpty()):
            sink = sinks.get(piece.channel)
            if sink is not None:
                sink(piece.data)
