"""Finds out whether a plugin that does not answer in plain text waits for TLS. Never completes a handshake.

Nothing else tells: Go's TLS server closes a connection in plain text without a word. To grpcio that is a server which
does not listen yet, and it tries again and again.
"""

import socket
from collections.abc import Callable
from contextlib import suppress

from ..handshake import Address, Tcp, TlsRefused, Unix

SILENCE = 1.0
"""Seconds that a plugin may leave its first call unanswered until it is looked at: most answer in milliseconds."""

_WITHIN = 0.5  # seconds to connect, and then for an answer to a greeting; any TLS server gives it at once
_ALERT, _HANDSHAKE = 21, 22  # the types of the first record that a TLS server sends (RFC 8446, 5.1)
_MAJOR = 3  # of the version in every record's header, from SSL 3 to TLS 1.3


def tls_wanted(address: Address, answered: Callable[[float], bool]) -> TlsRefused | None:
    """Return the error for a plugin in plain text if whoever listens at ``address`` speaks TLS.

    An HTTP/2 server begins with a frame of settings or closes the connection, so what it answers is no TLS.

    Args:
        address: of the plugin.
        answered: waits that many seconds at most for the first call's end, and tells whether it has ended. A start that
            was only slow is held up no longer than it takes to connect.
    """
    try:
        with _connected(address) as peer:
            peer.sendall(_greeting())
            if answered(_WITHIN):
                return None
            peer.setblocking(False)
            answer = peer.recv(2)
    except OSError:
        return None
    if answer not in (bytes((_ALERT, _MAJOR)), bytes((_HANDSHAKE, _MAJOR))):
        return None
    return TlsRefused(str(address), "the plugin serves TLS, and this client was given none; tls= is for that")


def _connected(address: Address) -> socket.socket:
    match address:
        case Tcp(host=host, port=port):
            return socket.create_connection((host or "localhost", port), _WITHIN)
        case Unix(path=path):
            peer = socket.socket(socket.AF_UNIX)
            try:
                peer.settimeout(_WITHIN)
                peer.connect(path)
            except BaseException:
                peer.close()
                raise
            return peer


def _greeting() -> bytes:
    import ssl  # by a host in plain text needed here alone

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_alpn_protocols(["h2"])
    said = ssl.MemoryBIO()
    session = context.wrap_bio(ssl.MemoryBIO(), said, server_hostname="localhost")
    with suppress(ssl.SSLWantReadError):
        session.do_handshake()
    return said.read()
