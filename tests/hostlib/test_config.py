"""What a client may be asked for, and what it makes of it."""

import io
import math
import subprocess
from pathlib import Path
from typing import Any

import pytest

from goplugin.handshake import Cookie, Handshake, Misuse
from goplugin.hostlib import TlsConfig, UnixSockets
from goplugin.hostlib._config import Config

HANDSHAKE = Handshake(protocol_version=4, cookie_key="COOKIE", cookie_value="yes")
PLUGINS = {"kv": str}


def config(command: Any = ("./p",), handshake: Any = HANDSHAKE, **options: Any) -> Config[type[str]]:
    options = {"plugins": PLUGINS, "versions": None} | options
    return Config[type[str]](command, handshake, options.pop("plugins"), options.pop("versions"), **options)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"command": []}, "command"),
        ({"command": "./p --flag"}, "command"),
        ({"command": [""]}, "command"),
        ({"command": ["./p", "a\0b"]}, "command"),
        ({"plugins": None}, "plugins or versions"),
        ({"versions": {1: PLUGINS}}, "plugins or versions"),
        ({"plugins": {}}, "at least one plugin"),
        ({"plugins": None, "versions": {}}, "at least one plugin"),
        ({"plugins": None, "versions": {1: PLUGINS, 2: {}}}, "at least one plugin"),
        ({"plugins": None, "versions": {-1: PLUGINS}}, "-1"),
        ({"handshake": Handshake(cookie_key="C", cookie_value=Cookie.ANY)}, "Cookie.ANY"),
        ({"env": {"": "x"}}, "env"),
        ({"env": {"A=B": "x"}}, "env"),
        ({"env": {"A": "x\0"}}, "env"),
        ({"start_timeout": 0}, "start_timeout"),
        ({"start_timeout": 1e6}, "start_timeout"),
        ({"start_timeout": math.inf}, "start_timeout"),
        ({"start_timeout": math.nan}, "start_timeout"),
        ({"call_timeout": -1}, "call_timeout"),
        ({"min_port": 2, "max_port": 1}, "port"),
        ({"max_port": 70000}, "port"),
        ({"inherit_env": "PATH"}, "inherit_env"),
        ({"stdin": io.BytesIO()}, "stdin"),
        ({"stdin": "file"}, "stdin"),
        ({"stdin": subprocess.PIPE}, "stdin"),
        ({"log_buffer_size": 0}, "log_buffer_size"),
        ({"skip_lines": -1}, "skip_lines must be"),
        ({"skip_lines": 1, "address_variable": "A"}, "skip_lines does not go with"),
        ({"auto_mtls": True, "tls": TlsConfig()}, "either auto_mtls or tls"),
        ({"auto_mtls": True, "address_variable": "A"}, "auto_mtls needs a handshake line"),
    ],
)
def test_an_argument_that_makes_no_sense_is_named(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(Misuse, match=named):
        config(**changes)


def test_plugins_are_those_of_the_handshakes_version() -> None:
    assert config().versions == {4: PLUGINS}
    assert config(plugins=None, versions={5: PLUGINS, 6: PLUGINS}).versions == {5: PLUGINS, 6: PLUGINS}


def test_a_call_may_have_no_limit_but_a_start_must() -> None:
    assert config(call_timeout=None).call_timeout is None


def test_paths_are_taken_as_words() -> None:
    made = config([Path("/usr/bin/p"), "-v"], cwd=Path("/srv"))
    assert (made.command, made.cwd) == (("/usr/bin/p", "-v"), "/srv")


@pytest.mark.parametrize(
    ("command", "name"),
    [
        (["/usr/lib/kv-plugin"], "kv-plugin"),
        (["kv_v1.2.3"], "kv_v1_2_3"),
        (["/usr/bin/python3.11", "-u", "/srv/kv.py"], "kv"),
        (["python", "kv.py", "--flag"], "kv"),
        (["python3", "-m"], "python3"),
        (["node", "kv.js"], "node"),
        (["/"], "/"),
    ],
)
def test_a_plugin_is_named_for_its_file_or_its_script(command: list[str], name: str) -> None:
    assert config(command).name == name


INHERITED = {
    "PATH": "/bin",
    "HOME": "/root",
    "PLUGIN_CLIENT_CERT": "of another host",
    "PLUGIN_MULTIPLEX_GRPC": "true",
    "PLUGIN_UNIX_SOCKET_GROUP": "staff",
    "PLUGIN_PROTOCOL_VERSIONS": "9",
}
ASKED = {
    "PLUGIN_MIN_PORT": "10000",
    "PLUGIN_MAX_PORT": "25000",
    "PLUGIN_PROTOCOL_VERSIONS": "4",
    "PLUGIN_UNIX_SOCKET_DIR": "/tmp/d",
    "COOKIE": "yes",
}


def test_a_host_that_is_a_plugin_itself_does_not_pass_on_what_it_was_told() -> None:
    assert config().environment(INHERITED, "/tmp/d") == {"PATH": "/bin", "HOME": "/root", **ASKED}


def test_the_callers_variables_win_over_inherited_ones_but_not_over_the_contract() -> None:
    made = config(env={"HOME": "/home/p", "PLUGIN_MIN_PORT": "1", "COOKIE": "no"})
    assert made.environment(INHERITED, "/tmp/d") == {"PATH": "/bin", "HOME": "/home/p", **ASKED}


@pytest.mark.parametrize(
    ("inherit_env", "inherited"),
    [
        (True, {"PATH": "/bin", "HOME": "/root", "LC_ALL": "C"}),
        (False, {}),
        ([], {}),
        (["HOME", "ABSENT", "path"], {"HOME": "/root"}),
        ({"PATH", "LC_*"}, {"PATH": "/bin", "LC_ALL": "C"}),
        (["PLUGIN_CLIENT_CERT", "HOME"], {"HOME": "/root"}),
    ],
)
def test_what_is_inherited_is_what_was_asked_for(inherit_env: Any, inherited: dict[str, str]) -> None:
    made = config(env={"A": "1"}, inherit_env=inherit_env).environment(INHERITED | {"LC_ALL": "C"}, "/tmp/d")
    assert made == inherited | {"A": "1", **ASKED}


def test_the_group_of_the_sockets_is_told_to_the_plugin() -> None:
    made = config(unix_sockets=UnixSockets(group="staff")).environment(INHERITED, "/tmp/d")
    assert made["PLUGIN_UNIX_SOCKET_GROUP"] == "staff"


def test_stdin_may_be_a_file_or_the_number_of_a_descriptor() -> None:
    assert config().stdin == subprocess.DEVNULL
    assert config(stdin=0).stdin == 0
    with open("/dev/null") as file:
        assert config(stdin=file).stdin == file.fileno()


def test_an_option_that_does_not_exist_is_pythons_own_error() -> None:
    with pytest.raises(TypeError, match="skip_host_env"):
        config(skip_host_env=True)


def test_every_version_is_offered() -> None:
    made = config(plugins=None, versions={5: PLUGINS, 2: PLUGINS})
    assert made.environment({}, "/tmp/d")["PLUGIN_PROTOCOL_VERSIONS"] == "5,2"


def test_the_certificate_for_automtls_is_the_hosts_own_and_no_other() -> None:
    made = config(env={"PLUGIN_CLIENT_CERT": "of the caller"}).environment(INHERITED, "/tmp/d", "PEM")
    assert made["PLUGIN_CLIENT_CERT"] == "PEM"
