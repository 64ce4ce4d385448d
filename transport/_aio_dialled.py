"""The asyncio twin of ``_dialled.py``: grpc.aio's channel, whose way lasts as long as anything that uses it."""

from typing import Any
from weakref import finalize

from ._carrier import Route
from ._dialled import holding
from .aio_wrapping import WrappedChannel
from .wrapping import Arity


class DialledChannel(WrappedChannel):
    """A channel that goes a way of its own, which is closed with it, or once nothing uses it any more."""

    def __init__(self, route: Route) -> None:
        super().__init__(route.aio_channel())
        self._route = route
        finalize(self, route.close).atexit = False

    def _callable(self, arity: Arity, method: str, serializer: Any, deserializer: Any, registered: Any) -> Any:
        return super()._callable(arity, method, serializer, holding(self, deserializer), registered)

    async def close(self, grace: float | None = None) -> None:
        """Close the connection and its way. Closing twice is fine."""
        try:
            await super().close(grace)
        finally:
            self._route.close()
