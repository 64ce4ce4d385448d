"""How brokered and main connections are carried: the seam between gRPC and the sockets below. Starts no server.

Both sides accept and dial through one carrier, so what is true of the main connection is true of every brokered one.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, Protocol, runtime_checkable

from ..handshake import Address, GoPluginError, PluginEnvironment
from ._broker import Knock
from ._listener import Listener, Network, Server, binding, listen
from ._options import CHANNEL_OPTIONS
from ._target import target

if TYPE_CHECKING:
    import grpc
    import grpc.aio


CLOSE_WITHIN = 1.0  # seconds; a peer that runs needs milliseconds to take its last bytes


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
    """The effects that a connection needs, on either side and for either shell."""

    def listen(self, server: Server) -> Listener:
        """Bind a server that was not started yet."""
        ...

    def route(self, address: Address) -> Route:
        """Return the way to where the other side listens."""
        ...

    def close(self, within: float = CLOSE_WITHIN) -> None:
        """Wait until what was sent has been carried away, and let go of everything. Closing twice is fine.

        To be called when servers have stopped and channels are closed.

        Args:
            within: seconds to wait; the rest is dropped then.
        """
        ...


class Dialling(Protocol):
    """A brokered connection that is being made; the shell waits until it is woken."""

    def route(self) -> Route:
        """Return the way that was made, or raise why there is none."""
        ...

    def leave(self) -> None:
        """Wait for it no more."""
        ...


@runtime_checkable
class Multiplexing(Carrier, Protocol):
    """A carrier of which all connections share one, so that brokered servers have no addresses to announce."""

    @property
    def loss(self) -> GoPluginError | None:
        """Why there is no connection any more, nor will be; None as long as there may be."""
        ...

    def check(self) -> None:
        """Raise such a loss."""
        ...

    def attach(self, tell: Callable[[Knock], object]) -> None:
        """Send knocks, and answers to them, with ``tell``, from any thread."""
        ...

    def told(self, knock: Knock) -> None:
        """Note what came from the other side."""
        ...

    def part(self, error: GoPluginError) -> None:
        """Note that knocks are answered no more, for this reason."""
        ...

    def accept(self, id: int, server: Server) -> Callable[[], None]:
        """Let the other side in to a server that was not started yet, until what is returned is called."""
        ...

    def dial(self, id: int, seconds: float, wake: Callable[[], object]) -> Dialling:
        """Begin to make a connection; call ``wake``, from any thread, when there is one or will be none."""
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

    def listen(self, server: Server) -> Listener:
        """Bind a server that was not started yet.

        Raises:
            HostFault, MachineFault: as ``listen`` of this package.
        """
        return listen(binding(server), self._asked, self._network)

    def route(self, address: Address) -> Route:
        """Return the way to where the other side listens."""
        return Route(target=target(address))

    def close(self, within: float = CLOSE_WITHIN) -> None:
        """Do nothing: grpcio's sockets are its own."""
