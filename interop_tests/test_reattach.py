"""Reattaching across languages: records of Go's hosts and plugins under our host, and ours under Go's."""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from gohost import Reattach as GoRecord
from gohost import Step, decoded, run_go_host
from kv_pb2 import GetRequest, PutRequest
from kv_pb2_grpc import KVServicer, KVStub, add_KVServicer_to_server
from probe_pb2_grpc import ProbeStub
from pyhost import INTEROP, SHELLS, SyncHost
from pyplugin import probe, probe_environment

from goplugin.handshake import Reattach, Unix, parse_address
from goplugin.pluginlib import testing

PLUGINS = {"probe": ProbeStub, "kv": KVStub}
KEPT: Step = {"op": "kv_get", "key": "kept"}

Program = Callable[[str], Path]


def ours(record: GoRecord) -> Reattach:
    return Reattach(
        address=parse_address(record["network"], record["address"]),
        pid=record.get("pid", 0),
        version=record.get("version", 0) or 1,
        protocol=record.get("protocol", "grpc"),
        test=record.get("test", False),
    )


def theirs(record: Reattach) -> GoRecord:
    """Return what cmd/host takes, by way of the JSON that Go reads."""
    fields = json.loads(record.to_json())
    return {
        "network": fields["Addr"]["Network"],
        "address": fields["Addr"]["String"],
        "pid": fields["Pid"],
        "protocol": fields["Protocol"],
        "version": fields["ProtocolVersion"],
        "test": fields["Test"],
    }


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("plugin", ["plugin-1.7.0", "plugin-1.8.0", "plugintcp-1.8.0"])
def test_what_a_go_host_left_running_is_used_and_ended_by_ours(program: Program, plugin: str, shell: str) -> None:
    put: Step = {"op": "kv_put", "key": "kept", "text": "yes"}
    report = run_go_host({"argv": [str(program(plugin))], "leave_running": True, "steps": [put]})
    assert report["reattach"] is not None
    record = ours(report["reattach"])
    process = psutil.Process(record.pid)
    host = SHELLS[shell](None, None, PLUGINS, reattach=record)
    try:
        host.start()
        assert host.call(host.dispense("kv").Get, GetRequest(key="kept")).value == b"yes"
    finally:
        stopped = host.stop()
    assert stopped.how == "shutdown"
    process.wait(10)


@pytest.mark.parametrize("shell", SHELLS)
def test_a_go_plugin_in_test_mode_survives_our_stop(program: Program, shell: str) -> None:
    with subprocess.Popen([program("plugin-1.8.0"), "-test-mode"], stdout=subprocess.PIPE) as plugin:
        try:
            assert plugin.stdout is not None
            record = ours(json.loads(plugin.stdout.readline()))
            assert isinstance(record.address, Unix)
            assert record.test
            for _ in range(2):
                host = SHELLS[shell](None, None, PLUGINS, reattach=record)
                host.start()
                host.ping()
                assert host.stop().how == "disconnected"
            assert plugin.poll() is None
        finally:
            plugin.kill()
    os.unlink(record.address.path)  # a killed Go plugin leaves it


def test_our_plugin_in_test_mode_survives_a_go_hosts_kill() -> None:
    def register(server: Any, broker: Any) -> None:
        add_KVServicer_to_server(KVServicer(), server)

    with testing.serve_in_background(INTEROP, plugins={"kv": register}) as record:
        assert (record.test, record.pid) == (True, os.getpid())
        for _ in range(2):
            report = run_go_host({"reattach": theirs(record), "steps": [{"op": "ping"}]})
            assert (report["error"], report["steps"][0]["ok"]) == ("", True)


@pytest.mark.parametrize("plugin", ["go", "python"])
def test_a_go_host_uses_and_ends_what_ours_started(program: Program, plugin: str) -> None:
    argv = [str(program("plugin-1.8.0"))] if plugin == "go" else probe()
    host = SyncHost(argv, INTEROP, PLUGINS, env=probe_environment())
    try:
        host.start()
        host.call(host.dispense("kv").Put, PutRequest(key="kept", value=b"yes"))
        report = run_go_host({"reattach": theirs(host.client.reattach_config), "steps": [KEPT]})
        assert decoded(report["steps"][0]["result"]) == b"yes"
        assert report["exited"]
    finally:
        stopped = host.stop()
    assert (stopped.how, stopped.exit_code) == ("exited already", 0)
