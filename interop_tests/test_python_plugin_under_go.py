"""Python plugins under real Go hosts: everything a host does, over both versions, both shells, both networks."""

import json
import sys
from typing import Any, cast

import pytest
from gohost import Order, decoded, left_in_time, run_go_host
from pyplugin import SERVICES, every_step, probe, probe_environment

VERSIONS = ["1.7.0", "1.8.0"]
SHELLS = ["sync", "aio"]


def order(*arguments: str, **more: Any) -> Order:
    return cast("Order", {"argv": probe(*arguments), "environment": probe_environment(), **more})


@pytest.mark.parametrize("auto_mtls", [False, True], ids=["plain", "auto_mtls"])
@pytest.mark.parametrize("network", ["unix", "tcp"])
@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.fault(24)
def test_a_go_host_can_do_everything_with_a_python_plugin(
    version: str, shell: str, network: str, auto_mtls: bool
) -> None:
    asked = order("--shell", shell, "--network", network, steps=every_step(), auto_mtls=auto_mtls)
    report = left_in_time(asked, version)
    assert report["started"], report["error"]
    assert [(step["op"], step["error"]) for step in report["steps"] if not step["ok"]] == []
    results = {step["op"]: step["result"] for step in report["steps"]}
    assert decoded(results["echo"]).decode() == "héllo"
    assert (results["add"], results["stream"], results["health"]) == (42, list(range(1000)), "SERVING")
    assert [step["result"] for step in report["steps"] if step["op"] == "reflect"] == [SERVICES, SERVICES]
    assert report["reattach"]
    assert report["reattach"]["network"] == network
    assert [log for log in report["logs"] if "refused" in log["message"]] == []
    assert not report["kill"]["forced"], "the plugin did not leave on Shutdown within Go's two seconds"
    assert (report["exited"], report["exit_code"], report["signal"]) == (True, 0, "")


@pytest.mark.parametrize("shell", SHELLS)
def test_pythons_logging_arrives_at_its_level_with_its_fields(shell: str) -> None:
    levels = ["trace", "debug", "info", "warn", "error"]
    steps = [{"op": "log", "level": level, "message": f"at {level}", "fields": {"k": level}} for level in levels]
    report = run_go_host(order("--shell", shell, steps=[*steps, {"op": "wait_log", "contains": "at error"}]))
    records = {log["message"]: log for log in report["logs"] if log["plugin"]}
    for level in levels:
        record = records[f"at {level}"]
        assert record["level"] == level
        assert record["fields"]["k"] == level
        assert record["fields"]["@module"] == "probe"


@pytest.mark.parametrize("shell", SHELLS)
def test_the_highest_common_version_is_served_as_a_go_plugin_would(shell: str) -> None:
    report = run_go_host(order("--shell", shell, "--versions", "2,3,5", versions=[1, 3, 2], steps=[{"op": "ping"}]))
    assert (report["started"], report["negotiated_version"]) == (True, 3)


@pytest.mark.usefixtures("sockets")
def test_without_a_common_version_the_go_host_says_so_itself() -> None:
    report = run_go_host(order("--versions", "7,8", versions=[1, 2]))
    assert not report["started"]
    assert "incompatible API version with plugin. Plugin version: 7, Client versions: [" in report["error"]


def test_a_cookie_whose_value_is_made_up_at_each_launch_is_accepted() -> None:
    made_up = "0f0e3a3c-9d0c-4f6e-8d7b-6d3a1b0c9e55"
    report = run_go_host(order("--cookie-value", "ANY", cookie_value=made_up, steps=[{"op": "ping"}]))
    assert report["started"]
    assert report["steps"][0]["ok"]


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.fault(45)
def test_a_line_of_many_megabytes_on_stdout_stalls_nothing(shell: str) -> None:
    """A Go host's scanner stops for good at a line over 64 KiB, so nothing may reach the real stdout any more."""
    size = 8 * 2**20
    steps = [
        {"op": "print", "channel": "stdout", "text": "x" * 1024, "times": size // 1024},
        {"op": "print", "channel": "stdout", "text": "\nend\n", "times": 1},
        {"op": "wait_stdout", "contains": "\nend\n"},
        {"op": "ping"},
    ]
    report = run_go_host(order("--shell", shell, steps=steps))
    assert [step["error"] for step in report["steps"]] == [""] * 4
    assert report["stdout"]["bytes"] == size + len("\nend\n")


@pytest.mark.fault(14)
def test_a_plugin_that_nobody_reads_stdio_of_is_never_blocked() -> None:
    steps = [{"op": "print", "channel": "stdout", "text": "x" * 4096, "times": 4096}, {"op": "ping"}]
    report = run_go_host(order(sync_stdio=False, steps=steps))
    assert [step["error"] for step in report["steps"]] == ["", ""]


@pytest.mark.parametrize("shell", SHELLS)
def test_the_hosts_socket_directory_is_used(shell: str) -> None:
    """go-plugin makes one when it starts a plugin through a runner."""
    report = left_in_time(order("--shell", shell, runner=True, steps=[{"op": "echo", "text": "x"}]))
    assert report["started"], report["error"]
    assert report["reattach"]
    assert "plugin-dir" in report["reattach"]["address"]
    assert report["exit_code"] == 0


def test_a_managed_plugin_is_cleaned_up_in_time() -> None:
    report = left_in_time(order(managed=True, steps=[{"op": "ping"}]))
    assert report["steps"][0]["ok"]
    assert not report["kill"]["forced"]
    assert report["exit_code"] == 0


@pytest.mark.fault(49)
@pytest.mark.usefixtures("sockets")
def test_a_crash_reaches_the_host_with_its_traceback_at_error_level() -> None:
    report = run_go_host({"argv": [sys.executable, "-c", CRASH], "steps": [{"op": "wait_exit"}]})
    lines = [log for log in report["logs"] if log["plugin"]]
    text = json.dumps(lines)
    assert "ValueError: the very cause" in text, text


CRASH = """
import threading
from goplugin import pluginlib
from goplugin.handshake import Handshake
def register(server, broker):
    threading.Timer(1, crash).start()
def crash():
    import os, sys, traceback
    try:
        raise ValueError("the very cause")
    except ValueError:
        sys.excepthook(*sys.exc_info())
    os.abort()
pluginlib.serve(Handshake(cookie_key="INTEROP_PLUGIN", cookie_value="hello"), plugins={"x": register})
"""
