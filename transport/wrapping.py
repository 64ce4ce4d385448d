"""A channel around grpcio's own. Says nothing of what becomes of its callables. Importing it imports grpc."""

from collections.abc import Callable
from typing import Any, Literal, Self, TypeVar, cast

import grpc

__all__ = ["Arity", "WrappedChannel"]

Req = TypeVar("Req")
Res = TypeVar("Res")
Arity = Literal["unary_unary", "unary_stream", "stream_unary", "stream_stream"]
"""How many requests and responses a method has: the name of the channel's method that makes its callable."""


class WrappedChannel(grpc.Channel):
    """A channel that makes its callables with ``_callable``, and leaves the rest to the channel that it wraps."""

    def __init__(self, channel: grpc.Channel) -> None:
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
    ) -> "grpc.UnaryUnaryMultiCallable[Req, Res]":
        """Return a callable for the method, as ``grpc.Channel`` does."""
        call = self._callable("unary_unary", method, request_serializer, response_deserializer, _registered_method)
        return cast("grpc.UnaryUnaryMultiCallable[Req, Res]", call)

    def unary_stream(
        self,
        method: str,
        request_serializer: Callable[[Req], bytes] | None = None,
        response_deserializer: Callable[[bytes], Res] | None = None,
        _registered_method: bool | None = False,
    ) -> "grpc.UnaryStreamMultiCallable[Req, Res]":
        """Return a callable for the method, as ``grpc.Channel`` does."""
        call = self._callable("unary_stream", method, request_serializer, response_deserializer, _registered_method)
        return cast("grpc.UnaryStreamMultiCallable[Req, Res]", call)

    def stream_unary(
        self,
        method: str,
        request_serializer: Callable[[Req], bytes] | None = None,
        response_deserializer: Callable[[bytes], Res] | None = None,
        _registered_method: bool | None = False,
    ) -> "grpc.StreamUnaryMultiCallable[Req, Res]":
        """Return a callable for the method, as ``grpc.Channel`` does."""
        call = self._callable("stream_unary", method, request_serializer, response_deserializer, _registered_method)
        return cast("grpc.StreamUnaryMultiCallable[Req, Res]", call)

    def stream_stream(
        self,
        method: str,
        request_serializer: Callable[[Req], bytes] | None = None,
        response_deserializer: Callable[[bytes], Res] | None = None,
        _registered_method: bool | None = False,
    ) -> "grpc.StreamStreamMultiCallable[Req, Res]":
        """Return a callable for the method, as ``grpc.Channel`` does."""
        call = self._callable("stream_stream", method, request_serializer, response_deserializer, _registered_method)
        return cast("grpc.StreamStreamMultiCallable[Req, Res]", call)

    def subscribe(
        self, callback: Callable[[grpc.ChannelConnectivity], None], try_to_connect: bool | None = False
    ) -> None:
        """As ``grpc.Channel`` does."""
        self._channel.subscribe(callback, try_to_connect)

    def unsubscribe(self, callback: Callable[[grpc.ChannelConnectivity], None]) -> None:
        """As ``grpc.Channel`` does."""
        self._channel.unsubscribe(callback)

    def close(self) -> None:
        """Close the connection. Closing twice is fine."""
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
