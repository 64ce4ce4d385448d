"""Our host, both shells, with Go's plugins and with ours: everything a plugin offers."""

import logging
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import probe_pb2
import psutil
import pytest
from kv_pb2 import GetRequest, PutRequest
from kv_pb2_grpc import KVStub
from probe_pb2_grpc import ProbeStub
from pyhost import INTEROP, SHELLS, Host
from pyplugin import probe, probe_environment

from goplugin.handshake import HandshakeRefused, PluginLost, Tcp, Unix

PLUGINS = {"probe": ProbeStub, "kv": KVStub}
GO_PLUGINS = ["plugin-1.7.0", "plugin-1.8.0", "plugintcp-1.8.0"]
PYTHON_PLUGINS = [f"python-{shell}-{network}" for shell in ("sync", "aio") for network in ("unix", "tcp")]

Program = Callable[[str], Path]


class Output:
    """Collects what StreamStdio brings, and waits for it."""

    def __init__(self) -> None:
        self.data = b""

    def __call__(self, data: bytes) -> None:
        self.data += data

    def has(self, text: bytes) -> bool:
        return text in self.data


def until(condition: Callable[[], bool], tick: Callable[[], object] = lambda: None) -> bool:
    """Wait, ten seconds at most, for a condition that another thread or process brings about."""
    limit = time.monotonic() + 10
    while not condition():
        if time.monotonic() > limit:
            return False
        tick()
        time.sleep(0.005)
    return True


def command(program: Program, plugin: str) -> tuple[list[str], dict[str, str]]:
    if plugin.startswith("python-"):
        _, shell, network = plugin.split("-")
        return probe("--shell", shell, "--network", network), probe_environment()
    return [str(program(plugin))], {}


@pytest.fixture
def hosts() -> Iterator[Callable[..., Host]]:
    """Make hosts, and see to it that each is stopped and its plugin gone."""
    made: list[Host] = []

    def make(shell: str, argv: list[str], **options: Any) -> Host:
        host = SHELLS[shell](argv, options.pop("handshake", INTEROP), options.pop("plugins", PLUGINS), **options)
        made.append(host)
        return host

    yield make
    for host in made:
        pid = host.client.id
        host.stop()
        assert pid is None or not psutil.pid_exists(pid)


@pytest.mark.parametrize("auto_mtls", [False, True], ids=["plain", "auto_mtls"])
@pytest.mark.parametrize("plugin", [*GO_PLUGINS, *PYTHON_PLUGINS])
@pytest.mark.parametrize("shell", SHELLS)
def test_our_host_can_do_everything_with_a_plugin(
    shell: str,
    plugin: str,
    auto_mtls: bool,
    program: Program,
    hosts: Callable[..., Host],
    caplog: pytest.LogCaptureFixture,
) -> None:
    argv, env = command(program, plugin)
    out, err = Output(), Output()
    logger = logging.getLogger(f"test.{plugin}.{shell}")
    caplog.set_level(1)
    host = hosts(shell, argv, env=env, sync_stdout=out, sync_stderr=err, logger=logger, auto_mtls=auto_mtls)
    host.start()
    assert (host.client.line.server_cert is not None) is auto_mtls
    assert isinstance(host.client.line.address, Tcp if "tcp" in plugin else Unix)
    assert host.client.negotiated_version == 1
    assert psutil.Process(host.client.id).is_running()
    host.ping()

    kv, stub = host.dispense("kv"), host.dispense("probe")
    host.call(kv.Put, PutRequest(key="k", value=b"v"))
    assert host.call(kv.Get, GetRequest(key="k")).value == b"v"
    assert host.call(stub.Add, probe_pb2.AddRequest(a=40, b=2)).sum == 42
    # Go's plugins keep grpc-go's limit of 4 MiB for what they receive; ours take what we send.
    size = 3 * 2**20 if plugin in GO_PLUGINS else 8 * 2**20
    assert host.call(stub.Echo, probe_pb2.EchoRequest(data=b"x" * size)).data == b"x" * size
    numbers = [item.number for item in host.collect(stub.Stream, probe_pb2.StreamRequest(count=1000))]
    assert numbers == list(range(1000))
    with pytest.raises(grpc.RpcError) as failed:
        host.call(stub.Fail, probe_pb2.FailRequest(code=9, message="not now"))
    assert failed.value.code() == grpc.StatusCode.FAILED_PRECONDITION
    assert failed.value.details() == "not now"

    for channel, sink in ((probe_pb2.CHANNEL_STDOUT, out), (probe_pb2.CHANNEL_STDERR, err)):
        host.call(stub.Print, probe_pb2.PrintRequest(channel=channel, text=b"printed\n", times=3))
        assert until(partial(sink.has, b"printed\n" * 3), host.ping)
    request = probe_pb2.LogRequest(level="warn", message="look out", fields={"who": "probe"})
    host.call(stub.Log, request)
    assert until(lambda: any(r.getMessage() == "look out" for r in caplog.records), host.ping)
    (record,) = [r for r in caplog.records if r.getMessage() == "look out"]
    assert record.levelno == logging.WARNING
    assert record.name.startswith(logger.name)

    assert not host.client.exited
    stopped = host.stop()
    assert (stopped.how, stopped.exit_code, stopped.signal) == ("shutdown", 0, None)
    assert host.client.exited


@pytest.mark.parametrize("plugin", ["plugin-1.8.0", "python-sync-unix"])
@pytest.mark.parametrize("shell", SHELLS)
def test_the_highest_common_version_is_negotiated(
    shell: str, plugin: str, program: Program, hosts: Callable[..., Host]
) -> None:
    argv, env = command(program, plugin)
    offered = {2: {"kv": KVStub}, 5: {"probe": ProbeStub}, 3: PLUGINS}
    host = hosts(shell, [*argv, "--versions", "3,2,7"], plugins=None, versions=offered, env=env)
    host.start()
    assert host.client.negotiated_version == 3
    assert host.call(host.dispense("probe").Add, probe_pb2.AddRequest(a=1, b=2)).sum == 3


@pytest.mark.parametrize("plugin", ["plugin-1.8.0", "python-sync-unix", "python-aio-unix"])
@pytest.mark.parametrize("shell", SHELLS)
def test_a_plugin_without_a_common_version_is_refused_and_gone(
    shell: str, plugin: str, program: Program, hosts: Callable[..., Host]
) -> None:
    argv, env = command(program, plugin)
    host = hosts(shell, [*argv, "--versions", "7,9"], plugins=None, versions={1: PLUGINS, 2: PLUGINS}, env=env)
    with pytest.raises(HandshakeRefused) as refused:
        host.start()
    assert (refused.value.field, refused.value.got, refused.value.want) == ("protocol version", "7", "1 or 2")


@pytest.mark.parametrize("plugin", ["plugin-1.8.0", "python-sync-unix", "python-aio-unix"])
@pytest.mark.parametrize("shell", SHELLS)
def test_a_plugin_that_dies_in_a_call_is_lost_with_its_exit_code(
    shell: str, plugin: str, program: Program, hosts: Callable[..., Host]
) -> None:
    argv, env = command(program, plugin)
    host = hosts(shell, argv, env=env)
    host.start()
    with pytest.raises(PluginLost) as lost:
        host.call(host.dispense("probe").Exit, probe_pb2.ExitRequest(code=7))
    assert lost.value.exit_code == 7
    assert isinstance(lost.value, grpc.RpcError), "who catches gRPC's error must catch this one"
    assert host.client.exited


@pytest.mark.parametrize("plugin", ["plugin-1.8.0", "python-sync-unix"])
@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.fault(37)
def test_the_callers_variables_win_and_the_contracts_arrive(
    shell: str, plugin: str, program: Program, hosts: Callable[..., Host], monkeypatch: pytest.MonkeyPatch
) -> None:
    """go-plugin's own host lets inherited variables win (client.go:655); ours does what the caller said."""
    monkeypatch.setenv("BOTH", "inherited")
    monkeypatch.setenv("INHERITED", "yes")
    monkeypatch.setenv("PLUGIN_CLIENT_CERT", "of a host above us")
    argv, env = command(program, plugin)
    host = hosts(shell, argv, env={**env, "BOTH": "caller"})
    host.start()
    names = ["BOTH", "INHERITED", "INTEROP_PLUGIN", "PLUGIN_CLIENT_CERT", "PLUGIN_PROTOCOL_VERSIONS", "PLUGIN_MIN_PORT"]
    answer = host.call(host.dispense("probe").Environment, probe_pb2.EnvironmentRequest(names=names))
    assert dict(answer.variables) == {
        "BOTH": "caller",
        "INHERITED": "yes",
        "INTEROP_PLUGIN": "hello",
        "PLUGIN_PROTOCOL_VERSIONS": "1",
        "PLUGIN_MIN_PORT": "10000",
    }


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.fault(36)
def test_a_plugin_that_refuses_the_cookie_says_so_in_the_error(
    shell: str, program: Program, hosts: Callable[..., Host]
) -> None:
    for plugin in ("plugin-1.8.0", "python-sync-unix"):
        argv, env = command(program, plugin)
        host = hosts(shell, [*argv, "--cookie-value", "other"], env=env)
        with pytest.raises(PluginLost) as lost:
            host.start()
        assert lost.value.exit_code == 1
        # Word for word the same from Go's plugin and from ours.
        assert b"This binary is a plugin. These are not meant to be executed directly." in lost.value.stderr
