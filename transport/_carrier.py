"""How brokered and main connections are carried: the seam between gRPC and the sockets below. Starts no server.

Both sides accept and dial through one carrier, so what is true of the main connection is true of every brokered one.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, Protocol

from ..handshake import Address, PluginEnvironment
from ._listener import Bindable, Listener, Network, listen
from ._options import CHANNEL_OPTIONS
from ._target import target

if TYPE_CHECKING:
    import grpc
    import grpc.aio


def _nothing() -> None:
    """Close what needs no closing."""


class Route(NamedTuple):
    """The way from a grpcio channel to the other side.

    Attributes:
        target: as grpcio names it.
        credentials: of grpcio's own TLS, or None where grpcio is to speak plain text.
        close: removes what was made for the way, once its channel is closed; calling it twice is fine.
    """

    target: str
    credentials: "grpc.ChannelCredentials | None" = None
    close: Callable[[], None] = _nothing

    def channel(self) -> "grpc.Channel":
        """Return a new channel that goes this way; grpcio connects with its first call."""
        import grpc

        if self.credentials is None:
            return grpc.insecure_channel(self.target, CHANNEL_OPTIONS)
        return grpc.secure_channel(self.target, self.credentials, CHANNEL_OPTIONS)

    def aio_channel(self) -> "grpc.aio.Channel":
        """Return the same for asyncio."""
        from grpc import aio

        if self.credentials is None:
            return aio.insecure_channel(self.target, CHANNEL_OPTIONS)
        return aio.secure_channel(self.target, self.credentials, CHANNEL_OPTIONS)


class Carrier(Protocol):
    """The two effects that a connection needs, on either side and for either shell."""

    def listen(self, server: Bindable) -> Listener:
        """Bind a server that was not started yet."""
        ...

    def route(self, address: Address) -> Route:
        """Return the way to where the other side listens."""
        ...


class PlainCarrier:
    """Connections in plain text, each on a socket of its own.

    Args:
        asked: the socket directory, group and port range, by which all sockets of one side are made.
        network: None for the usual one of the system.
    """

    def __init__(self, asked: PluginEnvironment, network: Network | None = None) -> None:
        self._asked = asked
        self._network: Network | None = network

    def listen(self, server: Bindable) -> Listener:
        """Bind a server that was not started yet.

        Raises:
            HostFault, MachineFault: as ``listen`` of this package.
        """
        return listen(server, self._asked, self._network)

    def route(self, address: Address) -> Route:
        """Return the way to where the other side listens."""
        return Route(target=target(address))
