"""Who may connect to the plugin, and how: AutoMTLS, TLS of the author's own, multiplexed. Loads ssl for TLS only."""

import logging
from time import time
from typing import TYPE_CHECKING

from ..handshake import HostFault, PluginEnvironment
from ..transport import SCRIBE, Carrier, PlainCarrier, Side
from ._options import Options

if TYPE_CHECKING:
    from ..transport.tls import MutualTls, OwnTls, PeerRefused

_log = logging.getLogger("goplugin.pluginlib")


def secured(asked: PluginEnvironment, options: Options) -> tuple[Carrier, bytes | None]:
    """Return what carries all connections, and our certificate (DER) for the handshake line, if it goes there.

    TLS of the author's own wins over AutoMTLS (server.go:309); a host that asked for that will then not connect.
    In test mode nothing is multiplexed: hosts reattach to such a plugin, and the two do not go together.

    Raises:
        Misuse: the author's own TLS is nothing that a server can use.
    """
    tls, certificate = _tls(asked, options)
    if asked.multiplex and options.test is None:
        from ..transport.multiplex import Multiplexer

        return Multiplexer(Side.HOST, asked, options.network, tls, refused), certificate
    if tls is None:
        return PlainCarrier(asked, options.network), None
    from ..transport.tls import TlsCarrier

    return TlsCarrier(tls, refused, asked, options.network), certificate


def _tls(asked: PluginEnvironment, options: Options) -> "tuple[MutualTls | OwnTls | None, bytes | None]":
    own = options.tls
    if own is not None:
        from ..transport.tls import OwnTls

        return OwnTls(own() if callable(own) else own, "accept"), None
    if asked.client_cert is None:
        return None, None
    from ..transport.tls import Identity, MutualTls, host_certificate

    now = time()
    ours = Identity.generate(now)
    try:
        theirs = host_certificate(asked.client_cert, now)
    except HostFault as fault:
        _log.error("%s; every connection will be refused", fault)
        theirs = None  # as go-plugin, which logs this too and goes on with an empty pool (server.go:312)
    return MutualTls(ours, theirs), ours.certificate.der


def refused(error: "PeerRefused") -> None:
    """Log that a connection was refused. For relays, on their thread."""
    level = logging.DEBUG if error.is_loss else logging.WARNING
    SCRIBE.log(_log, level, "a connection was refused: %s", error, extra={"refusal": error.refusal.name.lower()})
