"""The asyncio twin of ``_channel.py``: grpc.aio's channel with a deadline on every unary call and with better errors.

Stubs that grpcio-tools generates work on it unchanged.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from typing import Any, NoReturn

from grpc import aio

from ..handshake import PluginLost
from ..transport.aio_wrapping import WrappedChannel
from ..transport.wrapping import Arity

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


class PluginChannel(WrappedChannel):
    """A grpc.aio channel to a plugin."""

    def __init__(self, channel: aio.Channel, call_timeout: float | None, verdict: Verdict, closed: Closed) -> None:
        super().__init__(channel)
        self._timeout, self._verdict, self._closed = call_timeout, verdict, closed

    def _callable(self, arity: Arity, *arguments: Any) -> Any:
        # A stream has no default deadline: only its caller knows its length.
        timeout = self._timeout if arity == "unary_unary" else None
        return _Method(super()._callable(arity, *arguments), timeout, self._verdict, self._closed)


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
