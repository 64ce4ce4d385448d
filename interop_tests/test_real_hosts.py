"""Python plugins in programs that nobody here wrote: protolint, crowdsec, and the hosts of go-plugin's examples."""

import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest
from pyplugin import HERE, probe, probe_environment

PLUGINS = HERE.parent / "plugins"
Program = Callable[[str], Path]


def run(argv: Sequence[str | Path], cwd: Path | None = None, **variables: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, **probe_environment(), **variables}
    return subprocess.run(argv, env=env, cwd=cwd, capture_output=True, text=True, timeout=60)


def shell(*words: str) -> str:
    """One command line, as the hosts that go through ``sh -c`` want it."""
    return shlex.join([sys.executable, *words])


def script(path: Path, *words: str) -> None:
    """Make an executable, as hosts want that take a path and no command line."""
    path.write_text(f"#!/bin/sh\nexec {shell(str(PLUGINS / words[0]), *words[1:])}\n")
    path.chmod(0o700)


@pytest.mark.usefixtures("sockets")
def test_protolint_lists_and_applies_a_rule_written_in_python(program: Program, tmp_path: Path) -> None:
    rules = shell(str(PLUGINS / "protolint_rules.py"))
    listed = run([program("protolint"), "list", "-plugin", rules])
    assert "NO_MANAGERS: Services say what they do." in listed.stdout, listed.stderr
    proto = tmp_path / "bad.proto"
    proto.write_text('syntax = "proto3";\npackage bad;\n\nservice FooManager {\n}\n')
    linted = run([program("protolint"), "lint", "-plugin", rules, proto])
    assert "bad.proto:4:9] FooManager manages what?" in linted.stderr + linted.stdout
    assert linted.returncode == 1
    proto.write_text('syntax = "proto3";\npackage bad;\n\nservice Foo {\n}\n')
    assert "manages what" not in (clean := run([program("protolint"), "lint", "-plugin", rules, proto])).stderr
    assert clean.returncode in (0, 1)


@pytest.mark.parametrize("kind", ["sync", "aio"])
def test_the_kv_example_of_go_plugin_keeps_its_values_in_a_python_plugin(
    kind: str, program: Program, tmp_path: Path
) -> None:
    """Each call of the example's host starts the plugin anew, so the values must outlive it: in files, as Go's do."""
    plugin = shell(str(PLUGINS / "kv_files.py"), "--shell", kind)
    host = program("example-grpc-host")

    def call(*words: str) -> subprocess.CompletedProcess[str]:
        return run([host, *words], KV_PLUGIN=plugin, KV_PROTO="grpc", KV_FOLDER=str(tmp_path))

    assert (put := call("put", "hello", "world")).returncode == 0, put.stdout
    got = call("get", "hello")
    assert (got.stdout, got.returncode) == ("world\n", 0)
    missing = call("get", "nothing")
    assert missing.returncode == 1
    assert "NotFound" in missing.stdout


def test_the_negotiated_example_of_go_plugin_gets_its_version_from_a_python_plugin(
    program: Program, tmp_path: Path
) -> None:
    script(tmp_path / "kv-plugin", "kv_files.py", "--versions", "2,3,4")
    host, variables = program("example-negotiated-host"), {"KV_PROTO": "grpc", "KV_FOLDER": str(tmp_path)}
    put = run([host, "put", "k", "v"], cwd=tmp_path, **variables)
    assert put.returncode == 0, put.stdout
    assert (tmp_path / "served").read_text() == "3"
    assert run([host, "get", "k"], cwd=tmp_path, **variables).stdout == "v\n"


def test_the_streaming_example_of_go_plugin_reads_what_it_wrote_through_a_python_plugin(
    program: Program, tmp_path: Path
) -> None:
    (tmp_path / "plugin").mkdir()
    script(tmp_path / "plugin" / "streamer", "streamer.py")
    done = run([program("example-streaming-host"), tmp_path / "data"], cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "received 26 bytes" in done.stderr
    assert (tmp_path / "data").read_text() == "Lorem ipsum dolor sit amet"


CROWDSEC = """\
common: {{log_media: stdout, log_level: info, daemonize: false}}
config_paths:
  config_dir: {home}
  data_dir: {home}/data
  simulation_path: {home}/simulation.yaml
  hub_dir: {home}/hub
  notification_dir: {home}/notifications
  plugin_dir: {home}/plugins
db_config: {{type: sqlite, db_path: {home}/data/crowdsec.db}}
plugin_config: {{user: "", group: ""}}
api:
  client: {{credentials_path: {home}/credentials.yaml}}
  server: {{listen_uri: "127.0.0.1:0", profiles_path: {home}/profiles.yaml, console_path: {home}/console.yaml}}
"""
PROFILE = """\
name: everything
filters: ["Alert.GetScope() == 'Ip'"]
decisions: [{type: ban, duration: 4h}]
notifications: [py_default]
on_success: break
"""


def test_crowdsec_configures_a_python_notification_plugin(program: Program, tmp_path: Path) -> None:
    """Its go-plugin is 1.0.1: six fields, no stdio service, a cookie made up at each launch."""
    for folder in ("data", "hub", "notifications", "plugins"):
        (tmp_path / folder).mkdir()
    (tmp_path / "config.yaml").write_text(CROWDSEC.format(home=tmp_path))
    (tmp_path / "simulation.yaml").write_text("simulation: off\n")
    (tmp_path / "console.yaml").write_text("{}\n")
    (tmp_path / "profiles.yaml").write_text(PROFILE)
    (tmp_path / "notifications" / "py.yaml").write_text("type: dummy\nname: py_default\nformat: '{{.}}'\n")
    script(tmp_path / "plugins" / "notification-dummy", "crowdsec_notifier.py")
    log = tmp_path / "notified"
    done = run([program("crowdsec"), "-c", tmp_path / "config.yaml", "-no-cs", "-t"], NOTIFIER_LOG=str(log))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "registered plugin py_default" in done.stdout + done.stderr
    assert log.read_text() == "configure py_default\n"


@pytest.mark.fault(36)
def test_a_go_host_and_a_python_plugin_print_the_same_when_run_by_hand(
    program: Program, go_plugin_did: Callable[[str, str], None]
) -> None:
    """Word for word: people search for that text."""
    theirs = run([program("plugin-1.8.0")])
    ours = run(probe())
    assert (ours.stdout, ours.stderr, ours.returncode) == (theirs.stdout, theirs.stderr, theirs.returncode)
    assert (ours.stdout, ours.returncode) == ("", 1)
    go_plugin_did("1.8.0", "explains itself on stderr and exits with 1, nothing on stdout")


def versions_served(argv: Sequence[str | Path], variables: Mapping[str, str]) -> str:
    """Start a plugin by hand, with a host's environment, and return field two of its line."""
    env = {**os.environ, **probe_environment(), "INTEROP_PLUGIN": "hello", **variables}
    with subprocess.Popen(argv, env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as plugin:
        assert plugin.stdout
        try:
            return plugin.stdout.readline().split("|")[1]
        finally:
            plugin.kill()


@pytest.mark.parametrize("offer", ["3,2", "2,3", "9,1", "", "x,2", "2,,1", "+2", "02", " 2", "5"])
@pytest.mark.usefixtures("sockets")
def test_go_and_python_choose_the_same_version_from_the_same_offer(offer: str, program: Program) -> None:
    variables = {"PLUGIN_PROTOCOL_VERSIONS": offer}
    theirs = versions_served([program("plugin-1.8.0"), "--versions", "1,2,3"], variables)
    assert versions_served(probe("--versions", "1,2,3"), variables) == theirs
