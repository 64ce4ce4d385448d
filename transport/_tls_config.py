"""TLS of one's own, in place of AutoMTLS: what a plugin or a host is given. Imports no ssl, and judges nothing."""

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import ssl

SERVER_NAME = "localhost"  # in every certificate of AutoMTLS (mtls.go:33); go-plugin's clients verify it


class TlsConfig(NamedTuple):
    """The contexts for connections in both directions, as ``tls.Config`` in Go serves for both.

    The main connection is made by the host and accepted by the plugin. Brokered connections go either way, and each
    side serves and dials them with what it has here; a direction that has no context is refused, never left in plain
    text. The versions of TLS are those that a context allows; its ALPN protocols become ``h2`` alone.

    Attributes:
        accept: made with ``ssl.PROTOCOL_TLS_SERVER``. Whether the other side must present a certificate is its
            ``verify_mode``.
        dial: made with ``ssl.PROTOCOL_TLS_CLIENT``; it must verify the server (``ssl.CERT_REQUIRED``).
        server_name: what the certificate of the other side's servers must name, where ``dial.check_hostname`` is set.
    """

    accept: "ssl.SSLContext | None" = None
    dial: "ssl.SSLContext | None" = None
    server_name: str = SERVER_NAME
