"""An address as grpcio names it. Never resolves a name itself."""

from ..handshake import Address, Tcp, Unix

_DOTTED = frozenset("0123456789.")
# grpcio takes a target for a URI; urllib.parse would cost a plugin's start two milliseconds.
_ESCAPES = str.maketrans({"%": "%25", "#": "%23", "?": "%3F"})


def target(address: Address) -> str:
    """Return the target string for a grpcio channel or port; an empty TCP host is the local one, as in Go."""
    match address:
        case Unix(path=path):
            return at_path(path)
        case Tcp(host="", port=port):
            return f"ipv4:127.0.0.1:{port}"
        case Tcp(host=host, port=port) if ":" in host:
            return f"ipv6:[{host}]:{port}"
        case Tcp(host=host, port=port):
            # A name goes through grpcio's resolver, whose threads a literal address does not need.
            return f"dns:///{host}:{port}" if is_name(host) else f"ipv4:{host}:{port}"


def is_name(host: str) -> bool:
    """Return whether a TCP host has to be looked up."""
    return ":" not in host and not _DOTTED.issuperset(host)


def at_path(path: str) -> str:
    """Return the same for a Unix socket at ``path``."""
    return "unix:" + path.translate(_ESCAPES)
