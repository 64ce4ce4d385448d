"""Where one side listens: chooses the address as the host asked, and has it bound. Never starts a server."""

import os
import socket
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Literal, Protocol

from ..handshake import Address, HostFault, MachineFault, PluginEnvironment, Tcp, Unix
from ._sockets import PrivateDirectory, share_with, socket_path
from ._target import target

if TYPE_CHECKING:
    import grpc

Network = Literal["unix", "tcp"]
Bind = Callable[[Address], int]
"""Listens at an address and returns its port, whatever that means for a Unix socket; RuntimeError where it cannot."""

_LOOPBACK = "127.0.0.1"
_BACKLOG = 128


class Bindable(Protocol):
    """What can listen in plain text, as grpcio's servers can."""

    def add_insecure_port(self, address: str) -> int: ...


class Server(Bindable, Protocol):
    """What both of grpcio's servers, ``grpc.Server`` and ``grpc.aio.Server``, have in common here."""

    def add_secure_port(self, address: str, server_credentials: "grpc.ServerCredentials") -> int: ...


def binding(server: Server, credentials: "grpc.ServerCredentials | None" = None) -> Bind:
    """Return what binds a server of grpcio's that was not started yet; in plain text where there are no credentials."""

    def bind(address: Address) -> int:
        # A server takes no "ipv4:", as a channel does.
        place = str(address) if isinstance(address, Tcp) else target(address)
        return server.add_insecure_port(place) if credentials is None else server.add_secure_port(place, credentials)

    return bind


class Listener:
    """An address at which a server accepts. ``close`` removes what was made for it; the server is the caller's."""

    def __init__(self, address: Address, undo: ExitStack) -> None:
        self.address, self._undo = address, undo

    def on_close(self, close: Callable[[], object]) -> None:
        """Call ``close`` first when it is closed."""
        self._undo.callback(close)

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
    bind: Bind,
    asked: PluginEnvironment,
    network: Network | None = None,
    environment: Mapping[str, str] | None = None,
) -> Listener:
    """Listen where the host asked for it.

    Args:
        bind: does it.
        asked: the socket directory, group and port range of the host.
        network: None for the usual one of the system.
        environment: where TMPDIR is looked up; os.environ unless given.

    Raises:
        HostFault: the directory, the group or the range of ports that the host named cannot be used.
        MachineFault: no directory for a socket can be made, or the socket cannot be bound.
    """
    if (network or default_network()) == "tcp":
        return Listener(_bind_tcp(bind, asked.min_port, asked.max_port), ExitStack())
    with ExitStack() as undo:
        directory = asked.socket_dir
        if directory is None:
            own = PrivateDirectory(os.environ if environment is None else environment, asked.socket_group)
            undo.callback(own.close)
            directory = own.path
        address = socket_path(directory)
        _bind_unix(bind, address)
        undo.callback(_remove, address.path)
        if asked.socket_group is not None:
            share_with(address.path, asked.socket_group)
        else:
            os.chmod(address.path, 0o600)
        return Listener(address, undo.pop_all())


def accepting(asked: PluginEnvironment, network: Network | None = None) -> tuple[socket.socket, Listener]:
    """Listen where the host asked for it with a socket of our own, which is the caller's to close.

    Raises:
        HostFault, MachineFault: as ``listen``.
    """
    socks: list[socket.socket] = []

    def bind(address: Address) -> int:
        try:
            sock = listening(address)
        except OSError as error:
            raise RuntimeError(error.strerror) from error
        socks.append(sock)
        return 0 if sock.family == socket.AF_UNIX else int(sock.getsockname()[1])

    listener = listen(bind, asked, network)
    return socks[-1], listener


def listening(address: Address) -> socket.socket:
    """Return a socket that listens at an address.

    Raises:
        OSError: the address cannot be had.
    """
    unix = isinstance(address, Unix)
    with ExitStack() as undo:
        sock = undo.enter_context(socket.socket(socket.AF_UNIX if unix else socket.AF_INET))
        if not unix and os.name == "posix":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address.path if isinstance(address, Unix) else (address.host or _LOOPBACK, address.port))
        sock.listen(_BACKLOG)
        undo.pop_all()
        return sock


def _bind_unix(bind: Bind, address: Unix) -> None:
    try:
        bind(address)
    except RuntimeError as error:  # all that grpcio says of a failed bind
        raise MachineFault(f"cannot listen at {address.path!r}: {error}") from None


def _bind_tcp(bind: Bind, low: int, high: int) -> Tcp:
    for port in range(low, high + 1):
        if port and _is_taken(port):
            continue
        # Only this bind counts: grpcio listens on the very port that it reports, and one lost since the look is passed.
        try:
            return Tcp(_LOOPBACK, bind(Tcp(_LOOPBACK, port)))
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
