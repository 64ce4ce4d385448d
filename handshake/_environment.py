"""The variables by which a host tells a plugin what it wants. Formats and parses them; never looks at os.environ."""

from collections.abc import Iterable, Mapping

from ._errors import HostFault, Misuse
from ._go import go_bool, go_int
from ._negotiation import parse_versions
from ._record import record

PROTOCOL_VERSIONS = "PLUGIN_PROTOCOL_VERSIONS"
MIN_PORT = "PLUGIN_MIN_PORT"
MAX_PORT = "PLUGIN_MAX_PORT"
CLIENT_CERT = "PLUGIN_CLIENT_CERT"
UNIX_SOCKET_DIR = "PLUGIN_UNIX_SOCKET_DIR"
UNIX_SOCKET_GROUP = "PLUGIN_UNIX_SOCKET_GROUP"
MULTIPLEX_GRPC = "PLUGIN_MULTIPLEX_GRPC"

VARIABLES = frozenset(
    {PROTOCOL_VERSIONS, MIN_PORT, MAX_PORT, CLIENT_CERT, UNIX_SOCKET_DIR, UNIX_SOCKET_GROUP, MULTIPLEX_GRPC}
)
"""All of them. A plugin that is itself a host must not hand its own down to its plugins."""

_PORT_MAX = 65535


@record()
class PluginEnvironment:
    """What a host asks of a plugin, apart from the cookie.

    Attributes:
        versions: the protocol versions that the host offers, in its order, which means nothing.
        bad_versions: entries of that list that are no numbers; go-plugin skips them with a message.
        min_port, max_port: the range for a TCP listener, both included; 0 and 0 for any free port.
        client_cert: the host's certificate (PEM), where it asks for AutoMTLS.
        socket_dir: where every socket of the plugin belongs, or None for a directory of the plugin's own.
        socket_group: the group, by name or number, that may connect, or None for the owner alone.
        multiplex_understood: the host reads a seventh field (client.go:919), whatever it asks for in it.
        multiplex: the host asks for a multiplexed broker.
    """

    versions: tuple[int, ...] = ()
    bad_versions: tuple[str, ...] = ()
    min_port: int = 0
    max_port: int = 0
    client_cert: str | None = None
    socket_dir: str | None = None
    socket_group: str | None = None
    multiplex_understood: bool = False
    multiplex: bool = False

    @classmethod
    def parse(cls, environment: Mapping[str, str]) -> "PluginEnvironment":
        """Return what the host asked for; an empty variable counts as an absent one, as in Go.

        Raises:
            HostFault: a port is no number, or the range is empty (server.go:540-566).
        """
        versions, bad = parse_versions(environment.get(PROTOCOL_VERSIONS, ""))
        low, high = _port(environment, MIN_PORT), _port(environment, MAX_PORT)
        if low > high:
            raise HostFault(f"{MIN_PORT} is {low}, which is greater than {MAX_PORT}, {high}")
        multiplex = environment.get(MULTIPLEX_GRPC, "")
        return cls(
            versions=versions,
            bad_versions=bad,
            min_port=low,
            max_port=high,
            client_cert=environment.get(CLIENT_CERT) or None,
            socket_dir=environment.get(UNIX_SOCKET_DIR) or None,
            socket_group=environment.get(UNIX_SOCKET_GROUP) or None,
            multiplex_understood=bool(multiplex),
            multiplex=go_bool(multiplex) is True,
        )

    def format(self) -> dict[str, str]:
        """Return the variables that a host sets so that a plugin reads this (client.go:619-720).

        Raises:
            Misuse: the range of ports is none.
        """
        if not 0 <= self.min_port <= self.max_port <= _PORT_MAX:
            raise Misuse(f"ports must be 0 <= min <= max <= {_PORT_MAX}: got {self.min_port} and {self.max_port}")
        variables = {
            MIN_PORT: str(self.min_port),
            MAX_PORT: str(self.max_port),
            PROTOCOL_VERSIONS: ",".join(str(v) for v in self.versions),
        }
        if self.multiplex:
            variables[MULTIPLEX_GRPC] = "true"
        optional = {
            CLIENT_CERT: self.client_cert,
            UNIX_SOCKET_DIR: self.socket_dir,
            UNIX_SOCKET_GROUP: self.socket_group,
        }
        variables.update((name, value) for name, value in optional.items() if value is not None)
        return variables


def without_plugin_variables(environment: Mapping[str, str], also: Iterable[str] = ()) -> dict[str, str]:
    """Return a copy without the variables by which a host speaks to a plugin, nor those named in ``also``."""
    dropped = VARIABLES | set(also)
    return {name: value for name, value in environment.items() if name not in dropped}


def _port(environment: Mapping[str, str], name: str) -> int:
    text = environment.get(name, "")
    if not text:
        return 0
    number = go_int(text)
    if number is None or not 0 <= number <= _PORT_MAX:
        raise HostFault(f"{name} must be a port from 0 to {_PORT_MAX}, got {text!r}")
    return number
