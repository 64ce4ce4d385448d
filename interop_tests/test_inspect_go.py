"""`goplugin inspect` on Go plugins, current and old; none of them knows that there is another host than Go's."""

import json
import os
import subprocess
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pyplugin import SERVICES

Program = Callable[[str], Path]
GOPLUGIN = os.path.join(sysconfig.get_path("scripts"), "goplugin")


def inspected(*arguments: str, code: int = 0) -> Any:
    command = [GOPLUGIN, "inspect", "--json", *arguments]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout)


def test_a_current_go_plugin_shows_the_same_services_as_its_python_twin(program: Program) -> None:
    found = inspected("--cookie", "INTEROP_PLUGIN=hello", "--", str(program("plugin-1.8.0")))
    assert found["handshake"]["line"].startswith("1|1|unix|")
    assert found["handshake"]["line"].endswith("|grpc|")
    assert found["versions"]["negotiated"] == 1
    assert [service["name"] for service in found["services"]] == SERVICES
    methods = {service["name"]: service["methods"] for service in found["services"]}
    assert [(method["name"], method["kind"]) for method in methods["plugin.GRPCBroker"]] == [
        ("StartStream", "bidirectional")
    ]
    assert [(method["request"], method["response"]) for method in methods["proto.KV"]] == [
        ("proto.GetRequest", "proto.GetResponse"),
        ("proto.PutRequest", "proto.Empty"),
    ]
    assert found["health"]["serving"] is True
    assert found["memory"]["threads"] > 1
    assert (found["stopped"]["how"], found["stopped"]["exit_code"]) == ("shutdown", 0)
    assert found["error"] is None


def test_go_chooses_the_highest_of_the_versions_offered_and_its_lowest_of_none(program: Program) -> None:
    plugin = str(program("plugin-1.8.0"))
    chosen = ("--cookie", "INTEROP_PLUGIN=hello")
    offered = inspected(*chosen, "--", plugin, "-versions", "2,3")
    assert offered["versions"]["negotiated"] == 3
    unknown = inspected(*chosen, "--versions", "7,8", "--", plugin, "-versions", "2,3")
    assert unknown["versions"] == {"offered": [7, 8], "negotiated": 2, "matched": False}
    assert [service["name"] for service in unknown["services"]] == SERVICES


def test_a_plugin_of_go_plugin_1_0_has_no_reflection_and_is_shown_without(program: Program) -> None:
    found = inspected("--cookie", "CROWDSEC_PLUGIN_KEY=anything", "--", str(program("crowdsec-dummy")))
    assert found["handshake"]["sent"]["server_certificate"] == ""
    assert found["handshake"]["sent"]["multiplexing"] is None
    assert (found["reflection"], found["services"]) == (False, None)
    assert found["health"]["serving"] is True
    assert (found["stopped"]["how"], found["stopped"]["exit_code"]) == ("shutdown", 0)
    assert found["error"] is None


def test_a_go_plugin_says_what_it_misses_without_its_cookie(program: Program) -> None:
    found = inspected("--", str(program("plugin-1.8.0")), code=1)
    assert found["error"]["kind"] == "PluginLost"
    assert "--cookie KEY=VALUE" in found["error"]["message"]
    assert found["stderr"][0].startswith("This binary is a plugin.")


def test_the_line_of_a_netrpc_plugin_is_shown_and_refused(program: Program) -> None:
    plugin = str(program("example-kv-plugin-netrpc"))
    found = inspected("--cookie", "BASIC_PLUGIN=hello", "--", plugin, code=1)
    assert found["handshake"]["sent"]["protocol"] == "netrpc"
    assert found["error"]["kind"] == "HandshakeRefused"
