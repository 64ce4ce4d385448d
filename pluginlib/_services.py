"""The services that every plugin has, and the names of those that its author adds. Imports no grpc."""

from ..handshake import Misuse

HEALTH = "grpc.health.v1.Health"
REFLECTION = "grpc.reflection.v1.ServerReflection"
REFLECTION_ALPHA = "grpc.reflection.v1alpha.ServerReflection"
BROKER = "plugin.GRPCBroker"
CONTROLLER = "plugin.GRPCController"
STDIO = "plugin.GRPCStdio"

RESIDENT = (HEALTH, REFLECTION, REFLECTION_ALPHA, BROKER, CONTROLLER, STDIO)
"""What grpc_client_test.go:139 finds in every plugin."""

HEALTHY = ("", "plugin")
"""The names that health knows: the whole server, and what the host's Ping asks for (grpc_server.go:25)."""


def service_of(path: str) -> str:
    """Return the service in ``/package.Service/Method``."""
    return path[1:].rpartition("/")[0]


class Directory:
    """The names of all services of one server."""

    def __init__(self) -> None:
        self._added: set[str] = set()

    def add(self, service: str) -> None:
        """Note a service of the author's.

        Raises:
            Misuse: the plugin has it already. grpcio would serve one of the two without a word; grpc-go ends the
                process.
        """
        if service in self._added:
            raise Misuse(f"the service {service} is registered twice")
        self.mention(service)

    def mention(self, service: str) -> None:
        """Note a service that may be noted already.

        Raises:
            Misuse: it is one that every plugin has.
        """
        if service in RESIDENT:
            raise Misuse(f"every plugin serves {service} already, so it must not be registered")
        self._added.add(service)

    @property
    def names(self) -> tuple[str, ...]:
        """All of them, sorted as reflection lists them."""
        return tuple(sorted({*RESIDENT, *self._added}))
