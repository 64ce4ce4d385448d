"""The broker's shell with threads: serves, dials and waits as ``_broker.py`` decides. Never sends: StartStream does."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from time import monotonic
from typing import TYPE_CHECKING, Self
from weakref import WeakSet

from ..handshake import Address, GoPluginError, MachineFault, Misuse
from ._broker import DIAL_WITHIN, Announcement, Knock, Ledger, Message, Side, Stream
from ._carrier import Carrier, Multiplexing, Route
from ._options import server_arguments
from ._workers import Workers

if TYPE_CHECKING:
    import grpc

    from ._dialled import DialledChannel

SERVE_WORKERS = 10
"""Handler threads of a brokered server, each started when it is first needed."""

STOP_WITHIN = 1.0  # seconds for grpcio to end calls that are cancelled; it waits for no handler


class BrokeredServer:
    """A server for the other side, made by ``Broker.accept_and_serve``. A context manager: leaving it closes it.

    Attributes:
        id: what the other side dials.
        address: where it listens; None where host and plugin multiplex all their connections.
    """

    def __init__(self, id: int, server: "grpc.Server", address: Address | None, undo: ExitStack) -> None:
        self.id, self.address = id, address
        self._server, self._undo = server, undo
        self._lock = threading.RLock()  # a signal handler may stop the client while its thread releases

    def close(self, grace: float = 0.0) -> None:
        """End the serving; calls that still run after ``grace`` seconds are cancelled. Closing twice is fine."""
        self.stop(grace).wait(grace + STOP_WITHIN)
        self.release()

    def stop(self, grace: float) -> threading.Event:
        """Begin to end the serving; return what is set once no call is left. For the broker."""
        return self._server.stop(grace)

    def release(self) -> None:
        """Let go of everything, once it was stopped. For the broker."""
        with self._lock:
            undo = self._undo.pop_all()
        undo.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Broker:
    """More connections between a host and its plugin, under ids that the two tell each other in messages of their own.

    ::

        id = broker.next_id()
        with broker.accept_and_serve(id, lambda server: add_ProgressServicer_to_server(Progress(), server)):
            stub.Work(WorkRequest(progress=id))

        # and on the other side
        with broker.dial(request.progress) as channel:
            ProgressStub(channel).Report(…)

    Host and plugin both serve and dial, and all of it ends with the plugin. Safe to use from any thread.

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
        dress: "Callable[[grpc.Channel], grpc.Channel]" = lambda channel: channel,
        explain: Callable[[GoPluginError], Exception] = lambda error: error,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._ledger = Ledger(other)
        self._carrier, self._dress, self._explain, self._clock = carrier, dress, explain, clock
        self._lock = threading.RLock()  # a signal handler may close the broker while its thread holds the lock
        self._multiplexing = carrier if isinstance(carrier, Multiplexing) else None
        if self._multiplexing is not None:
            self._multiplexing.attach(self._knock)
        self._servers: dict[int, BrokeredServer] = {}
        self._channels: WeakSet[DialledChannel] = WeakSet()

    def next_id(self) -> int:
        """Return an id that this side has not used, to serve it and to tell it to the other side."""
        return self._ledger.next_id()

    def accept_and_serve(
        self,
        id: int,
        register: "Callable[[grpc.Server], object]",
        *,
        workers: int = SERVE_WORKERS,
        server_options: Sequence[tuple[str, int | str]] = (),
        interceptors: "Sequence[grpc.ServerInterceptor]" = (),
    ) -> BrokeredServer:
        """Serve the brokered connection ``id`` on a server of its own, until it is closed or the plugin is over.

        Returns at once. Whoever dials the id finds the server, if it does so within five seconds.

        Args:
            id: from ``next_id``, usually.
            register: adds services to the server, usually with the generated ``add_…Servicer_to_server``.
            workers: threads for its calls; more calls at once wait.
            server_options: grpcio's, after and over `transport.SERVER_OPTIONS`.
            interceptors: grpcio's.

        Raises:
            Misuse: this side serves the id already, it is none, or host and plugin have parted.
            PluginLost: in a host, the plugin's process has ended.
            PluginFault, HostFault: the plugin, or the host, takes no announcements.
            MachineFault: there is no place for one more socket.
        """
        import grpc

        with self._explained(), self._lock:
            if self._multiplexing is not None:
                self._multiplexing.check()
            self._ledger.serve(id)
        with ExitStack() as undo:
            undo.callback(self._unserve, id)
            pool = Workers(workers, f"goplugin-brokered-{id}")
            undo.callback(pool.shutdown, wait=False, cancel_futures=True)
            server = grpc.server(pool, interceptors=list(interceptors), options=server_arguments(server_options))
            undo.callback(server.stop, 0)
            try:
                register(server)
                address = self._listen(id, server, undo)
            finally:
                server.start()  # also where it has failed: grpcio frees no server that never ran
            served = BrokeredServer(id, server, address, undo.pop_all())
        try:
            with self._explained(), self._lock:
                self._ledger.check_open()
                if address is not None:
                    self._ledger.announce(Announcement(id=id, address=address))
                self._servers[id] = served
        except BaseException:
            served.close()
            raise
        return served

    def dial(self, id: int, timeout: float = DIAL_WITHIN) -> "grpc.Channel":
        """Return a channel to what the other side serves as ``id``; wait ``timeout`` seconds for its announcement.

        grpcio connects with the first call. The channel is the caller's to close; one left open lasts as long as
        anything made from it, a stub or a call, and is closed with the plugin at the latest. Each time that the other
        side serves an id it can be dialled once.

        Raises:
            PluginDialTimeout: in a host, the plugin did not announce the id in time.
            HostDialTimeout: in a plugin, the host did not.
            PluginLost: in a host, the plugin's process has ended.
            PluginFault, HostFault: the plugin, or the host, ended the stream on which it announces, or announced a
                host that has no address.
            Misuse: the id is being dialled already, it is none, or host and plugin have parted.
        """
        from ._dialled import DialledChannel

        with self._explained():
            if self._multiplexing is None:
                route = self._announced_route(id, timeout)
            else:
                route = self._opened_route(self._multiplexing, id, timeout)
            with self._lock, ExitStack() as undo:
                undo.callback(route.close)
                self._ledger.check_open()
                channel = DialledChannel(route)
                undo.pop_all()
                self._channels.add(channel)
        return self._dress(channel)

    def told(self, message: Message) -> None:
        """Note what the other side told. For the StartStream call."""
        if not isinstance(message, Knock):
            with self._lock:
                self._ledger.announced(message, self._clock())
        elif self._multiplexing is not None:
            self._multiplexing.told(message)

    def opened(self, stream: Stream) -> None:
        """Note that the stream is open. For the StartStream call."""
        with self._lock:
            self._ledger.opened(stream)

    def outgoing(self, stream: Stream) -> Message | None:
        """Return what to tell next, or None for now. For the StartStream call."""
        with self._lock:
            return self._ledger.outgoing(stream)

    def ended(self, stream: Stream) -> None:
        """Note that the stream is over. For the StartStream call."""
        with self._lock:
            error = self._ledger.ended(stream)
        self._part(error)

    def refuse(self) -> None:
        """Broker nothing more: dials that wait fail. What is there remains until ``close``."""
        with self._lock:
            error = self._ledger.close()
        self._part(error)

    def close(self, grace: float = 0.0) -> None:
        """Close every brokered server and channel; calls on these servers have ``grace`` seconds to end.

        Host and plugin do it when they part. Closing twice is fine.
        """
        self.refuse()
        with self._lock:
            servers, channels = list(self._servers.values()), list(self._channels)
        limit = self._clock() + grace + STOP_WITHIN
        for stopped in [server.stop(grace) for server in servers]:
            stopped.wait(max(0.0, limit - self._clock()))
        for server in servers:
            server.release()
        for channel in channels:
            channel.close()

    def _listen(self, id: int, server: "grpc.Server", undo: ExitStack) -> Address | None:
        if self._multiplexing is not None:
            undo.callback(self._multiplexing.accept(id, server))
            return None
        listener = self._carrier.listen(server)
        undo.callback(listener.close)
        return listener.address

    def _announced_route(self, id: int, timeout: float) -> Route:
        woken = threading.Event()
        with self._lock:
            dial = self._ledger.dial(id, self._clock(), timeout, woken.set)
        try:
            woken.wait(timeout)
        finally:
            with self._lock:
                self._ledger.leave(dial)
        address = dial.result().address
        try:
            return self._carrier.route(address)
        except (MachineFault, Misuse):
            raise
        except GoPluginError as error:
            raise dial.unreachable(address, error) from error

    def _opened_route(self, multiplexing: Multiplexing, id: int, timeout: float) -> Route:
        woken = threading.Event()
        with self._lock:
            self._ledger.check_dial(id, timeout)
        opening = multiplexing.dial(id, timeout, woken.set)
        try:
            woken.wait(timeout)
            return opening.route()
        finally:
            opening.leave()

    def _knock(self, knock: Knock) -> None:
        with self._lock:
            self._ledger.knock(knock)

    def _part(self, error: GoPluginError | None) -> None:
        if self._multiplexing is not None and error is not None:
            self._multiplexing.part(error)

    def _unserve(self, id: int) -> None:
        with self._lock:
            self._ledger.unserve(id)
            self._servers.pop(id, None)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except GoPluginError as error:
            instead = self._explain(error)
            if instead is error:
                raise
            raise instead from error
