"""Joins the outer world, which speaks TLS, to grpcio on the inner hop. Never interprets what it carries.

    the peer ── socket ── TLS filter ══╗
                                     joint        one for each connection; it carries bytes both ways
    grpcio ──── socket ════════════════╝

One thread does it for all connections of the process; nothing here blocks, and each way of a joint holds at most
what one read brought. A connection is verified before the other side of its joint exists.
"""

import logging
import os
import socket
import ssl
import threading
import weakref
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from time import monotonic

from ..handshake import Address, GoPluginError
from ._endpoints import Endpoint, SocketEndpoint, Steps
from ._inner import InnerListener, InnerServer
from ._joint import Joint
from ._opening import WITHIN, Opening, Pair, dialled, from_grpcio, let_in, prompt, resolved, secured
from ._reactor import REACTOR, READ, Timer
from ._scribe import SCRIBE
from ._tls import PeerRefused, PushedOut, Refusal, Tls, explained

_logger = logging.getLogger("goplugin.transport")

OPENING_MAX = 256
"""Connections of one relay that may be in the making at once; for one more the oldest is dropped.

A flood of them can drop a good one, too, which nothing tells from the others before its handshake is over.
"""

_STARVED = 0.25  # seconds until accepting is tried again where it failed
_ACCEPTS = 64  # connections accepted in one go; a flood of them must not hold the others up
_DROPPING = 2.0  # seconds for the thread to drop what is left; it takes microseconds, unless the machine is busy

Refused = Callable[[PeerRefused], object]
"""Told of each connection that was refused, on the relay's thread: it must be quick, and log by ``SCRIBE``."""

_relays: "weakref.WeakSet[Relay]" = weakref.WeakSet()


class Relay:
    """Joins the two ends of connections, until it is closed.

    Args:
        refused: told of every peer that was not let in, or did not let us in.
        within: seconds for a connection to be made.
        undo: undone when no more connections are made.
    """

    def __init__(self, refused: Refused, within: float, undo: ExitStack) -> None:
        self._refused, self._within, self._undo = refused, within, undo
        self._openings: dict[Opening[Pair], None] = {}  # in the order of their arrival
        self._joints: set[Joint] = set()
        self._stopped = False
        self._limit: Timer | None = None
        self._over = threading.Event()
        _relays.add(self)

    @property
    def stopped(self) -> bool:
        """Whether it makes no more connections. On its thread."""
        return self._stopped

    def close(self, within: float = 1.0) -> None:
        """Accept no more, wait until the connections have ended by themselves, and drop those that have not.

        Close grpcio's side first; its last words are then carried to the end. Closing twice is fine.

        Args:
            within: seconds for the connections to end; ``refused``, on the relay's own thread, cannot wait for them.
        """
        if REACTOR.is_current():
            self.release(0.0)
            return
        if self._over.is_set():
            return
        REACTOR.call(self._stop)
        if self._over.wait(within):
            return
        REACTOR.call(self._drop)
        if not self._over.wait(_DROPPING):
            tell_late(_DROPPING)

    def release(self, within: float = 1.0) -> None:
        """Begin to close, as ``close`` does, and wait for nothing. From any thread, and any number of times."""
        if not self._over.is_set():
            REACTOR.call(lambda: self._retire(within))

    def abandon(self) -> None:
        """In a forked child: be over. The steps of a connection may have been cut in two, so none is taken."""
        self._stopped, self._over = True, threading.Event()
        self._openings, self._joints = {}, set()
        self._undo.close()
        self._over.set()

    def accept(self, listener: socket.socket, make: Callable[[socket.socket], Steps[Pair]]) -> None:
        """Make and join two ends of each connection to a socket, which the relay owns from now on.

        Raises:
            MachineFault: there can be no thread for it.
        """
        acceptor = Acceptor(listener, lambda sock: self.begin(make(sock)))
        self._undo.callback(acceptor.close)
        try:
            acceptor.start()
        except BaseException:
            self._undo.close()
            raise

    def begin(self, steps: Steps[Pair]) -> None:
        """Make a connection by these steps, and join its ends. On the relay's thread."""

        def over(outcome: Pair | Exception) -> None:
            del self._openings[opening]
            match outcome:
                case PeerRefused():
                    self._refused(outcome)
                case GoPluginError():
                    SCRIBE.log(_logger, logging.WARNING, "a connection was not made: %s", outcome)
                case OSError():
                    SCRIBE.log(_logger, logging.WARNING, "a connection within this process failed: %s", outcome)
                case Exception():
                    what = "a connection failed in a way that it should not"
                    SCRIBE.log(_logger, logging.ERROR, what, error=outcome)
                case left, right:
                    self._join(left, right)

        if len(self._openings) >= OPENING_MAX:
            next(iter(self._openings)).give_up(PushedOut("too many came after it"))
        opening = Opening(steps, self._within, over)
        self._openings[opening] = None
        opening.go_on()

    def _join(self, left: Endpoint, right: Endpoint) -> None:
        def over(error: Exception | None) -> None:
            self._joints.discard(joint)
            self._notice_end()
            # In TLS 1.3 a client hears of its refusal only after its own side of the handshake.
            refusal = explained(error) if isinstance(error, ssl.SSLError) else self._suspicion(joint)
            if refusal is not None:
                self._refused(refusal)
            elif error is not None:
                SCRIBE.log(_logger, logging.DEBUG, "a relayed connection was lost: %s", error)

        joint = Joint(REACTOR, left, right, over)
        self._joints.add(joint)
        joint.start()

    def _retire(self, within: float) -> None:
        self._stop()
        if self._joints and self._limit is None:
            self._limit = REACTOR.later(within, self._drop)

    def _suspicion(self, _: Joint) -> PeerRefused | None:
        """Return why the peer may have refused us without saying so, if it may have."""
        return None

    def _stop(self) -> None:
        self._stopped = True
        for opening in self._openings:
            opening.cancel()
        self._openings.clear()
        self._undo.close()
        self._notice_end()

    def _drop(self) -> None:
        for joint in list(self._joints):
            joint.close()

    def _notice_end(self) -> None:
        if self._stopped and not self._joints:
            if self._limit is not None:
                self._limit.cancel()
            self._over.set()


def tell_late(seconds: float) -> None:
    """Log that the thread has not got to a close yet. No error: it was told, and nobody could do more."""
    _logger.warning(
        "the relay's thread did not answer for %g seconds; it closes what is left when it gets to it", seconds
    )


def close_all(relays: Iterable[Relay], within: float) -> None:
    """Close relays side by side, as ``Relay.close`` does each: at most ``within`` seconds for all together."""
    closing, limit = list(relays), monotonic() + within
    for relay in closing:
        relay.release(within)
    for relay in closing:
        relay.close(max(0.0, limit - monotonic()))


def _drop_parents() -> None:
    REACTOR.abandon()
    for relay in _relays:
        relay.abandon()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_drop_parents)


class Acceptor:
    """Accepts the connections of a listening socket, which it owns.

    Args:
        listener: bound and listening.
        take: what becomes of each.
    """

    def __init__(self, listener: socket.socket, take: Callable[[socket.socket], object]) -> None:
        listener.setblocking(False)
        self._listener, self._take = listener, take
        self._closed = False

    def start(self) -> None:
        """Begin; from any thread.

        Raises:
            MachineFault: there can be no thread for it.
        """
        REACTOR.call(self._listen)

    def close(self) -> None:
        """Close the socket; on the relay's thread. Closing twice is fine."""
        self._closed = True
        REACTOR.forget(self._listener)
        self._listener.close()

    def _listen(self) -> None:
        if not self._closed:
            REACTOR.watch(self._listener, READ, self._accept)

    def _accept(self, _: int) -> None:
        for _ in range(_ACCEPTS):
            try:
                sock, _ = self._listener.accept()
            except BlockingIOError:
                return
            except ConnectionAbortedError:
                continue
            except OSError as error:  # out of descriptors or memory, mostly; a network says what ails it here, too
                SCRIBE.log(_logger, logging.WARNING, "cannot accept a connection now: %s", error.strerror)
                REACTOR.watch(self._listener, 0, self._accept)
                REACTOR.later(_STARVED, self._listen)
                return
            try:
                self._take(sock)
            except Exception as error:  # noqa: BLE001 - whatever becomes of one, the next is accepted
                expected = isinstance(error, OSError)  # macOS refuses to set up what was reset meanwhile
                level = logging.DEBUG if expected else logging.ERROR
                SCRIBE.log(_logger, level, "an accepted connection failed", error=error)
                REACTOR.forget(sock)
                sock.close()


class DialRelay(Relay):
    """A relay that makes a connection to the peer for each one that grpcio makes to it.

    Attributes:
        target: what to give to ``grpc.insecure_channel``.

    Args:
        listener: for grpcio.
        make: connects to the peer for a connection that came from there.
        refused: told why the peer could not be connected to.
        within: seconds for that.
        undo: what else there is to close.
        unheard: what to make of a peer that accepts and leaves before it has said anything.
    """

    def __init__(
        self,
        listener: InnerListener,
        make: Callable[[socket.socket], Steps[Pair]],
        refused: Refused,
        within: float,
        undo: ExitStack | None = None,
        unheard: Refusal = Refusal.LEFT_AT_ONCE,
    ) -> None:
        self.target, self._unheard = listener.target, unheard
        undo = undo or ExitStack()
        undo.callback(listener.close)
        super().__init__(refused, within, undo)
        self.accept(listener.socket, make)

    def _suspicion(self, joint: Joint) -> PeerRefused | None:
        # grpcio's servers send no alert; but every HTTP/2 server speaks as soon as it accepts.
        return PeerRefused(self._unheard) if joint.right_left_unheard else None


def serve(listener: socket.socket, inner: InnerServer, tls: Tls, refused: Refused, within: float = WITHIN) -> Relay:
    """Join every verified connection to ``listener`` with a new one to a grpcio server.

    Args:
        listener: bound and listening; the relay owns it from now on.
        inner: the server's private socket; the relay owns it too.
        tls: a server's.
        refused: told of every connection that was not let in.
        within: seconds for a connection to be let in.

    Raises:
        MachineFault: there can be no thread for it.
    """

    def steps(sock: socket.socket) -> Steps[Pair]:
        return let_in(SocketEndpoint(REACTOR, prompt(sock)), tls, inner)

    undo = ExitStack()
    undo.callback(inner.close)
    relay = Relay(refused, within, undo)
    relay.accept(listener, steps)
    return relay


def dial(
    address: Address,
    tls: Tls,
    refused: Refused,
    environment: Mapping[str, str] | None = None,
    within: float = WITHIN,
) -> DialRelay:
    """Lead a grpcio channel of this process to a peer: it connects to the relay's ``target``, without TLS of its own.

    Whenever it does, at first and after a loss, the relay makes a new connection to the peer and verifies it. A
    channel whose peer was refused sees a closed connection, and tries again by and by: ``refused`` is the place to
    end that.

    Args:
        address: the peer's.
        tls: a client's.
        refused: told why the peer could not be connected to, once for each attempt.
        environment: where TMPDIR is looked up; os.environ unless given.
        within: seconds for a connection to be made.

    Raises:
        PeerRefused: the peer's host has no address.
        MachineFault: there can be no private socket, or no thread.
    """
    places = resolved(address)

    def steps(sock: socket.socket) -> Steps[Pair]:
        with ExitStack() as undo:
            inner = from_grpcio(sock, undo)
            below = SocketEndpoint(REACTOR, (yield from dialled(places, undo)))
            outer = yield from secured(below, tls)
            undo.pop_all()
            return inner, outer

    return DialRelay(InnerListener(os.environ if environment is None else environment), steps, refused, within)
