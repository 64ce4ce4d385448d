"""Peers of a relay: a stand-in for grpcio on the inner hop, and TLS clients and servers with their own habits."""

import os
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager, suppress
from queue import SimpleQueue
from typing import Protocol

from foreign_certificates import Foreign, context

from goplugin.handshake import Unix
from goplugin.transport.tls import PeerRefused, Relay

PATIENCE = 30.0  # seconds for what takes milliseconds


class Inner:
    """Binds as grpcio's server does, and hands out the connections that arrive, as plain blocking sockets."""

    def __init__(self) -> None:
        self._listener = socket.socket(socket.AF_UNIX)
        self.addresses: list[str] = []

    def add_insecure_port(self, address: str) -> int:
        self.addresses.append(address)
        self._listener.bind(address.removeprefix("unix:"))
        self._listener.listen(1000)
        self._listener.settimeout(PATIENCE)
        return 1

    def accept(self) -> socket.socket:
        sock, _ = self._listener.accept()
        sock.settimeout(PATIENCE)
        return sock

    def shorten(self) -> None:
        """Let one connection wait at most, and the next one fail."""
        self._listener.listen(0)

    def was_left_alone(self) -> bool:
        """Whether nobody has connected."""
        self._listener.settimeout(0)
        try:
            self._listener.accept()[0].close()
        except BlockingIOError:
            return True
        else:
            return False
        finally:
            self._listener.settimeout(PATIENCE)

    def close(self) -> None:
        self._listener.close()


def connect(address: str | tuple[str, int]) -> socket.socket:
    """Return a plain connection to a relay."""
    sock = socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET)
    sock.settimeout(PATIENCE)
    try:
        sock.connect(address)
    except BaseException:
        sock.close()
        raise
    return sock


def connect_tls(address: str | tuple[str, int], ours: Foreign, made: ssl.SSLContext | None = None) -> ssl.SSLSocket:
    """Return a TLS connection to a relay, whose handshake is complete on our side."""
    made = made or context(ssl.PROTOCOL_TLS_CLIENT, ours)
    sock = connect(address)
    try:
        return made.wrap_socket(sock, suppress_ragged_eofs=False)
    except BaseException:
        sock.close()
        raise


def receive(sock: socket.socket, count: int) -> bytes:
    """Return exactly so many bytes, or fewer where the stream ends."""
    pieces: list[bytes] = []
    while count and (piece := sock.recv(min(count, 65536))):
        pieces.append(piece)
        count -= len(piece)
    return b"".join(pieces)


def ends(sock: socket.socket) -> bool:
    """Whether the connection is over, one way or another, without a byte more."""
    try:
        return sock.recv(1) == b""
    except (ConnectionError, ssl.SSLError):
        return True


def ends_properly(sock: ssl.SSLSocket) -> bool:
    """Whether the other side says that it has ended, by TLS's close_notify."""
    try:
        return sock.recv(1) == b""
    except ssl.SSLZeroReturnError:
        return True


def vanish(sock: socket.socket) -> None:
    """Close with a reset, as a process does that is killed with unread data."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


class Closable(Protocol):
    """A socket, a relay, whatever can be closed."""

    def close(self) -> None: ...


def close(*things: Closable) -> None:
    """Close them in their order."""
    for thing in things:
        thing.close()


def connections(relay: Relay) -> int:
    """Return how many connections a relay joins now."""
    return len(vars(relay)["_joints"])


class Refusals:
    """The callback of a relay, and what it was told."""

    def __init__(self) -> None:
        self._told: SimpleQueue[PeerRefused] = SimpleQueue()

    def __call__(self, refused: PeerRefused) -> None:
        self._told.put(refused)

    def next(self) -> PeerRefused:
        return self._told.get(timeout=PATIENCE)

    @property
    def none(self) -> bool:
        return self._told.empty()


@contextmanager
def serving(
    directory: str, session: Callable[[ssl.SSLSocket], object], made: ssl.SSLContext
) -> Generator[Unix, None, None]:
    """Serve TLS in a thread, one connection after the other, as a plugin of somebody else does."""
    address = Unix(os.path.join(directory, "peer"))
    with socket.socket(socket.AF_UNIX) as listener, ExitStack() as undo:
        listener.bind(address.path)
        undo.callback(os.unlink, address.path)
        listener.listen(100)

        def serve() -> None:
            while True:
                try:
                    sock, _ = listener.accept()
                except OSError:
                    return  # shut down
                sock.settimeout(PATIENCE)
                with sock, suppress(OSError), _secured(sock, made) as secured:
                    session(secured)  # ssl's errors are suppressed too: the other side is what is tested

        thread = threading.Thread(target=serve, name="peer", daemon=True)
        thread.start()
        undo.callback(thread.join, PATIENCE)
        undo.callback(listener.shutdown, socket.SHUT_RDWR)
        yield address


def _secured(sock: socket.socket, made: ssl.SSLContext) -> ssl.SSLSocket:
    return made.wrap_socket(sock, server_side=True, suppress_ragged_eofs=False)


def echo(sock: socket.socket) -> None:
    """Send back what comes, until the other side ends, and then end too."""
    while data := sock.recv(65536):
        sock.sendall(data)
    if isinstance(sock, ssl.SSLSocket):
        sock.unwrap()


class Wire:
    """An endpoint in memory, as a yamux stream could be one. It takes as many bytes as it has room for."""

    def __init__(self, room: int = 1 << 30) -> None:
        self.arrived, self.sent, self.room = bytearray(), bytearray(), room
        self.ended = self.gone = self.unsent = self.finished = self.closed = False
        self.events = 0
        self.ready: Callable[[int], object] = print

    def receive(self, into: memoryview) -> int:
        count = min(len(into), len(self.arrived))
        into[:count] = self.arrived[:count]
        del self.arrived[:count]
        return count

    def send(self, data: memoryview) -> int:
        count = min(len(data), self.room)
        self.sent += data[:count]
        self.room -= count
        return count

    def finish(self) -> None:
        self.finished = True

    def watch(self, events: int, ready: Callable[[int], object]) -> None:
        self.events, self.ready = events, ready

    def close(self) -> None:
        self.closed = True
