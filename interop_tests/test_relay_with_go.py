"""The relay between grpcio and the real go-plugin: its P-521 certificates, verified in both directions."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from gohost import Order, encoded, run_go_host
from kv_pb2 import GetRequest, PutRequest
from kv_pb2_grpc import KVStub

from goplugin.handshake import Line, PluginEnvironment
from goplugin.transport import CHANNEL_OPTIONS
from goplugin.transport.tls import Identity, MutualTls, PeerRefused, Refusal, dial, plugin_certificate

RELAYED = str(Path(__file__).parent / "plugins" / "relayed.py")
SUPPORT = str(Path(__file__).parent / "support")
VERSIONS = ["1.7.0", "1.8.0"]


def order(**more: Any) -> Order:
    made: Order = {
        "argv": [sys.executable, RELAYED],
        "environment": {"PYTHONPATH": SUPPORT},
        "auto_mtls": True,
        "steps": [
            {"op": "ping"},
            {"op": "kv_put", "key": "k", "data": encoded(b"v" * 3_000_000)},
            {"op": "kv_get", "key": "k"},
        ],
    }
    made.update(more)  # type: ignore[typeddict-item]
    return made


@pytest.mark.parametrize("version", VERSIONS)
def test_a_go_host_with_auto_mtls_trusts_a_python_plugin_and_is_verified(version: str) -> None:
    report = run_go_host(order(), version)
    assert report["started"], report["error"]
    assert [(step["op"], step["error"]) for step in report["steps"] if not step["ok"]] == []
    assert report["steps"][2]["result"] == encoded(b"v" * 3_000_000)
    assert not report["kill"]["forced"]
    assert (report["exited"], report["exit_code"]) == (True, 0)
    assert [log for log in report["logs"] if "the peer" in log["message"]] == []


@contextmanager
def go_plugin(program: Path, client: Identity) -> Generator[Line, None, None]:
    asked = PluginEnvironment(versions=(1,), client_cert=client.certificate.pem).format()
    environment = {**os.environ, **asked, "INTEROP_PLUGIN": "hello"}
    with subprocess.Popen([program], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment) as plugin:
        try:
            assert plugin.stdout is not None
            line = Line.parse(plugin.stdout.readline())
            line.check(versions=[1], auto_mtls=True)
            yield line
        finally:
            plugin.kill()


@pytest.mark.parametrize("name", ["plugin-1.7.0", "plugin-1.8.0"])
def test_grpcio_talks_to_a_go_plugin_with_auto_mtls_which_is_verified(
    program: Callable[[str], Path], name: str
) -> None:
    ours = Identity.generate(time.time())
    refused: list[PeerRefused] = []
    with go_plugin(program(name), ours) as line, ExitStack() as undo:
        assert line.server_cert is not None
        theirs = plugin_certificate(line.server_cert, time.time())
        assert theirs.curve == "P-521"
        relay = dial(line.address, MutualTls(ours, theirs).client, refused.append)
        undo.callback(relay.close)
        with grpc.insecure_channel(relay.target, CHANNEL_OPTIONS) as channel:
            store = KVStub(channel)
            value = os.urandom(3_000_000)
            store.Put(PutRequest(key="k", value=value), timeout=20)
            assert store.Get(GetRequest(key="k"), timeout=20).value == value
    assert refused == []


def test_a_go_plugin_refuses_another_host_and_we_are_told(program: Callable[[str], Path]) -> None:
    ours, stranger = Identity.generate(time.time()), Identity.generate(time.time())
    refused: list[PeerRefused] = []
    with go_plugin(program("plugin-1.8.0"), ours) as line, ExitStack() as undo:
        assert line.server_cert is not None
        theirs = plugin_certificate(line.server_cert, time.time())
        relay = dial(line.address, MutualTls(stranger, theirs).client, refused.append)
        undo.callback(relay.close)
        with grpc.insecure_channel(relay.target, CHANNEL_OPTIONS) as channel, pytest.raises(grpc.RpcError):
            KVStub(channel).Get(GetRequest(key="k"), timeout=20)
    assert refused[0].refusal is Refusal.REFUSED_US
