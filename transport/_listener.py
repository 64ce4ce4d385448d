"""Where a plugin listens: chooses the address as the host asked and binds grpcio to it. Never starts the server."""

import os
import socket
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Literal, Protocol

from ..handshake import Address, HostFault, MachineFault, PluginEnvironment, Tcp, Unix
from ._sockets import PrivateDirectory, share_with, socket_path
from ._target import target

Network = Literal["unix", "tcp"]
_LOOPBACK = "127.0.0.1"


class Bindable(Protocol):
    """What both of grpcio's servers, ``grpc.Server`` and ``grpc.aio.Server``, have in common here."""

    def add_insecure_port(self, address: str) -> int: ...


class Listener:
    """An address at which a server accepts. ``close`` removes what was made for it; the server is the caller's."""

    def __init__(self, address: Address, undo: ExitStack) -> None:
        self.address, self._undo = address, undo

    def close(self) -> None:
        """Remove the socket, and its directory where it was ours. Closing twice is fine."""
        self._undo.close()


def default_network() -> Network:
    """Return ``"tcp"`` on Windows, where grpcio has no Unix sockets, and ``"unix"`` elsewhere, as go-plugin does."""
    return "tcp" if sys.platform == "win32" else "unix"


def network_of(address: Address) -> Network:
    """Return the network of an address."""
    return "tcp" if isinstance(address, Tcp) else "unix"


def listen(
    server: Bindable,
    asked: PluginEnvironment,
    network: Network | None = None,
    environment: Mapping[str, str] | None = None,
) -> Listener:
    """Bind ``server`` where the host asked for it.

    Args:
        server: not yet started.
        asked: the socket directory, group and port range of the host.
        network: None for the usual one of the system.
        environment: where TMPDIR is looked up; os.environ unless given.

    Raises:
        HostFault: the directory, the group or the range of ports that the host named cannot be used.
        MachineFault: no directory for a socket can be made, or the socket cannot be bound.
    """
    if (network or default_network()) == "tcp":
        return Listener(_bind_tcp(server, asked.min_port, asked.max_port), ExitStack())
    with ExitStack() as undo:
        directory = asked.socket_dir
        if directory is None:
            own = PrivateDirectory(os.environ if environment is None else environment, asked.socket_group)
            undo.callback(own.close)
            directory = own.path
        address = socket_path(directory)
        _bind_unix(server, address)
        undo.callback(_remove, address.path)
        if asked.socket_group is not None:
            share_with(address.path, asked.socket_group)
        else:
            os.chmod(address.path, 0o600)
        return Listener(address, undo.pop_all())


def _bind_unix(server: Bindable, address: Unix) -> None:
    try:
        server.add_insecure_port(target(address))
    except RuntimeError as error:  # all that grpcio says of a failed bind
        raise MachineFault(f"cannot listen at {address.path!r}: {error}") from None


def _bind_tcp(server: Bindable, low: int, high: int) -> Tcp:
    for port in range(low, high + 1):
        if port and _is_taken(port):
            continue
        # Only this bind counts: grpcio listens on the very port that it reports, and one lost since the look is passed.
        try:
            return Tcp(_LOOPBACK, server.add_insecure_port(f"{_LOOPBACK}:{port}"))
        except RuntimeError:
            continue
    raise HostFault(f"no free port from PLUGIN_MIN_PORT {low} to PLUGIN_MAX_PORT {high} on {_LOOPBACK}")


def _is_taken(port: int) -> bool:
    """Look before grpcio tries, for it complains on stderr about every port that it cannot have."""
    with socket.socket() as probe:
        if os.name == "posix":  # as grpcio's own: a port whose last connections are just closing is free
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_LOOPBACK, port))
        except OSError:
            return True
    return False


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass  # grpcio removes the socket itself when the server stops
