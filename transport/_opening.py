"""A connection in the making: its steps, one wait after the other, and how sockets are connected. Joins nothing."""

import errno
import os
import socket
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any, Generic, TypeVar

from ..handshake import Address, Tcp, Unix
from ._endpoints import Endpoint, Pause, SocketEndpoint, Steps, TlsFilter, Wait, Watchable
from ._inner import InnerServer, check_ourselves
from ._reactor import REACTOR, WRITE, Timer
from ._tls import PeerRefused, Refusal, Tls

WITHIN = 10.0
"""Seconds for a connection to be made and its TLS handshake to be finished. A good one takes milliseconds."""

_RETRY = 0.01  # seconds until a Unix socket with a full backlog is tried again

T = TypeVar("T")
Pair = tuple[Endpoint, Endpoint]
"""The two ends that are to be joined."""
Place = tuple[int, Any]
"""A family of sockets, and what to connect one to."""


class Opening(Generic[T]):
    """A connection in the making: takes its steps until they end in what was to be made, fail, or take too long."""

    def __init__(self, steps: Steps[T], within: float, over: Callable[[T | Exception], None]) -> None:
        self._steps, self._over = steps, over
        self._limit = REACTOR.later(within, lambda: self.give_up(TimeoutError("it took too long")))
        self._pause: Timer | None = None
        self._waited: Watchable | None = None
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
                    self._pause = REACTOR.later(seconds, self.go_on)
        except StopIteration as end:
            self._end(end.value)
        except Exception as error:  # noqa: BLE001 - whoever wants the connection gets it
            self._end(error)

    def _end(self, outcome: T | Exception) -> None:
        self._done = True
        self._limit.cancel()
        self._over(outcome)


def resolved(address: Address) -> list[Place]:
    """Return the places to which an address leads: a host name may have several.

    Raises:
        PeerRefused: the host has no address.
    """
    try:
        match address:
            case Unix(path=path):
                return [(socket.AF_UNIX, path)]
            case Tcp(host=host, port=port):
                found = socket.getaddrinfo(host or "127.0.0.1", port, type=socket.SOCK_STREAM)
                return [(family, name) for family, *_, name in found]
    except (OSError, UnicodeError) as error:  # the latter for what can be no name at all
        raise PeerRefused(Refusal.UNREACHABLE, str(error)) from None


def prompt(sock: socket.socket) -> socket.socket:
    """Have a socket send what it is given at once."""
    if sock.family != socket.AF_UNIX:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def connected(family: int, connect: Callable[[socket.socket], int], undo: ExitStack) -> Steps[socket.socket]:
    """Make a connection; ``connect`` begins it, and may be called again."""
    sock = socket.socket(family)
    endpoint = SocketEndpoint(REACTOR, sock)
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
    return sock


def dialled(places: Sequence[Place], undo: ExitStack) -> Steps[socket.socket]:
    """Connect to a peer at the first of these places where it can be reached.

    Raises:
        PeerRefused: it can be reached at none; says why not at the last.
    """
    refused = PeerRefused(Refusal.UNREACHABLE)
    for place in places:
        try:
            return (yield from _tried(place, undo))
        except OSError as error:
            refused = PeerRefused(Refusal.UNREACHABLE, str(error))
            if isinstance(error, TimeoutError):  # the whole opening's
                break
    raise refused


def _tried(place: Place, undo: ExitStack) -> Steps[socket.socket]:
    family, name = place
    with ExitStack() as attempt:
        sock = yield from connected(family, lambda sock: prompt(sock).connect_ex(name), attempt)
        undo.push(attempt.pop_all())
        return sock


def secured(below: Endpoint, tls: Tls | None) -> Steps[Endpoint]:
    """Do the TLS handshake, where there is to be TLS, and verify the peer.

    Raises:
        PeerRefused: it is not who it should be.
    """
    if tls is None:
        return below
    outer = TlsFilter(below, tls)
    try:
        yield from outer.handshake()
    except OSError as error:
        raise tls.refusal(error) from None
    return outer


def from_grpcio(sock: socket.socket, undo: ExitStack) -> Endpoint:
    """Take a connection of this process's own grpcio.

    Raises:
        Stranger: it is somebody else's.
    """
    inner = SocketEndpoint(REACTOR, sock)
    undo.callback(inner.close)
    check_ourselves(sock)
    return inner


def let_in(below: Endpoint, tls: Tls | None, inner: InnerServer) -> Steps[Pair]:
    """Verify a peer that has connected, and only then connect to grpcio's server for it.

    Raises:
        PeerRefused: it is not who it should be.
    """
    with ExitStack() as undo:
        undo.callback(below.close)
        outer = yield from secured(below, tls)
        sock = yield from connected(socket.AF_UNIX, inner.connect, undo)
        undo.pop_all()
        return outer, SocketEndpoint(REACTOR, sock)
