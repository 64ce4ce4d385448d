"""The channel that a dial gives: grpcio's own, whose way lasts as long as anything that uses it. Never closes it early.

grpcio's callables and calls hold what connects, and not the channel that they were made from, so a stub may outlive it.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar, cast
from weakref import finalize

import grpc

from ._carrier import Route

Req = TypeVar("Req")
Res = TypeVar("Res")


class Held(partial[Any]):
    """What reads a response. Every callable and every call of grpcio's holds one, and it holds the channel."""

    channel: object


def holding(channel: object, deserializer: Callable[[bytes], Res] | None) -> Callable[[bytes], Res]:
    """Return what reads responses as ``deserializer`` does, and holds the channel."""
    held = Held(deserializer or bytes)
    held.channel = channel
    return held


class DialledChannel(grpc.Channel):
    """A channel that goes a way of its own, which is closed with it, or once nothing uses it any more."""

    def __init__(self, route: Route) -> None:
        # grpc's type stubs do not know the argument `_registered_method`, which generated stubs give.
        self._channel, self._route = cast("Any", route.channel()), route
        finalize(self, route.close).atexit = False

    def unary_unary(
        self,
        method: str,
        request_serializer: Callable[[Req], bytes] | None = None,
        response_deserializer: Callable[[bytes], Res] | None = None,
        _registered_method: bool | None = False,
    ) -> "grpc.UnaryUnaryMultiCallable[Req, Res]":
        """As ``grpc.Channel`` does."""
        held = holding(self, response_deserializer)
        call = self._channel.unary_unary(method, request_serializer, held, _registered_method)
        return cast("grpc.UnaryUnaryMultiCallable[Req, Res]", call)

    def unary_stream(
        self,
        method: str,
        request_serializer: Callable[[Req], bytes] | None = None,
        response_deserializer: Callable[[bytes], Res] | None = None,
        _registered_method: bool | None = False,
    ) -> "grpc.UnaryStreamMultiCallable[Req, Res]":
        """As ``grpc.Channel`` does."""
        held = holding(self, response_deserializer)
        call = self._channel.unary_stream(method, request_serializer, held, _registered_method)
        return cast("grpc.UnaryStreamMultiCallable[Req, Res]", call)

    def stream_unary(
        self,
        method: str,
        request_serializer: Callable[[Req], bytes] | None = None,
        response_deserializer: Callable[[bytes], Res] | None = None,
        _registered_method: bool | None = False,
    ) -> "grpc.StreamUnaryMultiCallable[Req, Res]":
        """As ``grpc.Channel`` does."""
        held = holding(self, response_deserializer)
        call = self._channel.stream_unary(method, request_serializer, held, _registered_method)
        return cast("grpc.StreamUnaryMultiCallable[Req, Res]", call)

    def stream_stream(
        self,
        method: str,
        request_serializer: Callable[[Req], bytes] | None = None,
        response_deserializer: Callable[[bytes], Res] | None = None,
        _registered_method: bool | None = False,
    ) -> "grpc.StreamStreamMultiCallable[Req, Res]":
        """As ``grpc.Channel`` does."""
        held = holding(self, response_deserializer)
        call = self._channel.stream_stream(method, request_serializer, held, _registered_method)
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
        """Close the connection and its way. Closing twice is fine."""
        self._channel.close()
        self._route.close()

    def __enter__(self) -> "DialledChannel":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
