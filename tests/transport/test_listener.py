"""Where a plugin listens."""

import os
import socket
import stat
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path

import grpc
import pytest

from goplugin.handshake import HostFault, MachineFault, PluginEnvironment, Tcp, Unix
from goplugin.transport import CHANNEL_OPTIONS, SERVER_OPTIONS, Workers, binding, default_network, listen, target


@pytest.fixture
def server() -> Iterator[grpc.Server]:
    with futures.ThreadPoolExecutor(1) as pool:
        server = grpc.server(pool, options=SERVER_OPTIONS)
        yield server
        server.stop(None).wait(5)


def unused(_: object) -> int:
    """Bind nothing: where it must not come to that, or nobody is to connect."""
    return 0


def mode(path: str) -> int:
    return stat.S_IMODE(os.stat(path).st_mode)


def connects(server: grpc.Server, address: Unix | Tcp) -> bool:
    server.start()
    with grpc.insecure_channel(target(address), options=CHANNEL_OPTIONS) as channel:
        grpc.channel_ready_future(channel).result(timeout=10)
    return True


@pytest.mark.fault(30)
def test_without_a_wish_the_socket_lies_in_a_directory_of_its_owners_alone(server: grpc.Server, sockets: Path) -> None:
    listener = listen(binding(server), PluginEnvironment(), environment={"TMPDIR": str(sockets)})
    assert isinstance(listener.address, Unix)
    directory = os.path.dirname(listener.address.path)
    assert os.path.dirname(directory) == str(sockets)
    assert (mode(directory), mode(listener.address.path)) == (0o700, 0o600)
    assert connects(server, listener.address)
    server.stop(None).wait(5)
    listener.close()
    listener.close()
    assert list(sockets.iterdir()) == []


def test_the_hosts_directory_is_used_and_kept(server: grpc.Server, tmp_path: Path) -> None:
    listener = listen(binding(server), PluginEnvironment(socket_dir=str(tmp_path)))
    assert isinstance(listener.address, Unix)
    assert os.path.dirname(listener.address.path) == str(tmp_path)
    assert connects(server, listener.address)
    listener.close()
    assert list(tmp_path.iterdir()) == []


def test_a_group_may_use_the_socket_and_the_directory_that_was_made_for_it(server: grpc.Server, tmp_path: Path) -> None:
    group = str(os.getgid())
    listener = listen(binding(server), PluginEnvironment(socket_group=group), environment={"TMPDIR": str(tmp_path)})
    assert isinstance(listener.address, Unix)
    directory = os.path.dirname(listener.address.path)
    assert (mode(directory), mode(listener.address.path)) == (0o770, 0o660)
    assert connects(server, listener.address)
    listener.close()


def test_a_directory_or_group_that_is_not_there_is_the_hosts_fault(tmp_path: Path) -> None:
    with pytest.raises(HostFault, match="PLUGIN_UNIX_SOCKET_DIR names no directory"):
        listen(unused, PluginEnvironment(socket_dir=str(tmp_path / "absent")))
    with pytest.raises(HostFault, match="PLUGIN_UNIX_SOCKET_GROUP names no group: 'no such group'"):
        listen(unused, PluginEnvironment(socket_group="no such group"), environment={"TMPDIR": str(tmp_path)})
    deep = tmp_path / ("d" * 100)
    deep.mkdir()
    with pytest.raises(HostFault, match="would exceed"):
        listen(unused, PluginEnvironment(socket_dir=str(deep)))
    deep.rmdir()
    assert list(tmp_path.iterdir()) == []


def test_a_path_that_cannot_be_bound_is_the_machines_fault(tmp_path: Path) -> None:
    with pytest.raises(MachineFault, match="cannot make a directory for sockets in TMPDIR"):
        listen(unused, PluginEnvironment(), environment={"TMPDIR": str(tmp_path / "absent")})


def test_tcp_takes_the_first_free_port_of_the_range(server: grpc.Server) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        low = taken.getsockname()[1]
        listener = listen(binding(server), PluginEnvironment(min_port=low, max_port=low + 20), "tcp")
        assert isinstance(listener.address, Tcp)
        assert low < listener.address.port <= low + 20
        assert connects(server, listener.address)
        listener.close()


@pytest.mark.fault(29)
def test_a_range_that_is_full_is_the_hosts_fault_and_a_port_is_never_shared(
    server: grpc.Server, capfd: pytest.CaptureFixture[str]
) -> None:
    first = listen(binding(server), PluginEnvironment(), "tcp")
    assert isinstance(first.address, Tcp)
    port = first.address.port
    other = grpc.server(Workers(1, "other"), options=SERVER_OPTIONS)
    with pytest.raises(HostFault, match=f"no free port from PLUGIN_MIN_PORT {port}"):
        listen(binding(other), PluginEnvironment(min_port=port, max_port=port), "tcp")
    for one in (server, other):
        one.start()  # grpcio frees no server that never ran
    other.stop(None).wait(5)
    assert capfd.readouterr().err == ""


def test_the_usual_network_is_go_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    assert default_network() == "unix"
    monkeypatch.setattr("sys.platform", "win32")
    assert default_network() == "tcp"
