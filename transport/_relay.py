"""Joins the outer world, which speaks TLS, to grpcio on the inner hop. Never interprets what it carries.

    the peer ── socket ── TLS filter ══╗
                                     joint        one for each connection; it carries bytes both ways
    grpcio ──── socket ════════════════╝

One thread does it for all connections of the process; nothing here blocks, and each way of a joint holds at most
what one read brought. A connection is verified before the other side of its joint exists.
"""

import errno
import logging
import os
import socket
import ssl
import threading
import weakref
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any

from ..handshake import Address, MachineFault, Tcp, Unix
from ._endpoints import Endpoint, Pause, SocketEndpoint, Steps, TlsFilter, Wait
from ._inner import InnerListener, InnerServer, check_ourselves
from ._joint import Joint
from ._reactor import READ, WRITE, Reactor, Timer
from ._tls import PeerRefused, Refusal, Tls, explained

_logger = logging.getLogger("goplugin.transport")

WITHIN = 10.0
"""Seconds for a connection to be made and its TLS handshake to be finished. A good one takes milliseconds."""

OPENING_MAX = 256
"""Connections of one relay that may be in the making at once; for one more the oldest is dropped, never a good one."""

_BACKLOG = 128
_RETRY = 0.01  # seconds until a Unix socket with a full backlog is tried again
_STARVED = 0.25  # seconds until accepting is tried again where the process, or the system, ran out of something
_ACCEPTS = 64  # connections accepted in one go; a flood of them must not hold the others up
_OUT_OF = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_DROPPING = 2.0  # seconds for the thread to drop what is left; it takes microseconds

_Pair = tuple[Endpoint, Endpoint]
Refused = Callable[[PeerRefused], object]
"""Told of each connection that was refused, on the relay's thread: it must be quick."""

_reactor = Reactor()
_relays: "weakref.WeakSet[Relay]" = weakref.WeakSet()


class _Opening:
    """A connection in the making: takes its steps until they end in two endpoints, fail, or take too long."""

    def __init__(self, steps: Steps[_Pair], within: float, over: Callable[[_Pair | Exception], None]) -> None:
        self._steps, self._over = steps, over
        self._limit = _reactor.later(within, lambda: self.give_up(TimeoutError("it took too long")))
        self._pause: Timer | None = None
        self._waited: Endpoint | None = None
        self._done = False

    def go_on(self, _: int = 0) -> None:
        """Take the next step."""
        self._take(lambda: next(self._steps))

    def give_up(self, why: Exception) -> None:
        """Fail for that reason, unless it is done."""
        self._take(lambda: self._steps.throw(why))

    def cancel(self) -> None:
        """Drop it, and tell nobody."""
        self._done = True
        self._limit.cancel()
        self._steps.close()

    def _take(self, step: Callable[[], Wait | Pause]) -> None:
        if self._done:
            return
        if self._pause is not None:
            self._pause.cancel()
        if self._waited is not None:
            self._waited.watch(0, self.go_on)
            self._waited = None
        try:
            match step():
                case Wait(endpoint, events):
                    self._waited = endpoint
                    endpoint.watch(events, self.go_on)
                case Pause(seconds):
                    self._pause = _reactor.later(seconds, self.go_on)
        except StopIteration as end:
            self._end(end.value)
        except Exception as error:  # noqa: BLE001 - whoever wants the connection gets it
            self._end(error)

    def _end(self, outcome: _Pair | Exception) -> None:
        self._done = True
        self._limit.cancel()
        self._over(outcome)


class Relay:
    """Accepts connections and joins each to another one, until it is closed. Made by ``serve`` and ``dial``."""

    def __init__(
        self,
        listener: socket.socket,
        make: Callable[[socket.socket], Steps[_Pair]],
        refused: Refused,
        within: float,
        undo: ExitStack,
    ) -> None:
        listener.setblocking(False)
        self._listener, self._make, self._refused, self._within = listener, make, refused, within
        self._undo = undo
        self._openings: dict[_Opening, None] = {}  # in the order of their arrival
        self._joints: set[Joint] = set()
        self._stopped = False
        self._over = threading.Event()
        _relays.add(self)
        try:
            _reactor.call(self._listen)
        except RuntimeError as error:
            listener.close()
            undo.close()
            raise MachineFault(f"there can be no thread for the relay: {error}") from None

    @property
    def connections(self) -> int:
        """How many connections are joined now."""
        return len(self._joints)

    def close(self, within: float = 1.0) -> None:
        """Accept no more, wait until the connections have ended by themselves, and drop those that have not.

        Close grpcio's side first; its last words are then carried to the end. Closing twice is fine.

        Args:
            within: seconds for the connections to end; ``refused``, on the relay's own thread, cannot wait for them.

        Raises:
            MachineFault: the relay's thread does not answer.
        """
        if _reactor.is_current():
            for job in (self._stop, self._drop, self._undo.close):
                _reactor.call(job)
            return
        with self._undo:
            if self._over.is_set():
                return
            _reactor.call(self._stop)
            if self._over.wait(within):
                return
            _reactor.call(self._drop)
            if not self._over.wait(_DROPPING):
                raise MachineFault(f"the relay's thread did not answer for {_DROPPING} seconds")

    def abandon(self) -> None:
        """In a forked child: be over. The steps of a connection may have been cut in two, so none is taken."""
        self._stopped, self._over = True, threading.Event()
        self._openings, self._joints = {}, set()
        self._over.set()

    def _listen(self) -> None:
        if not self._stopped:
            _reactor.watch(self._listener, READ, self._accept)

    def _accept(self, _: int) -> None:
        for _ in range(_ACCEPTS):
            try:
                sock, _ = self._listener.accept()
            except BlockingIOError:
                return
            except ConnectionAbortedError:
                continue
            except OSError as error:
                if error.errno not in _OUT_OF:
                    raise
                _logger.warning("cannot accept a connection now: %s", error.strerror)
                _reactor.watch(self._listener, 0, self._accept)
                _reactor.later(_STARVED, self._listen)
                return
            self._open(sock)

    def _open(self, sock: socket.socket) -> None:
        def over(outcome: _Pair | Exception) -> None:
            del self._openings[opening]
            match outcome:
                case PeerRefused():
                    self._refused(outcome)
                case OSError():
                    _logger.warning("a connection within this process failed: %s", outcome)
                case Exception():
                    _logger.error("a connection failed in a way that it should not", exc_info=outcome)
                case left, right:
                    self._join(left, right)

        if len(self._openings) >= OPENING_MAX:
            next(iter(self._openings)).give_up(TimeoutError("too many came after it"))
        opening = _Opening(self._make(sock), self._within, over)
        self._openings[opening] = None
        opening.go_on()

    def _join(self, left: Endpoint, right: Endpoint) -> None:
        def over(error: Exception | None) -> None:
            self._joints.discard(joint)
            self._notice_end()
            if isinstance(error, ssl.SSLError):
                # In TLS 1.3 a client hears of its refusal only after its own side of the handshake.
                self._refused(explained(error))
            elif error is not None:
                _logger.debug("a relayed connection was lost: %s", error)

        joint = Joint(_reactor, left, right, over)
        self._joints.add(joint)
        joint.start()

    def _stop(self) -> None:
        self._stopped = True
        _reactor.forget(self._listener)
        self._listener.close()
        for opening in self._openings:
            opening.cancel()
        self._openings.clear()
        self._notice_end()

    def _drop(self) -> None:
        for joint in list(self._joints):
            joint.close()

    def _notice_end(self) -> None:
        if self._stopped and not self._joints:
            self._over.set()


def _drop_parents() -> None:
    _reactor.abandon()
    for relay in _relays:
        relay.abandon()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_drop_parents)


class DialRelay(Relay):
    """A relay that makes a connection to the peer for each one that grpcio makes to it.

    Attributes:
        target: what to give to ``grpc.insecure_channel``.
    """

    def __init__(
        self,
        listener: InnerListener,
        make: Callable[[socket.socket], Steps[_Pair]],
        refused: Refused,
        within: float,
    ) -> None:
        self.target = listener.target
        undo = ExitStack()
        undo.callback(listener.close)
        super().__init__(listener.socket, make, refused, within, undo)


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

    def steps(sock: socket.socket) -> Steps[_Pair]:
        with ExitStack() as undo:
            outer = _filtered(SocketEndpoint(_reactor, _prompt(sock)), tls, undo)
            yield from _verified(outer)
            inside = yield from _connected(socket.AF_UNIX, inner.connect, undo)
            undo.pop_all()
            return outer, inside

    undo = ExitStack()
    undo.callback(inner.close)
    return Relay(listener, steps, refused, within, undo)


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
    try:
        family, name = _resolved(address)
    except (OSError, UnicodeError) as error:  # the latter for what can be no name at all
        raise PeerRefused(Refusal.UNREACHABLE, str(error)) from None

    def steps(sock: socket.socket) -> Steps[_Pair]:
        with ExitStack() as undo:
            inner = SocketEndpoint(_reactor, sock)
            undo.callback(inner.close)
            check_ourselves(sock)
            try:
                below = yield from _connected(family, lambda ours: _prompt(ours).connect_ex(name), undo)
            except OSError as error:
                raise PeerRefused(Refusal.UNREACHABLE, str(error)) from None
            outer = _filtered(below, tls, undo)
            yield from _verified(outer)
            undo.pop_all()
            return inner, outer

    return DialRelay(InnerListener(os.environ if environment is None else environment), steps, refused, within)


def listening(address: Address) -> socket.socket:
    """Return a socket that listens at an address, for ``serve``.

    Raises:
        OSError: the address cannot be had.
    """
    family, name = _resolved(address)
    with ExitStack() as undo:
        sock = undo.enter_context(socket.socket(family))
        if family != socket.AF_UNIX and os.name == "posix":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(name)
        sock.listen(_BACKLOG)
        undo.pop_all()
        return sock


def _resolved(address: Address) -> tuple[int, Any]:
    match address:
        case Unix(path=path):
            return socket.AF_UNIX, path
        case Tcp(host=host, port=port):
            found = socket.getaddrinfo(host or "127.0.0.1", port, type=socket.SOCK_STREAM)
            return found[0][0], found[0][4]


def _prompt(sock: socket.socket) -> socket.socket:
    if sock.family != socket.AF_UNIX:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def _filtered(below: Endpoint, tls: Tls, undo: ExitStack) -> TlsFilter:
    undo.callback(below.close)
    return TlsFilter(below, tls)


def _verified(outer: TlsFilter) -> Steps[None]:
    try:
        yield from outer.handshake()
    except OSError as error:
        raise explained(error) from None


def _connected(family: int, connect: Callable[[socket.socket], int], undo: ExitStack) -> Steps[SocketEndpoint]:
    """Make a connection; ``connect`` begins it, and may be called again."""
    sock = socket.socket(family)
    endpoint = SocketEndpoint(_reactor, sock)
    undo.callback(endpoint.close)
    while code := connect(sock):
        if code == errno.EINPROGRESS:
            yield Wait(endpoint, WRITE)
            code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if not code:
                break
        if code != errno.EAGAIN:  # a Unix socket's backlog is full; no event tells when it no longer is
            raise OSError(code, os.strerror(code))
        yield Pause(_RETRY)
    return endpoint
