"""Connections with TLS: on grpcio's own where that can verify the peer, over a relay elsewhere. Never in plain text."""

import os
from weakref import WeakSet

from ..handshake import Address, PluginEnvironment
from ._carrier import CLOSE_WITHIN, Route
from ._inner import InnerServer
from ._listener import Listener, Network, Server, accepting, binding, listen
from ._relay import Refused, Relay, close_all, dial, serve
from ._scribe import SCRIBE
from ._target import target
from ._tls import MutualTls, OwnTls


class TlsCarrier:
    """Connections with TLS, each on a socket of its own.

    Args:
        tls: for both directions.
        refused: told of each connection that a relay refused, on the relay's thread: it must be quick.
        asked: the socket directory, group and port range, by which all sockets of one side are made.
        network: None for the usual one of the system.
    """

    def __init__(
        self, tls: MutualTls | OwnTls, refused: Refused, asked: PluginEnvironment, network: Network | None = None
    ) -> None:
        self._tls, self._refused, self._asked = tls, refused, asked
        self._network: Network | None = network
        self._grpcio = tls if isinstance(tls, MutualTls) and tls.grpcio_can else None
        self._relays: WeakSet[Relay] = WeakSet()

    def listen(self, server: Server) -> Listener:
        """Bind a server that was not started yet.

        Raises:
            HostFault, MachineFault: as ``listen`` of this package.
            MachineFault: there can be no private socket, or no thread.
            Misuse: there is no TLS context for connections that are accepted.
        """
        if self._grpcio is not None:
            return listen(binding(server, self._grpcio.grpcio_server()), self._asked, self._network)
        tls = self._tls.server
        sock, listener = accepting(self._asked, self._network)
        try:
            inner = InnerServer(server, os.environ)
        except BaseException:
            sock.close()
            listener.close()
            raise
        try:
            relay = serve(sock, inner, tls, self._refused)
        except BaseException:
            listener.close()
            raise
        self._relays.add(relay)
        listener.on_close(relay.release)
        return listener

    def route(self, address: Address) -> Route:
        """Return the way to where the other side listens.

        Raises:
            PeerRefused: the other side's host has no address.
            MachineFault: there can be no private socket, or no thread.
            Misuse: there is no TLS context for connections that are made.
        """
        if self._grpcio is not None:
            return Route(target(address), self._grpcio.grpcio_client())
        relay = dial(address, self._tls.client, self._refused)
        self._relays.add(relay)
        return Route(relay.target, close=relay.release)

    def close(self, within: float = CLOSE_WITHIN) -> None:
        """Wait until what was sent has been carried away, at most ``within`` seconds, and drop the rest."""
        close_all(self._relays, within)
        SCRIBE.finish()
