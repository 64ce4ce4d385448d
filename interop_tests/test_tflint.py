"""tflint, a host and a plugin nobody here wrote: both directions of a plugin that calls its host over the broker.

The tflint binary is a plugin too: with ``--act-as-bundled-plugin`` it serves the rules that it brings.
"""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pyplugin import HERE, probe_environment
from shells import PATIENT
from tflint_pb2 import (
    ApplyConfig,
    ApplyGlobalConfig,
    BodyContent,
    Check,
    EmitIssue,
    GetConfigSchema,
    GetFiles,
    GetModulePath,
    GetSDKVersion,
    GetVersionConstraint,
)
from tflint_pb2_grpc import RuleSetStub, RunnerServicer, add_RunnerServicer_to_server

from goplugin import hostlib
from goplugin.handshake import Handshake
from goplugin.hostlib import aio

RULES = HERE.parent / "plugins" / "tflint_ruleset.py"
TFLINT = Handshake(
    protocol_version=11,
    cookie_key="TFLINT_RULESET_PLUGIN",
    cookie_value="5adSn1bX8nrDfgBqiAqqEkC6OE1h3iD8SqbMc5UUONx8x3xCF0KlPDsBRNDjoYDP",
)
CONFIGURATION = 'plugin "py" {\n  enabled = true\n}\nplugin "terraform" {\n  enabled = false\n}\n'
MODULE = 'resource "null_resource" "null_resource" {}\n\nresource "null_resource" "first" {}\n'
COMMENTED = b"// a comment that C would take\nlocals {}\n"
Program = Callable[[str], Path]


@pytest.mark.parametrize("shell", ["sync", "aio"])
def test_tflint_reports_what_a_rule_in_python_found(shell: str, program: Program, tmp_path: Path) -> None:
    ruleset = tmp_path / "plugins" / "tflint-ruleset-py"
    ruleset.parent.mkdir()
    ruleset.write_text(f"#!/bin/sh\nexec {sys.executable} {RULES} --shell {shell}\n")
    ruleset.chmod(0o700)
    (tmp_path / ".tflint.hcl").write_text(CONFIGURATION)
    (tmp_path / "main.tf").write_text(MODULE)
    env = {**os.environ, **probe_environment(), "TFLINT_PLUGIN_DIR": str(ruleset.parent)}
    done = subprocess.run(
        [program("tflint"), "--format=json"], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2, done.stdout + done.stderr
    report = json.loads(done.stdout)
    assert report["errors"] == []
    assert [
        (issue["rule"]["name"], issue["message"], issue["range"]["start"]["line"]) for issue in report["issues"]
    ] == [("py_resource_repeats_its_type", "null_resource is a null_resource: say which", 1)]


class Runner(RunnerServicer):
    """The host's half of a check: one module with one file. Both shells serve it, for grpc.aio takes functions too."""

    def __init__(self) -> None:
        self.emitted: list[tuple[str, str, int]] = []

    def GetModulePath(self, request: GetModulePath.Request, context: Any) -> GetModulePath.Response:
        return GetModulePath.Response()

    def GetFiles(self, request: GetFiles.Request, context: Any) -> GetFiles.Response:
        return GetFiles.Response(files={"main.tf": COMMENTED})

    def EmitIssue(self, request: EmitIssue.Request, context: Any) -> EmitIssue.Response:
        self.emitted.append((request.rule.name, request.message, request.range.start.line))
        return EmitIssue.Response(applied=True)

    def register(self, server: Any) -> None:
        add_RunnerServicer_to_server(self, server)


PREPARATION: dict[str, Any] = {  # in tflint's order; out of it the rule set panics
    "GetVersionConstraint": GetVersionConstraint.Request(),
    "ApplyGlobalConfig": ApplyGlobalConfig.Request(config=ApplyGlobalConfig.Config(only=["terraform_comment_syntax"])),
    "GetConfigSchema": GetConfigSchema.Request(),
    "ApplyConfig": ApplyConfig.Request(content=BodyContent()),
}
FOUND = [("terraform_comment_syntax", "Single line comments should begin with #", 1)]


def checked(command: list[str], runner: Runner, **options: Any) -> str:
    with hostlib.Client(command, TFLINT, {"ruleset": RuleSetStub}, stop_budget=PATIENT, **options) as client:
        rules = client.dispense("ruleset")
        for name, request in PREPARATION.items():
            getattr(rules, name)(request)
        version: str = rules.GetSDKVersion(GetSDKVersion.Request()).version
        with client.broker.accept_and_serve(client.broker.next_id(), runner.register) as served:
            rules.Check(Check.Request(runner=served.id))
    assert client.stopped is not None
    assert client.stopped.how == "shutdown"
    return version


async def checked_aio(command: list[str], runner: Runner, **options: Any) -> str:
    async with aio.Client(command, TFLINT, {"ruleset": RuleSetStub}, stop_budget=PATIENT, **options) as client:
        rules = client.dispense("ruleset")
        for name, request in PREPARATION.items():
            await getattr(rules, name)(request)
        version: str = (await rules.GetSDKVersion(GetSDKVersion.Request())).version
        async with await client.broker.accept_and_serve(client.broker.next_id(), runner.register) as served:
            await rules.Check(Check.Request(runner=served.id))
    assert client.stopped is not None
    assert client.stopped.how == "shutdown"
    return version


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({}, id="plain"),
        pytest.param({"auto_mtls": True}, id="AutoMTLS"),
        pytest.param({"multiplex": True}, id="multiplexed"),
        pytest.param({"auto_mtls": True, "multiplex": True}, id="multiplexed-AutoMTLS"),
    ],
)
@pytest.mark.parametrize("shell", ["sync", "aio"])
def test_the_rules_that_tflint_brings_check_a_module_for_a_python_host(
    shell: str, options: dict[str, bool], program: Program
) -> None:
    runner, command = Runner(), [str(program("tflint")), "--act-as-bundled-plugin"]
    version = (
        checked(command, runner, **options) if shell == "sync" else asyncio.run(checked_aio(command, runner, **options))
    )
    assert version == "0.18.0"
    assert runner.emitted == FOUND
