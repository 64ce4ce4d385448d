"""Clients that are not the host, or not the plugin, that a server waits for: what they try, and what they hear."""

import select
import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import closing, suppress
from datetime import timedelta

from foreign_certificates import Foreign, context

from goplugin.handshake import Address, Unix
from goplugin.transport.yamux import Data, Ended, Event, Session, StreamFinished, StreamReset

PATIENCE = 30.0  # seconds for what takes milliseconds
DAY = timedelta(days=1)
EXPIRED = Foreign.make(since=-2 * DAY, until=-DAY)
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + b"\4" + bytes(5)  # and empty SETTINGS
SETTINGS = b"\4"  # the kind of frame with which every HTTP/2 server begins, in its fourth byte

Reach = Callable[[Address], socket.socket]
ATTACKERS: dict[str, Callable[[Foreign], Foreign | None]] = {
    "no certificate": lambda _: None,
    "another one": lambda _: Foreign.make(),
    "the right names and number with another key": lambda right: Foreign.make(
        "P-256", serial=right.certificate.serial_number
    ),
    "an expired one": lambda _: EXPIRED,
}


def signed(right: Foreign) -> Foreign:
    """Return what only the right one could make, for go-plugin's certificates are authorities: a child of it."""
    return Foreign.make("P-256", issuer=right)


def reach(address: Address) -> socket.socket:
    """Return a connection to a server."""
    sock = socket.socket(socket.AF_UNIX if isinstance(address, Unix) else socket.AF_INET)
    sock.settimeout(PATIENCE)
    sock.connect(address.path if isinstance(address, Unix) else (address.host, address.port))
    return sock


def heard(sock: socket.socket) -> bytes:
    """Begin to speak HTTP/2, and return what comes first; nothing where the other side ends the connection."""
    with sock, suppress(ssl.SSLError, ConnectionError):
        sock.sendall(PREFACE)
        return sock.recv(4096)
    return b""


def attack(plain: socket.socket, ours: Foreign | None) -> bytes:
    """Do so with TLS and a certificate, or without one; the same over a connection that is made already."""
    with plain, suppress(ssl.SSLError, ConnectionError):
        return heard(context(ssl.PROTOCOL_TLS_CLIENT, ours).wrap_socket(plain))
    return b""


def repelled(address: Address, right: Foreign, to: Reach = reach) -> bool:
    """Whether none of them hears a word of gRPC, nor anybody in plain text."""
    words = [attack(to(address), attacker(right)) for attacker in ATTACKERS.values()]
    return not any(words) and heard(to(address))[3:4] != SETTINGS


class Stranger:
    """Somebody who connects to a multiplexing plugin's socket, speaks yamux or does not, and is no host."""

    def __init__(self, address: Address) -> None:
        self.sock = reach(address)
        self.session = Session(client=True, now=0.0)

    def open(self, data: bytes = b"") -> int:
        """Open a stream and send something on it; return its id."""
        id = self.session.open(0.0)
        self.send(id, data)
        return id

    def send(self, id: int, data: bytes) -> None:
        """Send something, less than a window."""
        assert self.session.send(id, data) == len(data)
        self.sock.sendall(self.session.data_to_send())

    def receive(self) -> list[Event]:
        """Wait for something to arrive, and return what that means."""
        data = self.sock.recv(2**16)
        return self.session.receive(data, 0.0) if data else self.session.connection_closed()

    def hear(self, wanted: Callable[[list[Event]], bool]) -> list[Event]:
        """Return what happens until something wanted has."""
        events: list[Event] = []
        while not wanted(events):
            events += self.receive()
        return events

    def is_dropped(self) -> bool:
        """Whether the other side has closed the connection."""
        return self.sock.recv(1) == b""

    def close(self) -> None:
        """Go away."""
        self.sock.close()


def reach_inside(address: Address) -> socket.socket:
    """Return a stream of a new multiplexed connection; a thread carries its bytes until either side is closed."""
    near, far = socket.socketpair()
    near.settimeout(PATIENCE)

    def carry() -> None:
        with far, closing(Stranger(address)) as stranger, suppress(ConnectionError):
            id = stranger.open()
            while True:
                readable, _, _ = select.select([far, stranger.sock], [], [])
                if far in readable:
                    if not (data := far.recv(4096)):
                        return
                    stranger.send(id, data)
                else:
                    for event in stranger.receive():
                        if isinstance(event, Data):
                            far.sendall(event.data)
                        elif isinstance(event, (Ended, StreamFinished, StreamReset)):
                            return

    threading.Thread(target=carry, name="stranger", daemon=True).start()
    return near
