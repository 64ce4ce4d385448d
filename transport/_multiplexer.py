"""All connections between a host and its plugin as streams of one: the carrier of a multiplexed broker.

    grpcio ── inner hop ── joint ── TLS, if any ── yamux stream ──┐
    grpcio ── inner hop ── joint ── TLS, if any ── yamux stream ──┴── socket ── the other side

The host dials the plugin once, and its main connection is the first stream. Which server a later one belongs to is
said by a knock (``_knocks.py``); on the plugin's side one without a knock is for the main server, as when grpcio
connects anew. All but the methods for the rooms and the shells belongs to the reactor's thread.
"""

import logging
import math
import os
import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from time import monotonic
from typing import NamedTuple
from weakref import WeakSet

from ..handshake import Address, GoPluginError, PluginEnvironment
from ._broker import Knock, Side
from ._carrier import CLOSE_WITHIN, Route
from ._endpoints import Endpoint, Steps, Wait
from ._inner import InnerListener, InnerServer
from ._knocks import Door, Turns
from ._listener import Listener, Network, Server, accepting
from ._opening import WITHIN, Opening, Pair, Place, dialled, from_grpcio, let_in, prompt, resolved, secured
from ._reactor import REACTOR, READ, Timer
from ._relay import Acceptor, DialRelay, Refused, Relay, close_all, tell_late
from ._scribe import SCRIBE
from ._streams import MuxSession, MuxStream
from ._tls import MutualTls, OwnTls, PeerRefused, Refusal, Tls
from .yamux import CannotOpen, SessionLost

_logger = logging.getLogger("goplugin.transport")

STRANGERS_MAX = 16
"""Connections to a plugin that may wait to show that they are the host's; for one more the oldest is dropped.

That may be the host's own, which then fails: it connects once.
"""

AGAIN_WITHIN = 2.0
"""Seconds for grpcio to connect anew to a brokered server. If that is still there, it takes milliseconds."""

_ENDING = 2.0  # seconds for the thread to let go of what is left; it takes microseconds, unless the machine is busy


class _Served(NamedTuple):
    """A grpcio server of this side."""

    relay: Relay
    inner: InnerServer
    tls: Tls | None


class Multiplexer:
    """A ``Carrier`` whose connections all share one, and the book-keeping of what they are for.

    Attributes:
        other: who is at the other end; the host is the one that dials.
        session: with the other side, once there is one; a stranger's is none.

    Args:
        other: as above.
        asked: the socket directory, group and port range of the plugin's one socket.
        network: None for the usual one of the system.
        tls: for both directions, inside of each stream; None for plain text.
        refused: told of each peer that was not let in, or did not let us in, on the reactor's thread, as a relay's.
        lost: called when there is a ``loss``.
        known: asked, in a host and on that thread, whether a connection leads to the plugin.
    """

    def __init__(
        self,
        other: Side,
        asked: PluginEnvironment,
        network: Network | None = None,
        tls: MutualTls | OwnTls | None = None,
        refused: Refused = lambda _: None,
        lost: Callable[[], object] = lambda: None,
        known: Callable[[socket.socket], bool] = lambda _: True,
    ) -> None:
        self.other, self._asked, self._tls, self._refused, self._when_lost = other, asked, tls, refused, lost
        self._known = known
        self._network: Network | None = network
        self._tell: Callable[[Knock], object] = lambda _: None
        self._door = Door(self._say, REACTOR.later, monotonic)
        self._turns = Turns[MuxStream](other, self._say, self._open, self._waste, REACTOR.later)
        self._main: _Served | None = None
        self._served: dict[int, _Served] = {}
        self._relays: WeakSet[Relay] = WeakSet()
        self.session: MuxSession | None = None
        self._strangers: dict[MuxSession, Timer] = {}  # by arrival; one may be the host's
        self._loss: GoPluginError | None = None
        self._parted = self._warned = False
        self._over = threading.Event()

    # For the rooms

    def listen(self, server: Server) -> Listener:
        """Bind the plugin's main server, which was not started yet.

        Raises:
            HostFault, MachineFault: as ``listen`` of this package.
            Misuse: there is no TLS context for connections that are accepted.
        """
        tls = None if self._tls is None else self._tls.server
        sock, listener = accepting(self._asked, self._network)
        acceptor = Acceptor(sock, self._meet)
        try:
            served = self._relayed(server, tls)
            listener.on_close(served.relay.release)
            acceptor.start()
        except BaseException:
            sock.close()
            listener.close()
            raise
        listener.on_close(lambda: REACTOR.call(acceptor.close))
        REACTOR.call(lambda: self._open_to_all(served))
        listener.on_close(lambda: REACTOR.call(lambda: self._open_to_all(None)))
        return listener

    def route(self, address: Address) -> Route:
        """Return the way to the plugin's main server.

        Raises:
            PeerRefused: the plugin's host has no address.
            MachineFault: there can be no private socket, or no thread.
            Misuse: there is no TLS context for connections that are made.
        """
        places = resolved(address)
        tls = None if self._tls is None else self._tls.client

        def steps(sock: socket.socket) -> Steps[Pair]:
            with ExitStack() as undo:
                inner = from_grpcio(sock, undo)
                yield from self._connect(places)
                outer = yield from self.outgoing(None, tls, undo)
                undo.pop_all()
                return inner, outer

        relay = DialRelay(InnerListener(os.environ), steps, self._refused, WITHIN, unheard=_unheard(tls))
        self._relays.add(relay)
        return Route(relay.target, close=relay.release)

    def close(self, within: float = CLOSE_WITHIN) -> None:
        """Wait until what was sent has been carried away, at most ``within`` seconds, and drop the rest."""
        limit = monotonic() + within
        close_all(self._relays, within)
        REACTOR.call(lambda: self._leave(max(0.0, limit - monotonic())))
        if not REACTOR.is_current() and not self._over.wait(within + _ENDING):
            tell_late(within + _ENDING)
        SCRIBE.finish()

    @property
    def loss(self) -> GoPluginError | None:
        """Why there is no connection any more, nor will be; None as long as there may be."""
        return self._loss

    def check(self) -> None:
        """Raise such a loss.

        Raises:
            HostFault, PluginFault: there is one.
        """
        if self._loss is not None:
            raise type(self._loss)(*self._loss.args)  # a fresh one: an error keeps the frames that it passed

    # For the broker's shells

    def attach(self, tell: Callable[[Knock], object]) -> None:
        """Send knocks, and answers to them, with ``tell``. It is called on the reactor's thread."""
        self._tell = tell

    def told(self, knock: Knock) -> None:
        """Note what came from the other side."""
        REACTOR.call(lambda: self._hear(knock))

    def part(self, error: GoPluginError) -> None:
        """Note that knocks are answered no more, for this reason."""
        REACTOR.call(lambda: self._turns.fail(error))

    def accept(self, id: int, server: Server) -> Callable[[], None]:
        """Let streams for ``id`` in to a server that was not started yet, until what is returned is called.

        Raises:
            MachineFault: there can be no private socket, or no thread.
            Misuse: there is no TLS context for connections that are accepted.
        """
        served = self._relayed(server, None if self._tls is None else self._tls.server)
        undo = ExitStack()
        undo.callback(served.relay.release)
        undo.callback(REACTOR.call, lambda: self._unserve(id))
        REACTOR.call(lambda: self._serve(id, served))
        return undo.close

    def dial(self, id: int, seconds: float, wake: Callable[[], object]) -> "Dialled":
        """Begin to open a stream for ``id``; call ``wake``, on the reactor's thread, when there is one or will be none.

        Raises:
            MachineFault: there can be no thread for it.
            Misuse: there is no TLS context for connections that are made.
        """
        return Dialled(self, id, seconds, None if self._tls is None else self._tls.client, wake)

    def route_of(self, id: int, tls: Tls | None, stream: Endpoint) -> Route:
        """Return the way to ``id`` over a stream that is open, and, once it has ended, over new ones."""
        first = [stream]

        def steps(sock: socket.socket) -> Steps[Pair]:
            with ExitStack() as undo:
                inner = from_grpcio(sock, undo)
                outer = first.pop() if first else None
                if outer is not None:
                    undo.callback(outer.close)
                if outer is None or outer.gone or outer.ended:
                    try:
                        outer = yield from self.outgoing(id, tls, undo)
                    except TimeoutError:
                        raise self.other.timeout(id, AGAIN_WITHIN) from None
                undo.pop_all()
                return inner, outer

        undo = ExitStack()
        undo.callback(lambda: first.pop().close() if first else None)
        relay = DialRelay(InnerListener(os.environ), steps, self._refused, AGAIN_WITHIN, undo, _unheard(tls))
        self._relays.add(relay)
        return Route(relay.target, close=relay.release)

    def fault(self, what: str) -> GoPluginError:
        """Return the error for something that the other side did."""
        return self.other.fault(f"the {self.other.value} {what}")

    def _relayed(self, server: Server, tls: Tls | None) -> _Served:
        inner, undo = InnerServer(server, os.environ, guarded=tls is not None), ExitStack()
        undo.callback(inner.close)
        relay = Relay(self._refused, WITHIN, undo)
        self._relays.add(relay)
        return _Served(relay, inner, tls)

    # On the reactor's thread

    def _open_to_all(self, served: _Served | None) -> None:
        self._main = served

    def _say(self, knock: Knock) -> None:
        self._tell(knock)

    def _hear(self, knock: Knock) -> None:
        if knock.ack:
            self._turns.answered(knock)
        elif not self._parted:
            self._door.knocked(knock.id)

    def _serve(self, id: int, served: _Served) -> None:
        self._served[id] = served
        self._door.serve(id)

    def _unserve(self, id: int) -> None:
        del self._served[id]
        self._door.unserve(id)

    def _meet(self, sock: socket.socket) -> None:
        """Take a connection to the plugin's socket; whether it is the host's is seen from its first stream."""
        if self.session is not None:
            sock.close()
            return
        if len(self._strangers) >= STRANGERS_MAX:
            next(iter(self._strangers)).close()
        session = MuxSession(REACTOR, prompt(sock), client=False, incoming=self._incoming, over=self._lose)
        self._strangers[session] = REACTOR.later(WITHIN, session.close)

    def _connect(self, places: Sequence[Place]) -> Steps[None]:
        if self.session is not None:
            return
        if self._loss is not None or self._parted:
            raise PeerRefused(Refusal.UNREACHABLE, f"everything was multiplexed on one connection: {self._loss}")
        with ExitStack() as undo:
            sock = yield from dialled(places, undo)
            if not self._known(sock):
                raise PeerRefused(Refusal.STRANGER)
            if self.session is None:  # a second connection of grpcio's may have been faster
                undo.pop_all()
                self.session = MuxSession(REACTOR, sock, client=True, incoming=self._incoming, over=self._lose)

    def _incoming(self, session: MuxSession, stream: MuxStream) -> None:
        id = self._door.arrived() if session is self.session else None
        served = self._main if id is None else self._served.get(id)
        if served is not None and not served.relay.stopped:
            served.relay.begin(self._welcome(session, stream, served))
            return
        if not self._warned and not self._parted:
            self._warned = True
            what = "without a knock" if id is None else f"for the brokered connection {id}, which is closed"
            told = "refused a stream that the %s opened %s; more of them go unmentioned"
            SCRIBE.log(_logger, logging.WARNING, told, self.other.value, what)
        stream.close()

    def _welcome(self, session: MuxSession, stream: MuxStream, served: _Served) -> Steps[Pair]:
        pair = yield from let_in(stream, served.tls, served.inner)
        if session in self._strangers:
            self._strangers.pop(session).cancel()
            self.session = session
            for stranger in list(self._strangers):
                stranger.close()
        return pair

    def outgoing(self, id: int | None, tls: Tls | None, undo: ExitStack) -> Steps[Endpoint]:
        """Open a stream for ``id``, or the main one."""
        self.check()
        turn = self._turns.take(id)
        undo.callback(self._turns.leave, turn)
        while turn.outcome is None:
            yield Wait(turn, READ)
        if isinstance(turn.outcome, GoPluginError):
            raise turn.outcome
        undo.callback(turn.outcome.close)
        return (yield from secured(turn.outcome, tls))

    def _open(self, settled: Callable[[], object]) -> MuxStream:
        if self.session is None:
            raise self.fault("is not connected")
        return self.session.open(settled)

    def _waste(self) -> None:
        if self.session is not None:
            with suppress(CannotOpen):
                self.session.open(lambda: None).close()

    def _lose(self, session: MuxSession, error: SessionLost | None) -> None:
        if session in self._strangers:
            self._strangers.pop(session).cancel()
        if session is self.session:
            self.session, self._loss = None, self.fault(f"is lost: {error or 'the connection was closed'}")
            self._turns.fail(self._loss)
            self._door.forget()
            self._when_lost()
        self._notice_end()

    def _leave(self, within: float) -> None:
        self._parted = True
        self._door.forget()
        for stranger in list(self._strangers):
            stranger.close()
        if self.session is not None:
            self.session.leave(within)
        self._notice_end()

    def _notice_end(self) -> None:
        if self._parted and self.session is None:
            self._over.set()


class Dialled:
    """A stream that is being opened for somebody who waits for ``wake``; then it asks for the route, and leaves."""

    def __init__(
        self, multiplexer: Multiplexer, id: int, seconds: float, tls: Tls | None, wake: Callable[[], object]
    ) -> None:
        self._multiplexer, self._id, self._seconds, self._tls, self._wake = multiplexer, id, seconds, tls, wake
        self._opening: Opening[Endpoint] | None = None
        self._outcome: Endpoint | Exception | None = None
        self._taken = self._left = False
        REACTOR.call(self._begin)

    def route(self) -> Route:
        """Return the way that the stream is. A connection after the first knocks anew.

        Raises:
            HostDialTimeout, PluginDialTimeout: the knock was not answered yet.
            HostFault, PluginFault: the answer was no, or the broker stream ended meanwhile.
            Misuse: the broker was closed meanwhile.
            MachineFault: there can be no private socket, or no thread.
        """
        match self._outcome:
            case None:
                raise self._multiplexer.other.timeout(self._id, self._seconds)
            case CannotOpen() | OSError() | PeerRefused() as error:
                what = f"broke off the brokered connection {self._id} in its beginning: {error}"
                raise self._multiplexer.fault(what) from error
            case Exception() as error:
                raise error
            case stream:
                route = self._multiplexer.route_of(self._id, self._tls, stream)
                self._taken = True
                return route

    def leave(self) -> None:
        """Wait for it no more. Leaving twice is fine."""
        if not self._left:
            self._left = True
            REACTOR.call(self._drop)

    def _begin(self) -> None:
        # Whoever waits keeps the time.
        self._opening = Opening(self._steps(), math.inf, self._settle)
        self._opening.go_on()

    def _steps(self) -> Steps[Endpoint]:
        with ExitStack() as undo:
            outer = yield from self._multiplexer.outgoing(self._id, self._tls, undo)
            undo.pop_all()
            return outer

    def _settle(self, outcome: Endpoint | Exception) -> None:
        self._outcome = outcome
        self._wake()

    def _drop(self) -> None:
        if self._outcome is None and self._opening is not None:
            self._opening.cancel()
        elif self._outcome is not None and not isinstance(self._outcome, Exception) and not self._taken:
            self._outcome.close()


def _unheard(tls: Tls | None) -> Refusal:
    return Refusal.WANTS_TLS if tls is None else Refusal.LEFT_AT_ONCE
