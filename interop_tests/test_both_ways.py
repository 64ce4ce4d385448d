"""Host and plugin call what the other serves over the broker, both ways, with the real go-plugin in both roles."""

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import probe_pb2
import pytest
from gohost import Order, Step, encoded, left_in_time, run_go_host
from own_tls import tls_config
from probe_pb2_grpc import ProbeServicer, ProbeStub, add_ProbeServicer_to_server
from pyhost import INTEROP
from pyplugin import every_step, probe, probe_environment
from shells import PATIENT

from goplugin import hostlib
from goplugin.handshake import PluginDialTimeout
from goplugin.hostlib import aio

SHELLS = ["sync", "aio"]
MANY = 20  # go-plugin gives each of them 5 s, fixed, and multiplexed they come one after the other
SMALL, DATA = b"many", b"x" * 300_000  # more than a window of yamux
UNSERVED = 0.3  # seconds for which our host waits for what nobody serves
Certificates = Mapping[str, Path]
Program = Callable[[str], Path]

secure = pytest.mark.parametrize(
    ("version", "security"),
    [
        *((version, security) for version in ("1.7.0", "1.8.0") for security in ("plain", "auto-mtls")),
        ("1.8.0", "own-tls"),
    ],
)
shared = pytest.mark.parametrize("multiplex", [False, True], ids=["separate", "multiplexed"])
shell = pytest.mark.parametrize("shell", SHELLS)


def of_the_plugin(security: str, certificates: Certificates) -> list[str]:
    """Return the arguments of our plugins, in Go and in Python alike."""
    return ["--tls", str(certificates["plugin"])] if security == "own-tls" else []


def run_both_ways_under_go(
    version: str, plugin: list[str], security: str, certificates: Certificates, multiplex: bool
) -> None:
    order: Order = {
        "argv": [*plugin, *of_the_plugin(security, certificates)],
        "environment": probe_environment(),
        "auto_mtls": security == "auto-mtls",
        "tls": str(certificates["host"]) if security == "own-tls" else "",
        "multiplex": multiplex,
        "steps": [
            *every_step(),
            {"op": "call_back", "count": 1, "data": encoded(DATA)},
            {"op": "call_in", "count": 1, "data": encoded(DATA)},
            {"op": "call_both", "count": MANY, "data": encoded(SMALL)},
        ],
    }
    report = left_in_time(order, version)
    assert report["started"], report["error"]
    assert [(step["op"], step["error"]) for step in report["steps"] if not step["ok"]] == []
    assert [step["result"] for step in report["steps"][-3:]] == [1, 1, 2 * MANY]
    assert [log for log in report["logs"] if "refused" in log["message"]] == []
    assert not report["kill"]["forced"]
    assert (report["exited"], report["exit_code"]) == (True, 0)


@shell
@secure
@shared
def test_a_go_host_and_a_python_plugin_call_each_other(
    version: str, shell: str, security: str, multiplex: bool, certificates: Certificates
) -> None:
    run_both_ways_under_go(version, probe("--shell", shell), security, certificates, multiplex)


@pytest.mark.parametrize(("shell", "multiplex"), [("sync", False), ("aio", False), ("aio", True)])
def test_a_python_plugin_lets_go_of_what_it_has_dialled_under_a_go_host(shell: str, multiplex: bool) -> None:
    """With AutoMTLS, where each dial has a relay of its own."""
    rounds: list[Step] = [{"op": "call_back", "count": MANY, "data": encoded(SMALL)}, {"op": "descriptors"}]
    order: Order = {
        "argv": probe("--shell", shell),
        "environment": probe_environment(),
        "auto_mtls": True,
        "multiplex": multiplex,
        "steps": rounds * 6,
    }
    report = run_go_host(order)
    assert [(step["op"], step["error"]) for step in report["steps"] if not step["ok"]] == []
    held = [step["result"] for step in report["steps"][1::2]]
    # grpcio closes in the background, so each time some of the last round may be there, and a leak grows with each.
    assert min(held[3:]) < held[0] + 2 * MANY


class Here(ProbeServicer):
    """What a Python host serves as a brokered connection. For servers of both shells."""

    def Echo(self, request: probe_pb2.EchoRequest, context: Any) -> probe_pb2.EchoResponse:
        return probe_pb2.EchoResponse(data=request.data)

    def register(self, server: Any) -> None:
        add_ProbeServicer_to_server(self, server)


def both_ways(command: list[str], **options: Any) -> None:
    """Let a plugin call the host, and the host the plugin, over brokered connections."""
    with hostlib.Client(command, INTEROP, {"probe": ProbeStub}, env=probe_environment(), **options) as client:
        stub, broker = client.dispense("probe"), client.broker

        def back(data: bytes) -> bytes:
            with broker.accept_and_serve(broker.next_id(), Here().register) as served:
                assert (served.address is None) is options["multiplex"]
                answer = stub.CallBack(probe_pb2.CallBackRequest(service_id=served.id, data=data))
                return bytes(answer.data)

        def inward(data: bytes) -> bytes:
            id = broker.next_id()
            stub.Serve(probe_pb2.ServeRequest(service_id=id))
            with broker.dial(id) as channel:
                return bytes(ProbeStub(channel).Echo(probe_pb2.EchoRequest(data=data)).data)

        assert (back(DATA), inward(DATA)) == (DATA, DATA)
        wanted = [b"%d" % number for number in range(MANY)]
        with ThreadPoolExecutor(2 * MANY) as pool:
            answers = [pool.submit(call, data) for data in wanted for call in (back, inward)]
            assert [answer.result() for answer in answers] == [data for data in wanted for _ in range(2)]
    assert client.stopped is not None
    assert client.stopped.how == "shutdown"


async def both_ways_aio(command: list[str], **options: Any) -> None:
    """The same with asyncio."""
    stubs: Any = {"probe": ProbeStub}
    async with aio.Client(command, INTEROP, stubs, env=probe_environment(), **options) as client:
        stub: Any = client.dispense("probe")
        broker = client.broker

        async def back(data: bytes) -> bytes:
            async with await broker.accept_and_serve(broker.next_id(), Here().register) as served:
                assert (served.address is None) is options["multiplex"]
                answer = await stub.CallBack(probe_pb2.CallBackRequest(service_id=served.id, data=data))
                return bytes(answer.data)

        async def inward(data: bytes) -> bytes:
            id = broker.next_id()
            await stub.Serve(probe_pb2.ServeRequest(service_id=id))
            async with await broker.dial(id) as channel:
                there: Any = ProbeStub(channel)
                return bytes((await there.Echo(probe_pb2.EchoRequest(data=data))).data)

        assert (await back(DATA), await inward(DATA)) == (DATA, DATA)
        wanted = [b"%d" % number for number in range(MANY)]
        answers = [call(data) for data in wanted for call in (back, inward)]
        assert await asyncio.gather(*answers) == [data for data in wanted for _ in range(2)]
    assert client.stopped is not None
    assert client.stopped.how == "shutdown"


def run_both_ways(host: str, command: list[str], security: str, certificates: Certificates, multiplex: bool) -> None:
    command = [*command, *of_the_plugin(security, certificates)]
    options: dict[str, Any] = {"auto_mtls": security == "auto-mtls", "multiplex": multiplex, "stop_budget": PATIENT}
    if security == "own-tls":
        options["tls"] = tls_config(certificates["host"])
    if host == "sync":
        both_ways(command, **options)
    else:
        asyncio.run(both_ways_aio(command, **options))


@shell
@secure
@shared
def test_a_python_host_and_a_go_plugin_call_each_other(
    program: Program, version: str, shell: str, security: str, multiplex: bool, certificates: Certificates
) -> None:
    run_both_ways(shell, [str(program(f"plugin-{version}"))], security, certificates, multiplex)


@shell
def test_over_tcp_go_and_python_call_each_other_with_auto_mtls_in_either_role(
    program: Program, shell: str, certificates: Certificates
) -> None:
    """Each serves its brokered connections where it would: ours on TCP, as the main one is, and Go on Unix sockets."""
    python = probe("--shell", shell, "--network", "tcp")
    run_both_ways_under_go("1.8.0", python, "auto-mtls", certificates, multiplex=False)
    run_both_ways(shell, [str(program("plugintcp-1.8.0"))], "auto-mtls", certificates, multiplex=False)


@pytest.mark.parametrize("security", ["plain", "auto-mtls"])
@pytest.mark.parametrize("network", ["unix", "tcp"])
@pytest.mark.parametrize("plugin", SHELLS)
@shell
def test_a_python_host_and_a_python_plugin_do_as_both_do_with_go(
    shell: str, plugin: str, network: str, security: str, certificates: Certificates
) -> None:
    """Over one connection; what they do over several is in tests/hostlib/test_broker.py."""
    run_both_ways(shell, probe("--shell", plugin, "--network", network), security, certificates, multiplex=True)


# What nobody serves


def nobody_in_a_go_host(shell: str, multiplex: bool) -> tuple[str, str]:
    """Return what a Go host and its Python plugin get for an id that neither serves."""
    order: Order = {
        "argv": probe("--shell", shell),
        "environment": probe_environment(),
        "multiplex": multiplex,
        "steps": [{"op": "call_nobody"}, {"op": "call_both", "count": 1, "data": encoded(SMALL)}],
    }
    nobody, afterwards = run_go_host(order)["steps"]
    assert (nobody["error"], afterwards["error"]) == ("", "")
    return nobody["result"]["host"], nobody["result"]["plugin"]


def nobody_in_a_python_host(shell: str, multiplex: bool, command: list[str]) -> tuple[str, str]:
    """Return what a Python host and its Go plugin get."""

    def told() -> tuple[str, str]:
        with hostlib.Client(command, INTEROP, {"probe": ProbeStub}, multiplex=multiplex) as client:
            stub: Any = client.dispense("probe")
            id = client.broker.next_id()
            theirs = stub.CallBack.future(probe_pb2.CallBackRequest(service_id=id))
            with pytest.raises(PluginDialTimeout) as ours:
                client.broker.dial(id, UNSERVED)
            return str(ours.value), theirs.exception(timeout=20).details()

    async def told_aio() -> tuple[str, str]:
        async with aio.Client(command, INTEROP, {"probe": ProbeStub}, multiplex=multiplex) as client:
            stub: Any = client.dispense("probe")
            id = client.broker.next_id()
            theirs = stub.CallBack(probe_pb2.CallBackRequest(service_id=id), timeout=20)
            with pytest.raises(PluginDialTimeout) as ours:
                await client.broker.dial(id, UNSERVED)
            with pytest.raises(grpc.RpcError) as failed:
                await theirs
            return str(ours.value), str(failed.value.details())

    return told() if shell == "sync" else asyncio.run(told_aio())


def test_what_nobody_serves_is_a_timeout_on_either_side_and_harms_nothing(program: Program) -> None:
    command = [str(program("plugin-1.8.0"))]
    go = {
        False: "timeout waiting for connection info",
        True: "timeout waiting for multiplexing knock handshake on id 1",
    }
    rows = [(shell, multiplex) for shell in SHELLS for multiplex in go]
    with ThreadPoolExecutor(2 * len(rows)) as pool:  # each takes go-plugin's five seconds
        under_go = [pool.submit(nobody_in_a_go_host, *row) for row in rows]
        under_python = [pool.submit(nobody_in_a_python_host, *row, command) for row in rows]
        for (_, multiplex), one, other in zip(rows, under_go, under_python, strict=True):
            host, plugin = one.result()
            assert go[multiplex] in host
            assert "the host did not serve the brokered connection 1 within 5 s" in plugin
            host, plugin = other.result()
            assert host == f"the plugin did not serve the brokered connection 1 within {UNSERVED} s"
            assert go[multiplex] in plugin
