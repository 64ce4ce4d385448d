"""What the real go-plugin says to a host that it does not know. What it says to its own is in test_python_host.py."""

import os
import subprocess
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import grpc
import pytest
from kv_pb2 import GetRequest
from kv_pb2_grpc import KVStub

from goplugin.handshake import Line, PluginEnvironment
from goplugin.transport import CHANNEL_OPTIONS
from goplugin.transport.tls import Identity, MutualTls, PeerRefused, Refusal, dial, plugin_certificate


@contextmanager
def go_plugin(program: Path, client: Identity, sockets: Path) -> Generator[Line, None, None]:
    asked = PluginEnvironment(versions=(1,), client_cert=client.certificate.pem, socket_dir=str(sockets)).format()
    environment = {**os.environ, **asked, "INTEROP_PLUGIN": "hello"}
    with subprocess.Popen([program], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment) as plugin:
        try:
            assert plugin.stdout is not None
            line = Line.parse(plugin.stdout.readline())
            line.check(versions=[1], auto_mtls=True)
            yield line
        finally:
            plugin.kill()


def test_a_go_plugin_refuses_another_host_and_we_are_told(program: Callable[[str], Path], tmp_path: Path) -> None:
    ours, stranger = Identity.generate(time.time()), Identity.generate(time.time())
    refused: list[PeerRefused] = []
    with go_plugin(program("plugin-1.8.0"), ours, tmp_path) as line, ExitStack() as undo:
        assert line.server_cert is not None
        theirs = plugin_certificate(line.server_cert, time.time())
        relay = dial(line.address, MutualTls(stranger, theirs).client, refused.append)
        undo.callback(relay.close)
        with grpc.insecure_channel(relay.target, CHANNEL_OPTIONS) as channel, pytest.raises(grpc.RpcError):
            KVStub(channel).Get(GetRequest(key="k"), timeout=20)
    assert refused[0].refusal is Refusal.REFUSED_US
