"""The broker's shell with asyncio, the twin of ``_sync_broker.py``. Imported by whoever runs an event loop only."""

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import ExitStack, asynccontextmanager
from time import monotonic
from types import TracebackType
from typing import TYPE_CHECKING, Self
from weakref import WeakKeyDictionary, finalize

from ..handshake import GoPluginError
from ._broker import DIAL_WITHIN, Announcement, Ledger, Side, Stream
from ._carrier import Carrier, Route
from ._listener import Listener
from ._options import server_arguments
from ._sync_broker import SERVE_WORKERS, STOP_WITHIN
from ._workers import Workers

if TYPE_CHECKING:
    import grpc.aio

__all__ = ["Broker", "BrokeredServer"]


class BrokeredServer:
    """A server for the other side, made by ``Broker.accept_and_serve``. Leaving it as a context manager closes it.

    Attributes:
        id: what the other side dials.
        address: where it listens.
    """

    def __init__(self, id: int, server: "grpc.aio.Server", listener: Listener, undo: ExitStack) -> None:
        self.id, self.address = id, listener.address
        self._server, self._listener, self._undo = server, listener, undo

    async def close(self, grace: float = 0.0) -> None:
        """End the serving; calls that still run after ``grace`` seconds are cancelled. Closing twice is fine.

        A cancellation gives up the wait, not the end.
        """
        stopping = asyncio.create_task(self._stop(grace), name=f"goplugin-brokered-{self.id}")
        await asyncio.shield(stopping)

    async def _stop(self, grace: float) -> None:
        await _stopped(self._server, grace)
        self._undo.pop_all().close()

    def unlink(self) -> None:
        """Remove the socket and leave the rest, in a process that is about to be ended by force. For the broker."""
        self._listener.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


class Broker:
    """More connections between a host and its plugin, under ids that the two tell each other in messages of their own.

    ::

        id = broker.next_id()
        async with await broker.accept_and_serve(id, lambda server: add_ProgressServicer_to_server(Progress(), server)):
            await stub.Work(WorkRequest(progress=id))

        # and on the other side
        async with await broker.dial(request.progress) as channel:
            await ProgressStub(channel).Report(…)

    Host and plugin both serve and dial, and all of it ends with the plugin. To be used on the event loop that it was
    made on; only ``next_id`` is safe to call from any thread.

    Args:
        other: who is at the other end.
        carrier: how connections are made.
        dress: what becomes of a dialled channel before the caller gets it.
        explain: gives what to raise for an error of the book-keeping, where somebody knows better.
        clock: in seconds.
    """

    def __init__(
        self,
        other: Side,
        carrier: Carrier,
        *,
        dress: "Callable[[grpc.aio.Channel], grpc.aio.Channel] | None" = None,
        explain: Callable[[GoPluginError], Awaitable[Exception]] | None = None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._ledger = Ledger(other)
        self._carrier, self._dress, self._explain, self._clock = carrier, dress, explain, clock
        self._servers: dict[int, BrokeredServer] = {}
        self._routes: WeakKeyDictionary[grpc.aio.Channel, Route] = WeakKeyDictionary()

    def next_id(self) -> int:
        """Return an id that this side has not used, to serve it and to tell it to the other side."""
        return self._ledger.next_id()

    async def accept_and_serve(
        self,
        id: int,
        register: "Callable[[grpc.aio.Server], Awaitable[object] | object]",
        *,
        workers: int = SERVE_WORKERS,
        server_options: Sequence[tuple[str, int | str]] = (),
        interceptors: "Sequence[grpc.aio.ServerInterceptor]" = (),
    ) -> BrokeredServer:
        """Serve the brokered connection ``id`` on a server of its own, until it is closed or the plugin is over.

        Everything is as in `goplugin.transport.Broker.accept_and_serve`, but for this: what ``register`` returns is
        awaited if it can be, and ``workers`` are threads for handlers that are not ``async``.
        """
        from grpc import aio

        async with self._explained():
            self._ledger.serve(id)
        with ExitStack() as undo:
            undo.callback(self._unserve, id)
            pool = Workers(workers, f"goplugin-brokered-{id}")
            undo.callback(pool.shutdown, wait=False, cancel_futures=True)
            server = aio.server(pool, interceptors=list(interceptors), options=server_arguments(server_options))
            try:
                registered = register(server)
                if inspect.isawaitable(registered):
                    await registered
                listener = self._carrier.listen(server)
                undo.callback(listener.close)
            except BaseException:
                await server.start()  # grpcio frees no server that never ran
                await _stopped(server, 0.0)
                raise
            await server.start()
            served = BrokeredServer(id, server, listener, undo.pop_all())
        try:
            async with self._explained():
                self._ledger.announce(Announcement(id=id, address=served.address))
            self._servers[id] = served
        except BaseException:
            await served.close()
            raise
        return served

    async def dial(self, id: int, timeout: float = DIAL_WITHIN) -> "grpc.aio.Channel":
        """Return a channel to what the other side serves as ``id``; wait ``timeout`` seconds for its announcement.

        Everything is as in `goplugin.transport.Broker.dial`.
        """
        woken = asyncio.Event()
        async with self._explained():
            dial = self._ledger.dial(id, self._clock(), timeout, woken.set)
            try:
                async with asyncio.timeout(timeout):
                    await woken.wait()
            except TimeoutError:
                pass  # the dial's result says so
            finally:
                self._ledger.leave(dial)
            address = dial.result().address
            self._ledger.check_open()
            with ExitStack() as undo:
                route = self._carrier.route(address)
                undo.callback(route.close)
                channel = route.aio_channel()
                self._routes[channel] = route
                finalize(channel, undo.pop_all().close).atexit = False
        return channel if self._dress is None else self._dress(channel)

    def announced(self, announcement: Announcement) -> None:
        """Note what the other side announced. For the StartStream call."""
        self._ledger.announced(announcement, self._clock())

    def opened(self, stream: Stream) -> None:
        """Note that the stream is open. For the StartStream call."""
        self._ledger.opened(stream)

    def outgoing(self, stream: Stream) -> Announcement | None:
        """Return what to announce next, or None for now. For the StartStream call."""
        return self._ledger.outgoing(stream)

    def ended(self, stream: Stream) -> None:
        """Note that the stream is over. For the StartStream call."""
        self._ledger.ended(stream)

    def refuse(self) -> None:
        """Broker nothing more: dials that wait fail. What is there remains until ``close``."""
        self._ledger.close()

    async def close(self, grace: float = 0.0) -> None:
        """Close every brokered server and channel; calls on these servers have ``grace`` seconds to end.

        Host and plugin do it when they part. Closing twice is fine.
        """
        self.refuse()
        await asyncio.gather(*(server.close(grace) for server in list(self._servers.values())))
        for channel, route in list(self._routes.items()):
            await channel.close()
            route.close()

    def unlink(self) -> None:
        """Remove the sockets of brokered servers, in a process that is about to be ended by force. From any thread."""
        for server in list(self._servers.values()):
            server.unlink()

    def _unserve(self, id: int) -> None:
        self._ledger.unserve(id)
        self._servers.pop(id, None)

    @asynccontextmanager
    async def _explained(self) -> AsyncIterator[None]:
        try:
            yield
        except GoPluginError as error:
            instead = error if self._explain is None else await self._explain(error)
            if instead is error:
                raise
            raise instead from error


async def _stopped(server: "grpc.aio.Server", grace: float) -> None:
    """Stop a server, and wait no longer for what does not let itself be cancelled."""
    await asyncio.wait({asyncio.create_task(server.stop(grace))}, timeout=grace + STOP_WITHIN)
