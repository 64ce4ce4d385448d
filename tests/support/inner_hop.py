"""A process with both kinds of inner hop, and one that attacks it. Run with a user id; see test_inner.py.

    inner_hop.py victim  UID DIRECTORY PROTECTED    prints its pid, then whom it served once stdin ends
    inner_hop.py attacker UID DIRECTORY PID [PATH]  prints what it got out of the victim, PATH left alone

Each becomes that user after its imports, whose files the user may not be able to read. The victim greets everybody
that gets through to either end: "from grpcio's side" behind the server's hop, "from the peer" through the client's.
"""

import ctypes
import encodings.idna
import os
import shutil
import socket
import ssl
import sys
import threading
from contextlib import suppress

from foreign_certificates import NOW, Foreign, context
from other_users import PR_SET_DUMPABLE, become
from tls_peers import Inner, connect, connections

from goplugin.handshake import Unix
from goplugin.transport.tls import Identity, InnerServer, MutualTls, PeerRefused, dial, listening, serve

TOO_LATE = ctypes, shutil, encodings.idna  # to be loaded when they are needed
SERVED, REACHED = b"from grpcio's side", b"from the peer"


def greet(listener: socket.socket, secured: ssl.SSLContext) -> None:
    while True:
        sock, _ = listener.accept()
        with suppress(OSError), secured.wrap_socket(sock, server_side=True) as made:
            made.send(REACHED)
            made.recv(1)


def victim(directory: str, protected: bool) -> None:
    ours, peer = Identity.generate(NOW.timestamp()), Foreign.make("P-256")
    mutual = MutualTls(ours, peer.parsed)
    refused: list[PeerRefused] = []

    inner = Inner()
    door = InnerServer(inner, {"TMPDIR": directory})
    relay = serve(listening(Unix(os.path.join(directory, "outer"))), door, mutual.server, refused.append)

    def serve_inside() -> None:
        while True:
            with suppress(TimeoutError, ConnectionError), inner.accept() as sock:
                sock.send(SERVED)
                sock.recv(1)  # until the end, as grpcio does

    far = listening(Unix(os.path.join(directory, "far")))
    dialled = dial(Unix(os.path.join(directory, "far")), mutual.client, refused.append, {"TMPDIR": directory})
    for work in (lambda: greet(far, context(ssl.PROTOCOL_TLS_SERVER, peer)), serve_inside):
        threading.Thread(target=work, daemon=True).start()

    # Both hops work, for this process: that an attacker gets nothing proves something only then.
    made = context(ssl.PROTOCOL_TLS_CLIENT, peer)
    with connect(os.path.join(directory, "outer")) as plain, made.wrap_socket(plain) as secured:
        assert secured.recv(100) == SERVED
    with connect(dialled.target.removeprefix("unix:")) as channel:
        assert channel.recv(100) == REACHED

    if not protected:
        assert ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) == 0
    print(os.getpid(), flush=True)
    sys.stdin.read()
    print(connections(relay) + connections(dialled), len(refused), flush=True)
    os._exit(0)


def attacker(directory: str, pid: int, open_to_all: set[bytes]) -> None:
    """Connect to whatever there is, by path, by what the kernel lists, and through the victim's descriptors."""
    with open("/proc/net/unix", "rb") as table:
        listed = [line.split(b" ")[-1].strip() for line in table if os.fsencode(directory) in line]
    found = [os.path.join(where, name).encode() for where, _, names in os.walk(directory) for name in names]
    descriptors = [f"/proc/{pid}/fd/{number}".encode() for number in range(256)]
    got: set[str] = set()
    for path in {*listed, *found, *descriptors} - open_to_all:
        with socket.socket(socket.AF_UNIX) as sock, suppress(OSError):
            sock.settimeout(10)
            sock.connect(path)
            got.add(sock.recv(100).decode(errors="replace") or "a closed door")
    print(sorted(got))


def main() -> None:
    role, uid, directory, argument, *more = sys.argv[1:]
    become(int(uid))
    if role == "victim":
        victim(directory, argument == "protected")
    else:
        outer = {os.fsencode(path) for path in (directory + "/outer", directory + "/far", *more)}
        attacker(directory, int(argument), outer)


main()
