"""The ends of a byte stream, and the TLS filter that stands on one. Never blocks, never decides what is joined.

A socket is an endpoint; a yamux stream can be another; a filter is an endpoint that stands on one.
"""

import select
import socket
import ssl
from collections.abc import Callable, Generator
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol, TypeVar, cast

from ._reactor import READ, WRITE, Reactor
from ._tls import Tls

CHUNK = 256 * 1024
"""Bytes per read, and so the most that one way of a joint holds. Smaller ones cost throughput, larger ones memory."""

RECORD_MAX = 17 * 1024
"""Bytes of one TLS record (RFC 8446, 5.2). Of the last one of a read, a part may come with the next read only."""

ANSWERS_MAX = 64 * 1024
"""Bytes that TLS itself wants to say, above all answers to KeyUpdates: with more, the peer asks and does not read."""

T = TypeVar("T")

_NOTHING = memoryview(b"")
# Belongs to the reactor's thread: one read fills it, and it is empty again before the next.
_sealed = memoryview(bytearray(CHUNK))


class Watchable(Protocol):
    """Something that is ready, or not yet."""

    def watch(self, events: int, ready: Callable[[int], object]) -> None:
        """Have ``ready`` called, from now on, when there is something to receive (READ) or room to send (WRITE)."""
        ...


class Endpoint(Watchable, Protocol):
    """One end of a byte stream. Errors are OSErrors.

    ``BrokenPipeError`` and ``ConnectionResetError`` end one direction; after any other only ``close`` makes sense.
    """

    @property
    def ended(self) -> bool:
        """Whether the other side has ended its stream and everything of it was received."""
        ...

    @property
    def gone(self) -> bool:
        """Whether the other side takes and sends nothing any more, though there may be something left to receive."""
        ...

    @property
    def unsent(self) -> bool:
        """Whether bytes wait here that ``send`` took and the other side did not yet."""
        ...

    def receive(self, into: memoryview) -> int:
        """Return how many bytes were put in: 0 where there are none now, or where the stream has ended."""
        ...

    def send(self, data: memoryview) -> int:
        """Return how many bytes were taken: 0 where there is no room now. Without data, try what is ``unsent``."""
        ...

    def finish(self) -> None:
        """End our stream after everything that was sent; the other side's goes on."""
        ...

    def close(self) -> None:
        """Drop the connection. Closing twice is fine."""
        ...


@dataclass(frozen=True, slots=True)
class Wait:
    """A step of making a connection: go on when the endpoint is ready."""

    endpoint: Watchable
    events: int


@dataclass(frozen=True, slots=True)
class Pause:
    """A step of making a connection: go on after some seconds."""

    seconds: float


Steps = Generator[Wait | Pause, None, T]
"""How a connection is made, one wait after the other; returns what was made, or raises."""


class SocketEndpoint:
    """A connected socket. Owns it."""

    def __init__(self, reactor: Reactor, sock: socket.socket) -> None:
        sock.setblocking(False)
        reactor.adopt(sock)
        self._reactor, self._sock = reactor, sock
        self._watched: tuple[int, Callable[[int], object]] | None = None
        self.ended, self.unsent = False, False

    @property
    def gone(self) -> bool:
        """Whether the socket was hung up."""
        look = select.poll()
        look.register(self._sock, 0)  # a hang-up is told unasked
        return bool(look.poll(0))

    def receive(self, into: memoryview) -> int:
        """Receive once, at most a chunk."""
        try:
            count = self._sock.recv_into(into, min(len(into), CHUNK))
        except BlockingIOError:
            return 0
        self.ended = count == 0
        return count

    def send(self, data: memoryview) -> int:
        """Send once."""
        try:
            return self._sock.send(data) if data else 0
        except BlockingIOError:
            return 0

    def finish(self) -> None:
        """Shut the socket down for sending."""
        with suppress(OSError):  # ENOTCONN of one that was reset
            self._sock.shutdown(socket.SHUT_WR)

    def watch(self, events: int, ready: Callable[[int], object]) -> None:
        """Tell the reactor, where anything has changed."""
        if self._watched != (events, ready):
            self._reactor.watch(self._sock, events, ready)
            self._watched = events, ready

    def close(self) -> None:
        """Close the socket."""
        self._reactor.forget(self._sock)
        self._sock.close()


class TlsFilter:
    """TLS over another endpoint, which it owns. Only after its ``handshake`` is it of use."""

    def __init__(self, below: Endpoint, tls: Tls) -> None:
        self._below, self._tls = below, tls
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._session = tls.session(self._incoming, self._outgoing)
        self._leftover = _NOTHING  # sealed, but not taken by the endpoint below
        self._finishing = False
        self.ended = False

    @property
    def gone(self) -> bool:
        """Whether the endpoint below is."""
        return self._below.gone

    @property
    def unsent(self) -> bool:
        """Whether sealed bytes wait for the endpoint below."""
        return bool(self._leftover) or self._outgoing.pending > 0

    def handshake(self) -> Steps[None]:
        """Do the handshake and judge the peer.

        Raises:
            PeerRefused: the peer is not who it should be.
            OSError: the handshake failed; ``ssl.SSLError`` is one.
        """
        while True:
            try:
                self._session.do_handshake()
            except ssl.SSLWantReadError:
                self._flush()
            except ssl.SSLError:
                self._say_why()
                raise
            else:
                self._flush()
                return self._tls.judge(self._session)
            yield Wait(self, READ)
            self._fill()

    def receive(self, into: memoryview) -> int:
        """Receive once from below and open all of it; ``into`` must have room for a chunk and a record."""
        self._fill()
        count = 0
        try:
            # After the last record a further read would cost an exception.
            while self._incoming.pending and count < len(into):
                opened = cast("int", self._session.read(len(into) - count, into[count:]))
                if not opened:
                    self.ended = True
                    break
                count += opened
        except ssl.SSLWantReadError:
            pass  # the rest of a record comes with the next read
        except ssl.SSLZeroReturnError:
            self.ended = True
        except ssl.SSLError:
            self._say_why()
            raise
        if self._outgoing.pending:  # an answer to a KeyUpdate, say
            with suppress(ConnectionError):  # who wants no answer has still said what was received
                self._flush()
            if self._outgoing.pending > ANSWERS_MAX:
                raise ConnectionAbortedError("the TLS peer asks and asks and reads no answers")
        return count

    def send(self, data: memoryview) -> int:
        """Seal and send; what is sealed counts as taken. Of a peer that hangs up, its alert is still to be received."""
        if self.unsent:
            self._flush()
        if self.unsent or not data:
            return 0
        taken = self._session.write(data)
        self._flush()
        return taken

    def finish(self) -> None:
        """Send close_notify, and end the stream below."""
        try:
            # It also looks for the peer's own close_notify, and would be confused by unread records: there are none.
            self._session.unwrap()
        except ssl.SSLWantReadError:
            pass  # the peer goes on
        self._finishing = True
        self._flush()

    def watch(self, events: int, ready: Callable[[int], object]) -> None:
        """Watch the endpoint below, for room also where sealed bytes wait for it."""
        self._below.watch(events | WRITE if self.unsent else events, ready)

    def close(self) -> None:
        """Close the endpoint below; what is unsent is lost."""
        self._below.close()

    def _say_why(self) -> None:
        """Send the alert that OpenSSL made of an error."""
        with suppress(ConnectionError):
            self._flush()

    def _fill(self) -> None:
        count = self._below.receive(_sealed)
        if count:
            self._incoming.write(_sealed[:count])
        elif self._below.ended and not self.ended:
            # Without close_notify an end may be somebody's cut: it is a lost connection, never an end of the stream.
            raise ConnectionResetError("the connection ended without TLS's close_notify")

    def _flush(self) -> None:
        while self.unsent:
            if not self._leftover:
                self._leftover = memoryview(self._outgoing.read())
            try:
                taken = self._below.send(self._leftover)
            except ConnectionError:
                self._leftover = _NOTHING  # nor will anybody take the rest
                self._outgoing.read()
                raise
            self._leftover = self._leftover[taken:]
            if self._leftover:
                return
        if self._finishing:
            self._finishing = False
            self._below.finish()
