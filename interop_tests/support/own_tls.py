"""TLS of one's own from a folder, as our Go programs take it: ca.pem, certificate.pem and key.pem."""

import ssl
from pathlib import Path

from goplugin.hostlib import TlsConfig


def tls_config(folder: Path) -> TlsConfig:
    """Return contexts for both directions: each side must have a certificate of the authority."""
    return TlsConfig(
        accept=_context(ssl.PROTOCOL_TLS_SERVER, folder),
        dial=_context(ssl.PROTOCOL_TLS_CLIENT, folder),
    )


def _context(protocol: int, folder: Path) -> ssl.SSLContext:
    made = ssl.SSLContext(protocol)
    made.verify_mode = ssl.CERT_REQUIRED
    made.load_verify_locations(folder / "ca.pem")
    made.load_cert_chain(folder / "certificate.pem", folder / "key.pem")
    return made
