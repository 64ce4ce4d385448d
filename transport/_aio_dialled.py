"""The asyncio twin of ``_dialled.py``: grpc.aio's channel, whose way lasts as long as anything that uses it."""

from collections.abc import Callable
from types import TracebackType
from typing import Any, Self, TypeVar, cast
from weakref import finalize

import grpc
from grpc import aio

from ._carrier import Route
from ._dialled import holding

Req = TypeVar("Req")
Res = TypeVar("Res")


class DialledChannel(aio.Channel):
    """A channel that goes a way of its own, which is closed with it, or once nothing uses it any more."""

    def __init__(self, route: Route) -> None:
        # grpc's type stubs do not know the argument `_registered_method`, which generated stubs give.
        self._channel, self._route = cast("Any", route.aio_channel()), route
        finalize(self, route.close).atexit = False

    def unary_unary(
        self,
        method: str,
        request_serializer: Callable[[Req], bytes] | None = None,
        response_deserializer: Callable[[bytes], Res] | None = None,
        _registered_method: bool | None = False,
    ) -> "aio.UnaryUnaryMultiCallable[Req, Res]":
        """As ``grpc.aio.Channel`` does."""
        held = holding(self, response_deserializer)
        call = self._channel.unary_unary(method, request_serializer, held, _registered_method)
        return cast("aio.UnaryUnaryMultiCallable[Req, Res]", call)

    def unary_stream(
        self,
        method: str,
        request_serializer: Callable[[Req], bytes] | None = None,
        response_deserializer: Callable[[bytes], Res] | None = None,
        _registered_method: bool | None = False,
    ) -> "aio.UnaryStreamMultiCallable[Req, Res]":
        """As ``grpc.aio.Channel`` does."""
        held = holding(self, response_deserializer)
        call = self._channel.unary_stream(method, request_serializer, held, _registered_method)
        return cast("aio.UnaryStreamMultiCallable[Req, Res]", call)

    def stream_unary(
        self,
        method: str,
        request_serializer: Callable[[Req], bytes] | None = None,
        response_deserializer: Callable[[bytes], Res] | None = None,
        _registered_method: bool | None = False,
    ) -> "aio.StreamUnaryMultiCallable[Req, Res]":
        """As ``grpc.aio.Channel`` does."""
        held = holding(self, response_deserializer)
        call = self._channel.stream_unary(method, request_serializer, held, _registered_method)
        return cast("aio.StreamUnaryMultiCallable[Req, Res]", call)

    def stream_stream(
        self,
        method: str,
        request_serializer: Callable[[Req], bytes] | None = None,
        response_deserializer: Callable[[bytes], Res] | None = None,
        _registered_method: bool | None = False,
    ) -> "aio.StreamStreamMultiCallable[Req, Res]":
        """As ``grpc.aio.Channel`` does."""
        held = holding(self, response_deserializer)
        call = self._channel.stream_stream(method, request_serializer, held, _registered_method)
        return cast("aio.StreamStreamMultiCallable[Req, Res]", call)

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
        """Close the connection and its way. Closing twice is fine."""
        try:
            await self._channel.close(grace)
        finally:
            self._route.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
