"""The channel that a dial gives: grpcio's own, whose way lasts as long as anything that uses it. Never closes it early.

grpcio's callables and calls hold what connects, and not the channel that they were made from, so a stub may outlive it.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar
from weakref import finalize

from ._carrier import Route
from .wrapping import Arity, WrappedChannel

Res = TypeVar("Res")


class Held(partial[Any]):
    """What reads a response. Every callable and every call of grpcio's holds one, and it holds the channel."""

    channel: object


def holding(channel: object, deserializer: Callable[[bytes], Res] | None) -> Callable[[bytes], Res]:
    """Return what reads responses as ``deserializer`` does, and holds the channel."""
    held = Held(deserializer or bytes)
    held.channel = channel
    return held


class DialledChannel(WrappedChannel):
    """A channel that goes a way of its own, which is closed with it, or once nothing uses it any more."""

    def __init__(self, route: Route) -> None:
        super().__init__(route.channel())
        self._route = route
        finalize(self, route.close).atexit = False

    def _callable(self, arity: Arity, method: str, serializer: Any, deserializer: Any, registered: Any) -> Any:
        return super()._callable(arity, method, serializer, holding(self, deserializer), registered)

    def close(self) -> None:
        """Close the connection and its way. Closing twice is fine."""
        super().close()
        self._route.close()
