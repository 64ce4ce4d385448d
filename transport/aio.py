"""The broker's shell with asyncio, the twin of ``_sync_broker.py``. Imported by whoever runs an event loop only."""

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import ExitStack, asynccontextmanager, suppress
from time import monotonic
from types import TracebackType
from typing import TYPE_CHECKING, Self
from weakref import WeakSet

from ..handshake import Address, GoPluginError, MachineFault, Misuse, Tcp
from ._broker import DIAL_WITHIN, Announcement, Knock, Ledger, Message, Side, Stream
from ._carrier import Carrier, Multiplexing, Route
from ._options import server_arguments
from ._sync_broker import SERVE_WORKERS, STOP_WITHIN
from ._target import is_name
from ._workers import Workers

if TYPE_CHECKING:
    import grpc.aio

    from ._aio_dialled import DialledChannel

__all__ = ["Broker", "BrokeredServer", "Stop"]


class Stop:
    """Stops a server of grpc.aio's, whoever asks and however often.

    Of two calls of ``server.stop`` at once the later can find the server freed by the earlier, and the process crashes
    (grpcio 1.85.1): so there is one call.
    """

    def __init__(self, server: "grpc.aio.Server") -> None:
        self._server = server
        self._stopping: asyncio.Task[None] | None = None

    def begin(self, grace: float) -> "asyncio.Task[None]":
        """Begin, and return what ends with it; once it has begun, ``grace`` is that of the first call."""
        if self._stopping is None:
            self._stopping = asyncio.create_task(self._server.stop(grace))
        return self._stopping

    async def wait(self, grace: float) -> None:
        """Begin, and wait; but no longer for what does not let itself be cancelled."""
        await asyncio.wait({self.begin(grace)}, timeout=grace + STOP_WITHIN)


class BrokeredServer:
    """A server for the other side, made by ``Broker.accept_and_serve``. Leaving it as a context manager closes it.

    Attributes:
        id: what the other side dials.
        address: where it listens; None where host and plugin multiplex all their connections.
    """

    def __init__(
        self,
        id: int,
        server: "grpc.aio.Server",
        address: Address | None,
        unlink: Callable[[], None],
        undo: ExitStack,
    ) -> None:
        self.id, self.address = id, address
        self._stop, self._unlink, self._undo = Stop(server), unlink, undo

    async def close(self, grace: float = 0.0) -> None:
        """End the serving; calls that still run after ``grace`` seconds are cancelled. Closing twice is fine.

        A second close waits as long as it says, but the calls have the time of the first. A cancellation gives up the
        wait, not the end.
        """
        closing = asyncio.create_task(self._close(grace), name=f"goplugin-brokered-{self.id}")
        await asyncio.shield(closing)

    async def _close(self, grace: float) -> None:
        await self._stop.wait(grace)
        self._undo.pop_all().close()

    def unlink(self) -> None:
        """Remove the socket and leave the rest, in a process that is about to be ended by force. For the broker."""
        self._unlink()

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
        self._multiplexing = carrier if isinstance(carrier, Multiplexing) else None
        if self._multiplexing is not None:
            loop = asyncio.get_running_loop()
            self._multiplexing.attach(lambda knock: _call_on(loop, lambda: self._ledger.knock(knock)))
        self._servers: dict[int, BrokeredServer] = {}
        self._channels: WeakSet[DialledChannel] = WeakSet()

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
            if self._multiplexing is not None:
                self._multiplexing.check()
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
                address, unlink = self._listen(id, server)
                undo.callback(unlink)
            except BaseException:
                await server.start()  # grpcio frees no server that never ran
                await Stop(server).wait(0.0)
                raise
            await server.start()
            served = BrokeredServer(id, server, address, unlink, undo.pop_all())
        try:
            async with self._explained():
                self._ledger.check_open()
                if address is not None:
                    self._ledger.announce(Announcement(id=id, address=address))
            self._servers[id] = served
        except BaseException:
            await served.close()
            raise
        return served

    async def dial(self, id: int, timeout: float = DIAL_WITHIN) -> "grpc.aio.Channel":
        """Return a channel to what the other side serves as ``id``; wait ``timeout`` seconds for its announcement.

        Everything is as in `goplugin.transport.Broker.dial`.
        """
        from ._aio_dialled import DialledChannel

        async with self._explained():
            if self._multiplexing is None:
                route = await self._announced_route(id, timeout)
            else:
                route = await self._opened_route(self._multiplexing, id, timeout)
            with ExitStack() as undo:
                undo.callback(route.close)
                self._ledger.check_open()
                channel = DialledChannel(route)
                undo.pop_all()
                self._channels.add(channel)
        return channel if self._dress is None else self._dress(channel)

    def told(self, message: Message) -> None:
        """Note what the other side told. For the StartStream call."""
        if not isinstance(message, Knock):
            self._ledger.announced(message, self._clock())
        elif self._multiplexing is not None:
            self._multiplexing.told(message)

    def opened(self, stream: Stream) -> None:
        """Note that the stream is open. For the StartStream call."""
        self._ledger.opened(stream)

    def outgoing(self, stream: Stream) -> Message | None:
        """Return what to tell next, or None for now. For the StartStream call."""
        return self._ledger.outgoing(stream)

    def ended(self, stream: Stream) -> None:
        """Note that the stream is over. For the StartStream call."""
        self._part(self._ledger.ended(stream))

    def refuse(self) -> None:
        """Broker nothing more: dials that wait fail. What is there remains until ``close``."""
        self._part(self._ledger.close())

    async def close(self, grace: float = 0.0) -> None:
        """Close every brokered server and channel; calls on these servers have ``grace`` seconds to end.

        Host and plugin do it when they part. Closing twice is fine.
        """
        self.refuse()
        await asyncio.gather(*(server.close(grace) for server in list(self._servers.values())))
        for channel in list(self._channels):
            await channel.close()

    def unlink(self) -> None:
        """Remove the sockets of brokered servers, in a process that is about to be ended by force. From any thread."""
        for server in list(self._servers.values()):
            server.unlink()

    def _listen(self, id: int, server: "grpc.aio.Server") -> tuple[Address | None, Callable[[], None]]:
        if self._multiplexing is not None:
            return None, self._multiplexing.accept(id, server)
        listener = self._carrier.listen(server)
        return listener.address, listener.close

    async def _announced_route(self, id: int, timeout: float) -> Route:
        woken, limit = asyncio.Event(), asyncio.get_running_loop().time() + timeout
        dial = self._ledger.dial(id, self._clock(), timeout, woken.set)
        try:
            await _wait(woken, timeout)
        finally:
            self._ledger.leave(dial)
        address = dial.result().address
        try:
            return await self._route(address, limit)
        except (MachineFault, Misuse):
            raise
        except GoPluginError as error:
            raise dial.unreachable(address, error) from error
        except TimeoutError:
            raise dial.late() from None

    async def _route(self, address: Address, limit: float) -> Route:
        if not isinstance(address, Tcp) or not is_name(address.host):
            return self._carrier.route(address)
        # Looking a name up blocks, and cannot be broken off: whoever waits no longer leaves the rest to the thread.
        making = asyncio.get_running_loop().run_in_executor(None, self._carrier.route, address)
        try:
            async with asyncio.timeout_at(limit):
                return await asyncio.shield(making)
        except BaseException:
            making.add_done_callback(_close_route)
            raise

    async def _opened_route(self, multiplexing: Multiplexing, id: int, timeout: float) -> Route:
        woken, loop = asyncio.Event(), asyncio.get_running_loop()
        self._ledger.check_dial(id, timeout)
        opening = multiplexing.dial(id, timeout, lambda: _call_on(loop, woken.set))
        try:
            await _wait(woken, timeout)
            return opening.route()
        finally:
            opening.leave()

    def _part(self, error: GoPluginError | None) -> None:
        if self._multiplexing is not None and error is not None:
            self._multiplexing.part(error)

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


def _close_route(making: "asyncio.Future[Route]") -> None:
    """Close a way that was made for somebody who waits no longer."""
    if making.exception() is None:
        making.result().close()


async def _wait(woken: asyncio.Event, timeout: float) -> None:
    """Wait for it, or for that time."""
    try:
        async with asyncio.timeout(timeout):
            await woken.wait()
    except TimeoutError:
        pass


def _call_on(loop: asyncio.AbstractEventLoop, job: Callable[[], object]) -> None:
    """Have a job done on a loop, from another thread, unless the loop is closed: then host and plugin have parted."""
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(job)
