"""Clients that are not the plugin's host, each a real one: none gets a word of gRPC, and the host is served on."""

import os
import time
from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import grpc
import psutil
import pytest
from attackers import EXPIRED, Reach, attack, reach, reach_inside, repelled, signed
from brokering import asked
from foreign_certificates import Foreign
from key_files import Watch
from leftovers import nothing_left as nothing_left
from leftovers import warm_grpc as warm_grpc
from other_users import intrude, users
from plugin_process import PATIENCE, PluginProcess, call, do, open_broker

from goplugin.handshake import Address, PluginEnvironment, parse_address
from goplugin.proto import plugin
from goplugin.transport import Carrier, Side
from goplugin.transport.multiplex import Multiplexer
from goplugin.transport.tls import MutualTls, PeerRefused, TlsCarrier, plugin_certificate

# On P-521 the plugin has a relay, as with a Go host; on P-256 grpcio's own TLS. Multiplexed it has one in any case.
HOSTS = {curve: Foreign.make(curve) for curve in ("P-521", "P-256")}
MULTIPLEXED = {"PLUGIN_MULTIPLEX_GRPC": "true"}


@pytest.fixture(params=["sync", "aio"])
def shell(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@contextmanager
def secured(
    shell: str, certificate: str, network: str = "unix", *arguments: str, **options: Any
) -> Generator[PluginProcess]:
    """Start a plugin for the host of that certificate (PEM)."""
    env = {"PLUGIN_CLIENT_CERT": certificate} | options.pop("env", {})
    with PluginProcess("--shell", shell, "--network", network, *arguments, env=env, **options) as process:
        yield process.ready()


@contextmanager
def carried(process: PluginProcess, host: Foreign) -> Generator[Carrier]:
    """Connect as the plugin's host does, which is refused nothing."""
    refused: list[PeerRefused] = []
    assert process.line.server_cert is not None
    tls = MutualTls(host.identity, plugin_certificate(process.line.server_cert, time.time()))
    carrier: Carrier
    if process.line.multiplex is None:
        carrier = TlsCarrier(tls, refused.append, PluginEnvironment())
    else:
        carrier = Multiplexer(Side.PLUGIN, PluginEnvironment(), tls=tls, refused=refused.append)
    with closing(carrier):
        yield carrier
    assert refused == []


@contextmanager
def channel_to(address: Address, carrier: Carrier) -> Generator[grpc.Channel]:
    route = carrier.route(address)
    try:
        with route.channel() as channel:
            yield channel
    finally:
        route.close()


@contextmanager
def connected(process: PluginProcess, host: Foreign) -> Generator[grpc.Channel]:
    """Connect to the main server as the plugin's host."""
    with carried(process, host) as carrier, channel_to(process.line.address, carrier) as channel:
        yield channel


@pytest.mark.parametrize("network", ["unix", "tcp"])
@pytest.mark.parametrize("curve", HOSTS)
def test_nobody_but_the_host_gets_a_word_and_the_host_is_served_on(shell: str, curve: str, network: str) -> None:
    """On the main connection, and on a brokered one."""
    host = HOSTS[curve]
    with (
        secured(shell, host.pem, network, "--broker") as process,
        carried(process, host) as carrier,
        channel_to(process.line.address, carrier) as channel,
    ):
        stream = open_broker(channel)
        told = next(stream)
        brokered = parse_address(told.network, told.address)
        for address in (process.line.address, brokered):
            assert repelled(address, host)
            if curve == "P-521":  # of such a child grpcio would take any, but only the host itself can make them
                assert attack(reach(address), signed(host)) == b""
        assert do(channel, "pids")[0] == process.process.pid
        with channel_to(brokered, carrier) as another:
            assert asked(another)(b"the host", timeout=PATIENCE) == b"plugin the host"
        call(channel, plugin.SHUTDOWN)(plugin.Empty(), timeout=PATIENCE)
        assert process.wait() == 0
        stream.cancel()  # not before: without it the plugin leaves by itself
    said = process.stderr().decode()
    if curve == "P-521":
        for reason in ("no_certificate", "other_certificate", "no_tls"):
            assert f'"refusal": "{reason}"' in said
    else:
        assert "PEER_DID_NOT_RETURN_A_CERTIFICATE" in said
        assert "CERTIFICATE_VERIFY_FAILED" in said


@pytest.mark.parametrize("curve", HOSTS)
def test_nobody_but_the_host_gets_a_word_inside_of_a_multiplexed_connection(shell: str, curve: str) -> None:
    """Not before the host has come, nor afterwards, when no other connection is taken."""
    host = HOSTS[curve]
    with secured(shell, host.pem, env=MULTIPLEXED) as process:
        address = process.line.address
        assert repelled(address, host, reach_inside)
        assert attack(reach_inside(address), signed(host)) == b""
        with connected(process, host) as channel:
            assert do(channel, "pids")[0] == process.process.pid
            assert repelled(address, host, reach_inside)
            assert attack(reach_inside(address), host) == b""
            assert do(channel, "pids")[0] == process.process.pid
            call(channel, plugin.SHUTDOWN)(plugin.Empty(), timeout=PATIENCE)
            assert process.wait() == 0
    said = process.stderr().decode()
    for reason in ("no_certificate", "other_certificate", "no_tls"):
        assert f'"refusal": "{reason}"' in said


@pytest.mark.parametrize(
    ("certificate", "env", "to"),
    [
        ("garbage", {}, reach),
        ("garbage", MULTIPLEXED, reach_inside),
        (HOSTS["P-521"].pem * 2, {}, reach),
        (EXPIRED.pem, {}, reach),
    ],
    ids=["garbage", "multiplexed", "two", "expired"],
)
def test_with_garbage_for_the_hosts_certificate_everybody_is_refused(
    shell: str, certificate: str, env: dict[str, str], to: Reach
) -> None:
    """What go-plugin does, too: it logs an error, and serves with an empty pool."""
    with secured(shell, certificate, env=env) as process:
        assert process.line.server_cert is not None
        assert repelled(process.line.address, HOSTS["P-521"], to)
        assert attack(to(process.line.address), HOSTS["P-521"]) == b""
        process.process.terminate()
        assert process.wait() == 0
    errors = [record["@message"] for record in process.records() if record["@level"] == "error"]
    assert len(errors) == 1
    assert errors[0].startswith("PLUGIN_CLIENT_CERT must be one certificate in PEM, but it ")


@pytest.mark.parametrize("curve", HOSTS)
def test_no_private_key_is_ever_in_a_file(shell: str, curve: str, nothing_left: str, tmp_path: Path) -> None:
    """Looked for where a plugin could put one, and whatever it opens to write to is noted all along."""
    watch, host = Watch(tmp_path), HOSTS[curve]
    with secured(shell, host.pem, env=watch.env, cwd=watch.here) as process, connected(process, host) as channel:
        assert do(channel, "pids")
        assert watch.keys(nothing_left, process.socket.parent) == []
        process.process.terminate()
        assert process.wait() == 0
    assert watch.keys(nothing_left) == []
    assert watch.written() == set()


@pytest.mark.parametrize(("victim", "attacker"), users())
def test_no_other_process_gets_to_grpcio_behind_the_relay(
    shell: str, victim: int, attacker: int, nothing_left: str
) -> None:
    """Neither through a path, nor through what the kernel lists, nor through the plugin's own descriptors."""
    os.chown(nothing_left, victim, -1)
    os.chmod(nothing_left, 0o755)  # so that no directory of the test is what protects
    host = HOSTS["P-521"]
    user = {"TEST_UID": str(victim)}
    with (
        secured(shell, host.pem, program="as_user.py", env=user) as process,
        connected(process, host) as channel,
    ):
        assert do(channel, "pids")
        assert intrude(attacker, nothing_left, process.process.pid, process.socket) in {"[]", "['a closed door']"}
        assert do(channel, "pids")
        process.process.terminate()
        assert process.wait() == 0


@pytest.mark.skipif(os.getuid() != 0, reason="only the superuser can play two users")
def test_without_tls_a_unix_socket_keeps_other_users_out_and_its_own_not(shell: str, nothing_left: str) -> None:
    (_, own), (victim, other) = users()
    os.chown(nothing_left, victim, -1)
    os.chmod(nothing_left, 0o755)
    env = {"TEST_UID": str(victim)}
    with PluginProcess("--shell", shell, "--broker", program="as_user.py", env=env) as process:
        process.ready()
        assert intrude(own, nothing_left, process.process.pid) != "[]"
        assert intrude(other, nothing_left, process.process.pid) == "[]"
        assert process.do("pids")


@pytest.mark.parametrize(("shell", "env"), [("sync", {}), ("aio", {"PLUGIN_CLIENT_CERT": HOSTS["P-521"].pem})])
def test_on_tcp_nothing_listens_where_the_network_gets_to(shell: str, env: dict[str, str]) -> None:
    with PluginProcess("--shell", shell, "--network", "tcp", "--broker", env=env) as process:
        process.ready()
        found = psutil.Process(process.process.pid).net_connections("inet")
        places = [(one.status, one.laddr.ip.removeprefix("::ffff:")) for one in found]  # so grpcio binds it
        assert places == [(psutil.CONN_LISTEN, "127.0.0.1")] * 2
