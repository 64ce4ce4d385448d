"""Where a plugin listens: a Unix socket or a TCP port. Parses and formats; never resolves, binds or connects."""

import re

from ._errors import HandshakeRefused, Misuse
from ._record import record

UNIX_PATH_MAX = 107  # sun_path holds 108 bytes with its NUL on Linux; macOS stops at 103, see transport
_PORT = re.compile(r"[0-9]{1,5}", re.ASCII)
_PORT_MAX = 65535
_CONTROL = re.compile(r"[\x00-\x1f\x7f|]")


@record(kw_only=False)
class Unix:
    """A Unix socket.

    Raises:
        Misuse: the path is empty, longer than 107 bytes, or has a character that a handshake line cannot carry.
    """

    path: str

    network = "unix"

    def __post_init__(self) -> None:
        size = len(self.path.encode("utf-8", "surrogateescape"))
        if not 0 < size <= UNIX_PATH_MAX:
            raise Misuse(f"a Unix socket path has 1 to {UNIX_PATH_MAX} bytes, this one has {size}: {self.path!r}")
        if _CONTROL.search(self.path):
            raise Misuse(f"a Unix socket path may hold neither '|' nor control characters: {self.path!r}")

    def __str__(self) -> str:
        return self.path


@record(kw_only=False)
class Tcp:
    """A TCP port. ``host`` may be empty, as Go writes the address of every interface: ``:1234``.

    Raises:
        Misuse: the port is out of range, or the host has a character that a handshake line cannot carry.
    """

    host: str
    port: int

    network = "tcp"

    def __post_init__(self) -> None:
        if not 0 <= self.port <= _PORT_MAX:
            raise Misuse(f"a TCP port is 0 to {_PORT_MAX}, this one is {self.port}")
        if _CONTROL.search(self.host) or any(c in self.host for c in " []"):
            raise Misuse(f"a TCP host may hold no blank, bracket, '|' or control character: {self.host!r}")

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


Address = Unix | Tcp


def parse_address(network: str, text: str) -> Address:
    """Return the address that fields 3 and 4 of the line name (client.go:877-890).

    Raises:
        HandshakeRefused: the network is neither ``unix`` nor ``tcp``, or the address is not one of that network.
    """
    match network:
        case "unix":
            try:
                return Unix(text)
            except Misuse as error:
                want = f"a socket path of 1 to {UNIX_PATH_MAX} bytes"
                raise HandshakeRefused(field="address", got=text, want=want, hint=str(error)) from None
        case "tcp":
            host, colon, port = text.rpartition(":")
            bracketed = host.startswith("[") and host.endswith("]")
            bare = host[1:-1] if bracketed else host
            if colon and _PORT.fullmatch(port) and bracketed == (":" in bare):
                try:
                    return Tcp(bare, int(port))
                except Misuse:
                    pass  # said below, with the text as it came
            raise HandshakeRefused(field="address", got=text, want=f"host:port with a port up to {_PORT_MAX}")
        case _:
            raise HandshakeRefused(field="network", got=network, want='"unix" or "tcp"')
