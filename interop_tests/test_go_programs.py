"""The reference rows of the matrix: Go hosts with Go plugins, and the foreign programs by themselves.

What holds here holds without a line of ours in Python, so a red test elsewhere is ours to answer for.
"""

import json
import os
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from gohost import GoHostFailed, Order, Step, decoded, encoded, left_in_time, run_go_host

Program = Callable[[str], Path]
VERSIONS = ("1.7.0", "1.8.0")
SERVICES = [
    "grpc.health.v1.Health",
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
    "interop.v1.Probe",
    "plugin.GRPCBroker",
    "plugin.GRPCController",
    "plugin.GRPCStdio",
    "proto.KV",
]
EVERYTHING: list[tuple[Step, object]] = [  # each step with its result
    ({"op": "ping"}, None),
    ({"op": "health", "service": "plugin"}, "SERVING"),
    ({"op": "reflect"}, SERVICES),
    ({"op": "reflect", "v1alpha": True}, SERVICES),
    ({"op": "echo", "data": encoded(b"\x00\xff")}, encoded(b"\x00\xff")),
    ({"op": "echo"}, ""),
    ({"op": "big", "bytes": 4_000_000}, 4_000_000),
    ({"op": "add", "a": -1, "b": 2**40}, 2**40 - 1),
    ({"op": "print", "channel": "stdout", "text": "out\n", "times": 3}, None),
    ({"op": "print", "channel": "stderr", "text": "err\n"}, None),
    ({"op": "wait_stdout", "contains": "out\nout\nout\n"}, None),
    ({"op": "wait_stderr", "contains": "err\n"}, None),
    ({"op": "log", "level": "warn", "message": "mind the gap", "fields": {"gap": "wide"}}, None),
    ({"op": "wait_log", "contains": "mind the gap"}, None),
    ({"op": "sleep", "milliseconds": 1}, None),
    ({"op": "stream", "count": 1000}, list(range(1000))),
    ({"op": "fail", "code": 9, "message": "not now"}, {"code": 9, "message": "not now"}),
    ({"op": "environment", "names": ["GREETING", "NO_SUCH_VARIABLE"]}, {"GREETING": "hello"}),
    ({"op": "kv_put", "key": "k", "text": "v"}, None),
    ({"op": "kv_get", "key": "k"}, encoded(b"v")),
    ({"op": "exited"}, False),
    ({"op": "kill"}, None),
    ({"op": "exited"}, True),
]


pytestmark = pytest.mark.usefixtures("sockets")


@pytest.mark.parametrize("plugin", VERSIONS)
@pytest.mark.parametrize("host", VERSIONS)
def test_every_step_works_between_a_go_host_and_a_go_plugin(program: Program, host: str, plugin: str) -> None:
    order: Order = {
        "argv": [str(program(f"plugin-{plugin}")), "-versions=1,2,3"],
        "versions": [2, 3, 9],
        "environment": {"GREETING": "hello"},
        "steps": [step for step, _ in EVERYTHING],
    }
    report = left_in_time(order, host)
    assert [(step["op"], step["error"], step["result"]) for step in report["steps"]] == [
        (step["op"], "", result) for step, result in EVERYTHING
    ]
    assert (report["go_plugin"], report["negotiated_version"], report["protocol"]) == (f"v{host}", 3, "grpc")
    assert (decoded(report["stdout"]), decoded(report["stderr"])) == (b"out\nout\nout\n", b"err\n")
    record = next(record for record in report["logs"] if record["message"] == "mind the gap")
    assert (record["level"], record["plugin"], record["fields"]["gap"]) == ("warn", True, "wide")
    assert report["kill"]["returned"]
    assert not report["kill"]["forced"]
    assert (report["exited"], report["exit_code"], report["signal"]) == (True, 0, "")


@pytest.mark.parametrize("multiplex", [False, True], ids=["plain", "multiplexed"])
@pytest.mark.parametrize("version", VERSIONS)
def test_a_go_pair_agrees_under_auto_mtls(program: Program, version: str, multiplex: bool) -> None:
    asked: Step = {"op": "environment", "names": ["PLUGIN_CLIENT_CERT", "PLUGIN_MULTIPLEX_GRPC"]}
    order: Order = {
        "argv": [str(program(f"plugin-{version}"))],
        "auto_mtls": True,
        "multiplex": multiplex,
        "steps": [{"op": "ping"}, {"op": "big", "bytes": 1_000_000}, asked],
    }
    report = run_go_host(order, version)
    assert [step["ok"] for step in report["steps"]] == [True, True, True]
    variables = report["steps"][2]["result"]
    assert variables["PLUGIN_CLIENT_CERT"].startswith("-----BEGIN CERTIFICATE-----")
    assert ("PLUGIN_MULTIPLEX_GRPC" in variables) == multiplex


def test_a_go_plugin_over_tcp_takes_a_port_of_the_range(program: Program) -> None:
    order: Order = {
        "argv": [str(program("plugintcp-1.8.0"))],
        "min_port": 21000,
        "max_port": 21999,
        "steps": [
            {"op": "print", "channel": "stdout", "text": "over tcp"},
            {"op": "wait_stdout", "contains": "over tcp"},
        ],
    }
    report = run_go_host(order)
    assert [step["ok"] for step in report["steps"]] == [True, True]
    reattach = report["reattach"]
    assert reattach is not None
    assert reattach["network"] == "tcp"
    assert 21000 <= int(reattach["address"].rpartition(":")[2]) <= 21999


def test_a_version_that_nobody_offers_ends_the_start_with_both_sides_named(program: Program) -> None:
    report = run_go_host({"argv": [str(program("plugin-1.8.0")), "-versions=4,5"], "versions": [7]})
    assert not report["started"]
    assert "Plugin version: 4, Client versions: [7]" in report["error"]


def test_a_plugin_refuses_another_cookie(program: Program) -> None:
    report = run_go_host({"argv": [str(program("plugin-1.8.0"))], "cookie_value": "goodbye"})
    assert (report["started"], report["exit_code"]) == (False, 1)
    assert b"This binary is a plugin" in decoded(report["raw_stderr"])


def test_the_exit_code_and_the_loss_of_a_plugin_are_reported(program: Program) -> None:
    steps: list[Step] = [{"op": "exit", "code": 7}, {"op": "ping"}]
    report = run_go_host({"argv": [str(program("plugin-1.8.0"))], "steps": steps})
    assert [(step["ok"], step["code"]) for step in report["steps"]] == [(True, ""), (False, "Unavailable")]
    assert report["exit_code"] == 7


def test_a_runner_gets_its_sockets_in_a_private_directory(program: Program, sockets: Path) -> None:
    order: Order = {
        "argv": [str(program("plugin-1.8.0"))],
        "runner": True,
        "unix_socket": {"temp_dir": str(sockets), "group": str(os.getegid())},
        "steps": [{"op": "environment", "names": ["PLUGIN_UNIX_SOCKET_DIR", "PLUGIN_UNIX_SOCKET_GROUP"]}],
    }
    report = run_go_host(order)
    variables = report["steps"][0]["result"]
    assert Path(variables["PLUGIN_UNIX_SOCKET_DIR"]).parent == sockets
    assert variables["PLUGIN_UNIX_SOCKET_GROUP"] == str(os.getegid())
    assert list(sockets.iterdir()) == []


def test_a_plugin_left_running_is_reattached_and_killed_by_another_host(program: Program) -> None:
    put: Step = {"op": "kv_put", "key": "kept", "text": "yes"}
    first = run_go_host({"argv": [str(program("plugin-1.8.0"))], "leave_running": True, "steps": [put]})
    assert (first["kill"]["called"], first["exited"]) == (False, False)
    record = first["reattach"]
    assert record is not None
    assert "pid" in record
    with ThreadPoolExecutor(1) as reaper:
        # The orphan is ours by now, and for the second host it has not ended before it is reaped.
        reaper.submit(os.waitpid, record["pid"], 0)
        second = run_go_host({"reattach": record, "steps": [{"op": "kv_get", "key": "kept"}]})
    assert decoded(second["steps"][0]["result"]) == b"yes"
    assert second["exited"]


def test_a_plugin_in_test_mode_survives_the_hosts_kill(program: Program) -> None:
    with subprocess.Popen([program("plugin-1.8.0"), "-test-mode"], stdout=subprocess.PIPE) as plugin:
        try:
            assert plugin.stdout is not None
            record = json.loads(plugin.stdout.readline())
            for _ in range(2):
                assert run_go_host({"reattach": record, "steps": [{"op": "ping"}]})["steps"][0]["ok"]
            assert plugin.poll() is None
        finally:
            plugin.kill()


def test_a_step_that_takes_too_long_fails_and_the_next_is_done(program: Program) -> None:
    steps: list[Step] = [{"op": "sleep", "milliseconds": 60_000, "timeout_ms": 50}, {"op": "ping"}]
    report = run_go_host({"argv": [str(program("plugin-1.8.0"))], "steps": steps})
    assert [step["code"] for step in report["steps"]] == ["DeadlineExceeded", ""]


def test_an_order_that_runs_out_of_time_still_ends_with_a_report_and_no_plugin(program: Program) -> None:
    steps: list[Step] = [{"op": "sleep", "milliseconds": 60_000}, {"op": "ping"}]
    report = run_go_host({"argv": [str(program("plugin-1.8.0"))], "timeout_ms": 8000, "steps": steps})  # with the start
    assert (report["timed_out"], len(report["steps"]), report["exited"]) == (True, 1, True)


def test_an_order_with_a_misspelt_step_is_refused(program: Program) -> None:
    with pytest.raises(GoHostFailed, match="no such op") as refused:
        run_go_host({"argv": [str(program("plugin-1.8.0"))], "steps": [{"op": "pnig"}]})
    assert refused.value.status == 3


def test_the_batch_processor_offers_its_service(program: Program) -> None:
    order: Order = {
        "argv": [str(program("batchprocessor-1.8.0"))],
        "cookie_key": "GOPLUGIN_BATCH",
        "cookie_value": "v1",
        "steps": [{"op": "reflect"}],
    }
    services = run_go_host(order)["steps"][0]["result"]
    assert "redpanda.runtime.v1alpha1.BatchProcessorService" in services


def test_the_example_host_stores_and_reads_through_the_example_plugin(program: Program, tmp_path: Path) -> None:
    environment = {**os.environ, "KV_PLUGIN": str(program("example-kv-plugin")), "KV_PROTO": "grpc"}

    def example(*arguments: str) -> str:
        command = [str(program("example-grpc-host")), *arguments]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=30, check=False
        )
        assert done.returncode == 0, done.stdout
        return done.stdout

    example("put", "answer", "42")
    assert example("get", "answer").startswith("42")


def test_crowdsecs_plugin_writes_an_empty_sixth_field_and_no_seventh(program: Program, sockets: Path) -> None:
    environment = {"CROWDSEC_PLUGIN_KEY": "x", "PLUGIN_MULTIPLEX_GRPC": "true", "TMPDIR": str(sockets)}
    with subprocess.Popen(
        [program("crowdsec-dummy")], env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as plugin:
        try:
            assert plugin.stdout is not None
            core, app, network, _, *rest = plugin.stdout.readline().split(b"|")
        finally:
            plugin.kill()
    assert (core, app, network, rest) == (b"1", b"1", b"unix", [b"grpc", b"\n"])


@pytest.mark.parametrize(
    ("name", "arguments", "says"),
    [
        ("protolint", ["version"], "protolint version 0.58.0"),
        ("cscli", ["version"], "version: v1."),
        ("crowdsec", ["-version"], "version: v1."),
    ],
)
def test_a_fetched_program_runs(program: Program, name: str, arguments: list[str], says: str) -> None:
    command = [str(program(name)), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    assert says in done.stdout + done.stderr
