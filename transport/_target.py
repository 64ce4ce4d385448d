"""An address as grpcio names it. Never resolves a name itself."""

from ..handshake import Address, Tcp, Unix

_DOTTED = frozenset("0123456789.")


def target(address: Address) -> str:
    """Return the target string for a grpcio channel or port; an empty TCP host is the local one, as in Go."""
    match address:
        case Unix(path=path):
            return f"unix:{path}"
        case Tcp(host="", port=port):
            return f"ipv4:127.0.0.1:{port}"
        case Tcp(host=host, port=port) if ":" in host:
            return f"ipv6:[{host}]:{port}"
        case Tcp(host=host, port=port):
            # A name goes through grpcio's resolver, whose threads a literal address does not need.
            return f"ipv4:{host}:{port}" if _DOTTED.issuperset(host) else f"dns:///{host}:{port}"
