"""The asyncio twin of ``_channel.py``: grpc.aio's channel with a deadline on every unary call and with better errors.

Stubs that grpcio-tools generates work on it unchanged.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from types import TracebackType
from typing import Any, NoReturn, Self, TypeVar, cast

import grpc
from grpc import aio

from ..handshake import PluginLost

Req = TypeVar("Req")
Res = TypeVar("Res")
Verdict = Callable[[aio.AioRpcError], Awaitable[Exception | None]]
"""Given what a call raised, the error to raise in its place, or None to leave it."""
Closed = Callable[[], Exception | None]
"""The error to raise in place of the one by which grpc refuses a call on a closed channel."""


class LostInCall(PluginLost, aio.AioRpcError):
    """The plugin ended during a call. It is the RPC error of the call, too."""

    def __init__(self, loss: PluginLost, call: aio.AioRpcError) -> None:
        Exception.__init__(self, *loss.args)
        self.__dict__.update(call.__dict__)
        self.__dict__.update(loss.__dict__)

    __str__ = Exception.__str__
    __repr__ = Exception.__repr__


class PluginChannel(aio.Channel):
    """A grpc.aio channel to a plugin."""

    def __init__(self, channel: aio.Channel, call_timeout: float | None, verdict: Verdict, closed: Closed) -> None:
        # grpc's type stubs do not know the argument `_registered_method`, which generated stubs give.
        self._channel = cast("Any", channel)
        self._timeout, self._verdict, self._closed = call_timeout, verdict, closed

    def unary_unary(
        self,
        method: str,
        request_serializer: Callable[[Req], bytes] | None = None,
        response_deserializer: Callable[[bytes], Res] | None = None,
        _registered_method: bool | None = False,
    ) -> "aio.UnaryUnaryMultiCallable[Req, Res]":
        """Return a callable for the method."""
        call = self._channel.unary_unary(method, request_serializer, response_deserializer, _registered_method)
        return cast("aio.UnaryUnaryMultiCallable[Req, Res]", self._wrapped(call, self._timeout))

    def unary_stream(
        self,
        method: str,
        request_serializer: Callable[[Req], bytes] | None = None,
        response_deserializer: Callable[[bytes], Res] | None = None,
        _registered_method: bool | None = False,
    ) -> "aio.UnaryStreamMultiCallable[Req, Res]":
        """Return a callable for the method. A stream has no default deadline: only its caller knows its length."""
        call = self._channel.unary_stream(method, request_serializer, response_deserializer, _registered_method)
        return cast("aio.UnaryStreamMultiCallable[Req, Res]", self._wrapped(call))

    def stream_unary(
        self,
        method: str,
        request_serializer: Callable[[Req], bytes] | None = None,
        response_deserializer: Callable[[bytes], Res] | None = None,
        _registered_method: bool | None = False,
    ) -> "aio.StreamUnaryMultiCallable[Req, Res]":
        """Return a callable for the method."""
        call = self._channel.stream_unary(method, request_serializer, response_deserializer, _registered_method)
        return cast("aio.StreamUnaryMultiCallable[Req, Res]", self._wrapped(call))

    def stream_stream(
        self,
        method: str,
        request_serializer: Callable[[Req], bytes] | None = None,
        response_deserializer: Callable[[bytes], Res] | None = None,
        _registered_method: bool | None = False,
    ) -> "aio.StreamStreamMultiCallable[Req, Res]":
        """Return a callable for the method."""
        call = self._channel.stream_stream(method, request_serializer, response_deserializer, _registered_method)
        return cast("aio.StreamStreamMultiCallable[Req, Res]", self._wrapped(call))

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        """As ``grpc.aio.Channel`` does."""
        return cast("grpc.ChannelConnectivity", self._channel.get_state(try_to_connect))

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        """As ``grpc.aio.Channel`` does."""
        await self._channel.wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        """As ``grpc.aio.Channel`` does."""
        await self._channel.channel_ready()

    async def close(self, grace: float | None = None) -> None:
        """Close the connection. ``Client.stop`` does it, too."""
        await self._channel.close(grace)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def _wrapped(self, call: Any, timeout: float | None = None) -> "_Method":
        return _Method(call, timeout, self._verdict, self._closed)


class _Method:
    """A method of the plugin."""

    __slots__ = ("_call", "_closed", "_timeout", "_verdict")

    def __init__(self, call: Any, timeout: float | None, verdict: Verdict, closed: Closed) -> None:
        self._call, self._timeout, self._verdict, self._closed = call, timeout, verdict, closed

    def __call__(self, *request: Any, timeout: float | None = None, **options: Any) -> "_Running":
        instead = self._closed()
        if instead is not None:
            raise instead
        limit = self._timeout if timeout is None else timeout
        if limit is not None:
            options["timeout"] = limit
        call = self._call(*request, **options)
        return _Running(call, self._verdict)


class _Running:
    """A call under way: what grpc.aio returns, but for the errors."""

    __slots__ = ("_call", "_verdict")

    def __init__(self, call: Any, verdict: Verdict) -> None:
        self._call, self._verdict = call, verdict

    def __getattr__(self, name: str) -> Any:
        return getattr(self._call, name)

    def __await__(self) -> Generator[Any, None, Any]:
        return self._guarded(self._call).__await__()

    async def __aiter__(self) -> AsyncIterator[Any]:
        try:
            async for response in self._call:
                yield response
        except aio.AioRpcError as error:
            await self._reraise(error)

    async def read(self) -> Any:
        return await self._guarded(self._call.read())

    async def write(self, request: Any) -> None:
        await self._guarded(self._call.write(request))

    async def _guarded(self, step: Awaitable[Any]) -> Any:
        try:
            return await step
        except aio.AioRpcError as error:
            await self._reraise(error)

    async def _reraise(self, error: aio.AioRpcError) -> NoReturn:
        instead = await self._verdict(error)
        if instead is None:
            raise error
        raise instead from error
