"""By what a client knows its plugin: AutoMTLS, or TLS of the caller's own. Loads ssl for either; never falls back."""

import logging
import socket
from collections.abc import Callable
from time import time
from typing import TYPE_CHECKING

from ..handshake import Line, PluginEnvironment, TlsRefused
from ..transport import SCRIBE, Carrier, PlainCarrier, Side, TlsConfig, network_of
from ._hclog import legible

if TYPE_CHECKING:
    import ssl

    from ..transport.tls import MutualTls, OwnTls, PeerRefused


class Security:
    """What secures the connections of one client.

    Attributes:
        leaves_tls_to_grpcio: the plugin's certificate is one that grpcio verifies itself.

    Args:
        auto_mtls: as ``Client``'s.
        own: as ``Client``'s ``tls``.
        logger: told who was refused once the plugin runs.

    Raises:
        Misuse: ``own`` is nothing that a client can use.
    """

    def __init__(self, auto_mtls: bool, own: "ssl.SSLContext | TlsConfig | None", logger: logging.Logger) -> None:
        self._auto_mtls, self._logger = auto_mtls, logger
        self._own: OwnTls | None = None
        if own is not None:
            from ..transport import tls

            self._own = tls.OwnTls(own, "dial")
        self.leaves_tls_to_grpcio = False
        self._first: PeerRefused | None = None
        self._on_refusal: Callable[[], object] | None = None

    def offer(self) -> str | None:
        """Return a new certificate (PEM) for the plugin's environment, where there is AutoMTLS."""
        if not self._auto_mtls:
            return None
        from ..transport.tls import Identity

        self._identity = Identity.generate(time())
        return self._identity.certificate.pem

    def carrier(
        self,
        line: Line,
        asked: PluginEnvironment,
        on_refusal: Callable[[], object],
        known: Callable[[socket.socket], bool] = lambda _: True,
    ) -> Carrier:
        """Return what carries all connections to the plugin that said ``line``.

        Args:
            on_refusal: called once, on any thread, if a connection is refused before ``refusal`` is asked for, or the
                one that everything is multiplexed on is lost.
            known: whether the one that everything is multiplexed on leads to the plugin; called on another thread.

        Raises:
            HandshakeRefused: its certificate is none that can be verified.
        """
        network, tls = network_of(line.address), self._tls(line)
        if asked.multiplex:
            from ..transport.multiplex import Multiplexer

            self._on_refusal, self.leaves_tls_to_grpcio = on_refusal, False
            return Multiplexer(Side.PLUGIN, asked, network, tls, self.refused, self._lost, known)
        if tls is None:
            return PlainCarrier(asked, network)
        from ..transport.tls import TlsCarrier

        self._on_refusal = on_refusal
        return TlsCarrier(tls, self.refused, asked, network)

    def refusal(self, line: Line, details: str) -> TlsRefused | None:
        """Return why there is no connection, if it is for TLS; who is refused from now on is logged.

        Args:
            line: the plugin's.
            details: what grpcio said of the first call.
        """
        self._on_refusal = None
        if self._first is not None:
            refusal = TlsRefused(str(line.address), str(self._first))
            refusal.__cause__ = self._first
            return refusal
        return TlsRefused(str(line.address), legible(details)) if self.leaves_tls_to_grpcio and details else None

    def _lost(self) -> None:
        on_refusal, self._on_refusal = self._on_refusal, None
        if on_refusal is not None:
            on_refusal()

    def _tls(self, line: Line) -> "MutualTls | OwnTls | None":
        if not self._auto_mtls:
            return self._own
        from ..transport.tls import MutualTls, plugin_certificate

        mutual = MutualTls(self._identity, plugin_certificate(line.server_cert or b"", time()))
        self.leaves_tls_to_grpcio = mutual.grpcio_can
        return mutual

    def refused(self, error: "PeerRefused") -> None:
        """Note that a connection was refused. For relays, on their thread."""
        on_refusal = self._on_refusal
        # grpcio goes on trying where nobody listens yet, as it does in plain text.
        if on_refusal is not None and not error.is_unreachable:
            self._on_refusal, self._first = None, error
            on_refusal()
        else:
            level = logging.DEBUG if error.is_loss else logging.WARNING
            SCRIBE.log(self._logger, level, "a connection was refused: %s", error)
