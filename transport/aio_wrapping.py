"""The asyncio twin of ``wrapping.py``: a channel around grpc.aio's own."""

from collections.abc import Callable
from types import TracebackType
from typing import Any, Self, TypeVar, cast

import grpc
from grpc import aio

from .wrapping import Arity

__all__ = ["WrappedChannel"]

Req = TypeVar("Req")
Res = TypeVar("Res")


class WrappedChannel(aio.Channel):
    """A channel that makes its callables with ``_callable``, and leaves the rest to the channel that it wraps."""

    def __init__(self, channel: aio.Channel) -> None:
        # grpc's type stubs do not know the argument `_registered_method`, which generated stubs give.
        self._channel = cast("Any", channel)

    def _callable(self, arity: Arity, method: str, serializer: Any, deserializer: Any, registered: Any) -> Any:
        """Return what calls the method: here, the wrapped channel's own."""
        return getattr(self._channel, arity)(method, serializer, deserializer, registered)

    def unary_unary(
        self,
        method: str,
        request_serializer: Callable[[Req], bytes] | None = None,
        response_deserializer: Callable[[bytes], Res] | None = None,
        _registered_method: bool | None = False,
    ) -> "aio.UnaryUnaryMultiCallable[Req, Res]":
        """Return a callable for the method, as ``grpc.aio.Channel`` does."""
        call = self._callable("unary_unary", method, request_serializer, response_deserializer, _registered_method)
        return cast("aio.UnaryUnaryMultiCallable[Req, Res]", call)

    def unary_stream(
        self,
        method: str,
        request_serializer: Callable[[Req], bytes] | None = None,
        response_deserializer: Callable[[bytes], Res] | None = None,
        _registered_method: bool | None = False,
    ) -> "aio.UnaryStreamMultiCallable[Req, Res]":
        """Return a callable for the method, as ``grpc.aio.Channel`` does."""
        call = self._callable("unary_stream", method, request_serializer, response_deserializer, _registered_method)
        return cast("aio.UnaryStreamMultiCallable[Req, Res]", call)

    def stream_unary(
        self,
        method: str,
        request_serializer: Callable[[Req], bytes] | None = None,
        response_deserializer: Callable[[bytes], Res] | None = None,
        _registered_method: bool | None = False,
    ) -> "aio.StreamUnaryMultiCallable[Req, Res]":
        """Return a callable for the method, as ``grpc.aio.Channel`` does."""
        call = self._callable("stream_unary", method, request_serializer, response_deserializer, _registered_method)
        return cast("aio.StreamUnaryMultiCallable[Req, Res]", call)

    def stream_stream(
        self,
        method: str,
        request_serializer: Callable[[Req], bytes] | None = None,
        response_deserializer: Callable[[bytes], Res] | None = None,
        _registered_method: bool | None = False,
    ) -> "aio.StreamStreamMultiCallable[Req, Res]":
        """Return a callable for the method, as ``grpc.aio.Channel`` does."""
        call = self._callable("stream_stream", method, request_serializer, response_deserializer, _registered_method)
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
        """Close the connection. Closing twice is fine."""
        await self._channel.close(grace)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
