"""Plugins that nobody here wrote under both shells of our host: go-plugin's examples, and crowdsec's on 1.0.1."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from kv_pb2 import GetRequest, PutRequest
from kv_pb2_grpc import KVStub
from pyhost import SHELLS
from streamer_pb2 import Configure, Read, Write
from streamer_pb2_grpc import StreamerServiceStub

from goplugin.handshake import Handshake, HandshakeRefused

BASIC = Handshake(cookie_key="BASIC_PLUGIN", cookie_value="hello")
Program = Callable[[str], Path]


@pytest.fixture(params=SHELLS)
def host(request: pytest.FixtureRequest) -> Any:
    return SHELLS[request.param]


def test_go_plugins_kv_example(host: Any, program: Program, tmp_path: Path) -> None:
    client = host([str(program("example-kv-plugin"))], BASIC, {"kv_grpc": KVStub}, cwd=tmp_path)
    client.start()
    try:
        kv = client.dispense("kv_grpc")
        client.call(kv.Put, PutRequest(key="hello", value=b"world"))
        assert client.call(kv.Get, GetRequest(key="hello")).value.startswith(b"world")
        assert b"Written from plugin" in (tmp_path / "kv_hello").read_bytes()
        with pytest.raises(grpc.RpcError, match="no such file"):
            client.call(kv.Get, GetRequest(key="nothing"))
    finally:
        assert client.stop().how == "shutdown"


def test_go_plugins_streaming_example(
    host: Any, program: Program, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    client = host([str(program("example-streaming-plugin"))], BASIC, {"streamer": StreamerServiceStub})
    client.start()
    try:
        streamer = client.dispense("streamer")
        client.call(streamer.Configure, Configure.Request(path=str(tmp_path / "data"), chunk_size=4))
        chunks = [Write.RequestChunk(bytes_to_write=text) for text in (b"one ", b"two ", b"three")]
        client.call(streamer.Write, iter(chunks))
        read = client.collect(streamer.Read, Read.Request())
        assert b"".join(chunk.read_bytes for chunk in read) == b"one two three"
        assert (tmp_path / "data").read_bytes() == b"one two three"
    finally:
        assert client.stop().how == "shutdown"
        caplog.clear()  # its Write sends no answer, which grpc.aio logs with a traceback that holds on to the client


def test_go_plugins_negotiated_example_serves_grpc_as_version_3(host: Any, program: Program, tmp_path: Path) -> None:
    argv = [str(program("example-negotiated-plugin"))]
    client = host(argv, BASIC, None, versions={3: {"kv": KVStub}, 9: {"kv": KVStub}}, cwd=tmp_path)
    client.start()
    try:
        assert client.client.negotiated_version == 3
        kv = client.dispense("kv")
        client.call(kv.Put, PutRequest(key="k", value=b"v"))
        assert client.call(kv.Get, GetRequest(key="k")).value.startswith(b"v")
    finally:
        client.stop()


def test_a_net_rpc_plugin_is_refused_by_name_and_not_left_behind(host: Any, program: Program) -> None:
    """Version 2 of the negotiated example is Go's older protocol, which only Go speaks."""
    client = host([str(program("example-negotiated-plugin"))], BASIC, None, versions={2: {"kv": KVStub}})
    with pytest.raises(HandshakeRefused) as refused:
        client.start()
    assert (refused.value.field, refused.value.got, refused.value.want) == ("protocol", "netrpc", '"grpc"')
    client.stop()


def test_crowdsecs_plugin_on_go_plugin_1_0_1_works_without_stdio_and_reflection(host: Any, program: Program) -> None:
    cookie = Handshake(cookie_key="CROWDSEC_PLUGIN_KEY", cookie_value="made-up")
    err = io.BytesIO()
    client = host([str(program("crowdsec-dummy"))], cookie, {"dummy": itself}, stderr=err)
    client.start()
    try:
        assert client.client.line.format().endswith(b"|grpc|\n"), "six fields, the last one empty"
        client.ping()
        channel = client.dispense("dummy")
        configure, notify = (channel.unary_unary(f"/proto.Notifier/{name}") for name in ("Configure", "Notify"))
        # Written out, for another test's stubs already have a `proto.Empty`: field 2 of Config is its YAML.
        assert client.call(configure, field(2, b"type: dummy\nname: py\nlog_level: info\n")) == b""
        assert client.call(notify, field(1, b"hello from python") + field(2, b"py")) == b""
    finally:
        stopped = client.stop()
    assert (stopped.how, stopped.exit_code) == ("shutdown", 0)
    assert b"hello from python" in err.getvalue() or b"received signal for py config" in err.getvalue()


def itself(channel: grpc.Channel) -> grpc.Channel:
    """Dispense the channel where there is no stub."""
    return channel


def field(number: int, data: bytes) -> bytes:
    """One length-delimited field of a message; short data only."""
    assert len(data) < 128
    return bytes([number << 3 | 2, len(data)]) + data
