"""The command itself, in a process of its own, against plugins that are well, lack something, or mean harm."""

import fcntl
import io
import json
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import sysconfig
import tempfile
import termios
import textwrap
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyplugin import SERVICES, probe, probe_environment
from rich.console import Console

from goplugin.cli._inspect import Examination
from goplugin.cli._report import FIELDS, Report, document, sent, show, spans
from goplugin.handshake import Handshake, Misuse

ROOT = Path(__file__).parent.parent.parent
GOPLUGIN = os.path.join(sysconfig.get_path("scripts"), "goplugin")
SUPPORT = ROOT / "tests" / "support"
COOKIE = ("--cookie", "INTEROP_PLUGIN=hello")
SOON = 30.0  # seconds within which things that take one happen on the slowest machine


@pytest.fixture
def environment() -> Iterator[dict[str, str]]:
    """What the command gets; afterwards no process may be left that inherited it, and nothing in its TMPDIR."""
    mark = f"INSPECT_TEST_{uuid.uuid4().hex}"
    with tempfile.TemporaryDirectory(prefix="gp-", dir="/tmp") as folder:
        dull = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "FORCE_COLOR", "NO_COLOR")}
        path = os.pathsep.join([str(SUPPORT), probe_environment()["PYTHONPATH"]])
        yield {**dull, "PYTHONPATH": path, "TMPDIR": folder, mark: "1", "TERM": "xterm"}
        until = time.monotonic() + SOON
        while left := [process for process in psutil.process_iter() if inherited(process, mark)]:
            assert time.monotonic() < until, f"left behind: {left}"
            time.sleep(0.02)
        assert os.listdir(folder) == []


def inherited(process: psutil.Process, mark: str) -> bool:
    try:
        return mark in process.environ()
    except psutil.Error:  # gone, a zombie, or not ours
        return False


def inspect(environment: Mapping[str, str], *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [GOPLUGIN, "inspect", *arguments],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def inspected(environment: Mapping[str, str], *arguments: str, code: int = 0) -> Any:
    done = inspect(environment, "--json", *arguments)
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout)


def on_a_terminal(environment: Mapping[str, str], *arguments: str) -> tuple[int, str]:
    """Return the exit code, and what a terminal of 80 columns got."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 80, 0, 0))
    command = [GOPLUGIN, "inspect", *arguments]
    with subprocess.Popen(command, env=environment, stdin=slave, stdout=slave, stderr=slave) as process:
        os.close(slave)
        got = bytearray()
        while True:
            try:
                got += os.read(master, 4096)
            except OSError:  # EIO: everybody has closed the other end
                break
        os.close(master)
        return process.wait(SOON), got.decode()


def shell(script: str) -> tuple[str, ...]:
    return ("--", "sh", "-c", script)


def bare(tmp_path: Path, change: str) -> tuple[str, ...]:
    """A plugin on bare grpcio, which has neither reflection nor a cookie, with a change: ``plugin`` may be altered."""
    script = tmp_path / "plugin.py"
    imports = "import os, sys\nfrom bare_plugin import Plugin\n"
    program = imports + "plugin = Plugin()\n" + textwrap.dedent(change) + "\nplugin.serve()\n"
    script.write_text(program)
    return ("--", sys.executable, str(script))


def test_a_plugin_is_shown_from_its_line_to_its_end(environment: dict[str, str]) -> None:
    found = inspected(environment, *COOKIE, "--", *probe())
    line = found["handshake"]["line"]
    assert found["document"] == "goplugin inspect 1"
    assert found["command"] == probe()
    assert found["pid"] > 1
    assert found["handshake"]["sent"] == {
        "core_protocol": "1",
        "protocol_version": "1",
        "network": "unix",
        "address": line.split("|")[3],
        "protocol": "grpc",
        "server_certificate": "",
        "multiplexing": None,
    }
    assert found["versions"] == {"offered": list(range(100)), "negotiated": 1, "matched": True}
    assert found["tls"] is None
    assert 0 < found["seconds"]["line"] < found["seconds"]["first_answer"] < SOON
    assert found["health"] == {"serving": True, "message": None}
    assert found["reflection"] is True
    assert [service["name"] for service in found["services"]] == SERVICES
    assert found["memory"]["processes"] == 1
    assert found["memory"]["rss"] > 2**20
    assert found["memory"]["threads"] >= 1
    assert found["stopped"].pop("seconds") < SOON
    assert found["stopped"] == {"how": "shutdown", "exit_code": 0, "signal": None}
    assert found["error"] is None


@pytest.mark.skipif(sys.platform != "linux", reason="the system does not tell the proportional share")
def test_memory_is_told_in_proportion_where_the_system_knows(environment: dict[str, str]) -> None:
    memory = inspected(environment, *COOKIE, "--", *probe())["memory"]
    assert 2**20 < memory["pss"] <= memory["rss"]


def test_methods_are_shown_with_their_kind_and_their_messages(environment: dict[str, str]) -> None:
    services = {service["name"]: service for service in inspected(environment, *COOKIE, "--", *probe())["services"]}
    methods = {method["name"]: method for method in services["interop.v1.Probe"]["methods"]}
    assert methods["Stream"] == {
        "name": "Stream",
        "kind": "server streaming",
        "request": "interop.v1.StreamRequest",
        "response": "interop.v1.StreamResponse",
        "client_streaming": False,
        "server_streaming": True,
    }
    assert methods["Echo"]["kind"] == "unary"
    assert [method["kind"] for method in services["plugin.GRPCBroker"]["methods"]] == ["bidirectional"]


def test_the_plugin_takes_the_highest_version_of_those_offered(environment: dict[str, str]) -> None:
    plugin = ("--", *probe("--versions", "5,6,7"))
    assert inspected(environment, *COOKIE, *plugin)["versions"]["negotiated"] == 7
    found = inspected(environment, *COOKIE, "--versions", "1,6,5", *plugin)
    assert found["versions"] == {"offered": [1, 6, 5], "negotiated": 6, "matched": True}


def test_a_version_that_was_not_offered_is_shown_and_the_rest_as_well(environment: dict[str, str]) -> None:
    plugin = ("--", *probe("--versions", "5,6"))
    found = inspected(environment, *COOKIE, "--versions", "1,2", *plugin)
    assert found["versions"] == {"offered": [1, 2], "negotiated": 5, "matched": False}
    assert [service["name"] for service in found["services"]] == SERVICES
    assert re.search(
        r"protocol version +5 +not among 1-2", inspect(environment, *COOKIE, "--versions=1,2", *plugin).stdout
    )


def test_a_plugin_that_never_takes_what_it_is_offered_is_refused(environment: dict[str, str]) -> None:
    # Serves a version more each time that it is started.
    plugin = shell(
        'n=$(echo "$PLUGIN_PROTOCOL_VERSIONS" | tr , " " | wc -w); echo "1|$n|tcp|127.0.0.1:1|grpc|"; sleep 60'
    )
    found = inspected(environment, "--versions", "5", *plugin, code=1)
    assert found["error"]["kind"] == "HandshakeRefused"
    assert found["versions"]["negotiated"] is None


def test_a_plugin_without_reflection_is_shown_without_its_services(environment: dict[str, str], tmp_path: Path) -> None:
    plugin = bare(tmp_path, "")
    found = inspected(environment, *plugin)
    assert (found["reflection"], found["services"], found["error"]) == (False, None, None)
    assert "the plugin does not serve reflection" in inspect(environment, *plugin).stdout


def test_a_plugin_that_is_not_serving_is_at_fault_and_all_else_is_shown(
    environment: dict[str, str], tmp_path: Path
) -> None:
    plugin = bare(tmp_path, r'plugin.unary["/grpc.health.v1.Health/Check"] = lambda *_: b"\x08\x02"')
    found = inspected(environment, *plugin, code=1)
    assert found["health"]["serving"] is False
    assert "NOT_SERVING" in found["health"]["message"]
    assert found["error"] == {"kind": "PluginFault", "message": found["health"]["message"]}
    assert found["reflection"] is False
    assert found["stopped"]["how"] == "shutdown"


def test_reflection_that_answers_nonsense_is_a_fault_and_all_else_is_shown(
    environment: dict[str, str], tmp_path: Path
) -> None:
    plugin = bare(
        tmp_path,
        r"""
        path = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
        plugin.each[path] = lambda requests, _: (b"\xff\x1b[2J" for _ in requests)
        """,
    )
    found = inspected(environment, *plugin, code=1)
    assert found["error"]["kind"] == "PluginFault"
    assert r"\x1b[2J" in found["error"]["message"]
    assert (found["reflection"], found["services"]) == (None, None)
    assert found["health"]["serving"] is True
    assert found["stopped"]["how"] == "shutdown"


def test_a_plugin_that_ends_while_it_is_looked_at_is_lost(environment: dict[str, str], tmp_path: Path) -> None:
    plugin = bare(
        tmp_path,
        """
        def reflect(requests, _):
            print("out of order", file=sys.stderr, flush=True)
            os._exit(7)

        plugin.each["/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"] = reflect
        """,
    )
    found = inspected(environment, *plugin, code=1)
    assert found["error"]["kind"] == "PluginLost"
    assert "exit code 7" in found["error"]["message"]
    assert "out of order" in found["error"]["message"]
    assert found["stderr"] == ["out of order"]
    assert found["stopped"]["how"] == "exited already"
    assert found["stopped"]["exit_code"] == 7


def test_without_a_cookie_the_message_says_how_to_give_one_and_what_was_printed(environment: dict[str, str]) -> None:
    done = inspect(environment, "--", *probe())
    assert (done.returncode, done.stdout) == (1, "")
    assert "--cookie KEY=VALUE" in done.stderr
    assert "This binary is a plugin." in done.stderr
    assert "INTEROP_PLUGIN=bye" in inspect(environment, "--cookie", "INTEROP_PLUGIN=bye", "--", *probe()).stderr


def test_batch_plugins_need_no_cookie_option(environment: dict[str, str]) -> None:
    plugin = probe("--cookie-key", "GOPLUGIN_BATCH", "--cookie-value", "v1")
    assert inspected(environment, "--", *plugin)["error"] is None


@pytest.mark.parametrize(
    ("script", "kind", "says"),
    [
        ("echo oh dear >&2; exit 3", "PluginLost", ["exit code 3", "oh dear"]),
        ("kill -SEGV $$", "PluginLost", ["SIGSEGV"]),
        ("printf half; exit 0", "PluginLost", ["exit code 0", "half"]),
        ("echo oh dear >&2; sleep 0.1; echo hello; sleep 60", "HandshakeRefused", ["hello", "oh dear"]),
        ("echo '2|1|unix|/x|grpc|'; sleep 60", "HandshakeRefused", ["core protocol", 'command "sh"', "pid "]),
        ("echo '1|1|unix|/x|netrpc|'; sleep 60", "HandshakeRefused", ["netrpc"]),
        ("echo '1|1|tcp|127.0.0.1:1|grpc|'; exit 4", "PluginLost", ["exit code 4"]),
    ],
)
def test_a_plugin_that_breaks_the_contract_is_told_off(
    environment: dict[str, str], script: str, kind: str, says: list[str]
) -> None:
    found = inspected(environment, *shell(script), code=1)
    done = inspect(environment, *shell(script))
    assert done.returncode == 1
    assert found["error"]["kind"] == kind
    for words in says:
        assert words in found["error"]["message"]
        assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_a_line_that_is_refused_is_shown_all_the_same_field_by_field(environment: dict[str, str]) -> None:
    plugin = shell("echo '1|one|udp|here|netrpc'; sleep 60")
    found = inspected(environment, *plugin, code=1)
    assert found["handshake"]["line"] == "1|one|udp|here|netrpc"
    assert [found["handshake"]["sent"][name] for name in FIELDS] == ["1", "one", "udp", "here", "netrpc", None, None]
    lines = [line.split(maxsplit=2) for line in inspect(environment, *plugin).stdout.splitlines()]
    assert ["protocol", "version", "one     must be a number"] in lines


def test_a_first_line_that_is_no_handshake_is_shown_as_it_came(environment: dict[str, str]) -> None:
    plugin = shell("echo 'Loading | please wait'; sleep 60")
    assert inspected(environment, *plugin, code=1)["handshake"] == {"line": "Loading | please wait", "sent": None}
    assert inspect(environment, *plugin).stdout.startswith(
        "Handshake  Loading | please wait\n  no handshake line: it has fewer than four fields\n"
    )


def test_escape_sequences_of_a_plugin_never_reach_the_terminal(environment: dict[str, str]) -> None:
    script = r"printf '\033[2J\n' >&2; sleep 0.1; printf '1|1|unix|\033[2J|grpc|\n'; sleep 60"
    for options in ((), ("--verbose",), ("--json",)):
        done = inspect(environment, *options, *shell(script))
        assert done.returncode == 1
        assert "\x1b" not in done.stdout + done.stderr
        assert "[2J" in done.stdout
        assert "[2J" in done.stderr


def test_a_program_that_is_not_there_is_named(environment: dict[str, str]) -> None:
    done = inspect(environment, "--", "./no-such-plugin")
    assert (done.returncode, done.stdout) == (1, "")
    assert "./no-such-plugin" in done.stderr
    assert "Traceback" not in done.stderr
    found = inspected(environment, "--", "./no-such-plugin", code=1)
    assert (found["pid"], found["handshake"], found["stopped"]) == (None, None, None)
    assert found["error"]["kind"] == "MachineFault"


def test_a_plugin_that_says_nothing_is_given_up_after_the_start_timeout(environment: dict[str, str]) -> None:
    found = inspected(environment, "--start-timeout", "0.3", "--", "sleep", "60", code=1)
    assert found["error"]["kind"] == "StartTimeout"
    assert found["stopped"]["how"] == "killed"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "Missing argument"),
        (("--cookie", "A", "--", "sleep", "60"), "the form KEY=VALUE"),
        (("--cookie", "=A", "--", "sleep", "60"), "cookie_key"),
        (("--cookie", "A=", "--", "sleep", "60"), "cookie_value"),
        (("--versions", "1,x", "--", "sleep", "60"), "versions are numbers"),
        (("--versions", "", "--", "sleep", "60"), "versions are numbers"),
        (("--versions", "-1", "--", "sleep", "60"), "not negative"),
        (("--start-timeout", "0", "--", "sleep", "60"), "start_timeout"),
        (("--start-timeout", "nan", "--", "sleep", "60"), "start_timeout"),
        (("--no-such-option", "--", "sleep", "60"), "--no-such-option"),
        (("--", ""), "command"),
    ],
)
def test_a_command_line_that_makes_no_sense_starts_nothing(
    environment: dict[str, str], arguments: tuple[str, ...], says: str
) -> None:
    done = inspect(environment, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_options_after_the_command_are_the_plugins_own(environment: dict[str, str]) -> None:
    found = inspected(environment, *COOKIE, *probe(), "--versions", "9")
    assert found["versions"]["negotiated"] == 9


def test_a_wrapper_and_its_plugin_are_measured_together(environment: dict[str, str], tmp_path: Path) -> None:
    _, python, script = bare(tmp_path, "")
    found = inspected(environment, *shell(f"'{python}' '{script}'; exit $?"))
    assert found["memory"]["processes"] == 2


def test_a_piped_report_is_plain_text(environment: dict[str, str]) -> None:
    done = inspect(environment, *COOKIE, "--", *probe())
    assert (done.returncode, done.stderr) == (0, "")
    assert "\x1b" not in done.stdout
    assert "\n    Put  unary  PutRequest -> Empty\n" in done.stdout
    assert "\nHealth   serving\n" in done.stdout
    assert not [line for line in done.stdout.splitlines() if line != line.rstrip()]
    (address,) = re.findall(r"address +(\S+)  where the plugin listens", done.stdout)
    assert address in done.stdout.splitlines()[0]


def test_a_report_fits_a_terminal_of_eighty_columns(environment: dict[str, str]) -> None:
    code, screen = on_a_terminal(environment, *COOKIE, "--", *probe())
    assert code == 0
    assert "\x1b[1m" in screen
    lines = re.sub(r"\x1b\[[0-9;]*m", "", screen).splitlines()
    assert max(map(len, lines)) <= 80
    assert "…" not in screen, "clipped, where it should have been folded"
    assert [line for line in lines if line.split() == ["Get", "unary", "GetRequest", "->", "GetResponse"]]
    assert "stream ServerReflectionResponse" in re.sub(r"\s+", " ", " ".join(lines))


def test_what_the_plugin_logs_and_prints_is_shown_when_asked_for(environment: dict[str, str], tmp_path: Path) -> None:
    plugin = bare(tmp_path, r"""print('{"@level":"warn","@message":"low","tank":"7"}', file=sys.stderr, flush=True)""")
    assert inspect(environment, *plugin).stderr == ""
    shown = inspect(environment, "--verbose", *plugin).stderr.splitlines()
    assert 'warning low tank="7"' in shown
    assert "stdout  out" in shown
    assert "stderr  err" in shown


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_the_plugin_goes_with_an_inspection_that_is_broken_off(
    environment: dict[str, str], tmp_path: Path, number: signal.Signals
) -> None:
    started = tmp_path / "started"
    command = [GOPLUGIN, "inspect", *shell(f"trap '' TERM HUP INT; echo > '{started}'; sleep 60")]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        until = time.monotonic() + SOON
        while not started.exists():
            assert time.monotonic() < until
            time.sleep(0.02)
        process.send_signal(number)
        _, complaint = process.communicate(timeout=SOON)
    assert process.returncode == 128 + number
    assert "Traceback" not in complaint


def test_an_examination_that_was_broken_off_before_it_began_starts_nothing() -> None:
    report = Report(command=("sleep", "60"), offered=(1,))
    examination = Examination(report, Handshake(cookie_key="A", cookie_value="B"), 0.1, None)
    examination.stop()
    assert isinstance(examination.run(), Misuse)
    assert report.pid is None


def test_every_key_of_the_document_is_documented() -> None:
    page = (ROOT / "docs" / "inspect.md").read_text()
    keys = re.findall(r"`([a-z_.]+)`", "".join(re.findall(r"^\| (`[^|]+) \|", page, re.MULTILINE)))
    assert {key.split(".")[0] for key in keys} == set(document(Report(command=(), offered=())))
    assert all(f"`{name}`" in page for name in FIELDS)


@pytest.mark.parametrize(
    ("versions", "text"),
    [((), ""), ((5,), "5"), ((6, 5, 1, 1), "1, 5-6"), (range(100), "0-99"), ((1, 3, 5), "1, 3, 5")],
)
def test_versions_are_written_in_short(versions: Any, text: str) -> None:
    assert spans(versions) == text


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b"1|1|unix|/x|grpc|", {"server certificate": "no TLS was asked for", "multiplexing": "not asked for"}),
        (b"1|1|unix|/x|grpc", {"server certificate": "an old plugin, which knows of none"}),
        (b"1|1|unix|/x", {"protocol": "net/rpc, which only Go speaks"}),
        (b"1|1|unix|/x|http", {"protocol": "must be grpc or netrpc"}),
        (b"1|1|tcp|:5|grpc|old|true", {"network": "a TCP port", "address": "where the plugin listens"}),
        (
            b"1|1|tcp|5|grpc|old|",
            {"address": "must be host:port", "server certificate": "ignored, for it is too short"},
        ),
        (b"1|1|tcp|5|grpc|" + b"M" * 80, {"server certificate": "a certificate, but none was asked for"}),
        (b"1|1|unix|/x|grpc||true", {"multiplexing": "ignored, for it was not asked for"}),
        (b"1|-1|udp|/x|grpc|", {"protocol version": "must be a number", "address": "of an unknown network"}),
        (b"01|1|unix|/x|grpc|", {"core protocol": "go-plugin's handshake"}),
    ],
)
def test_each_field_is_explained(line: bytes, says: dict[str, str]) -> None:
    shown = shown_as(Report(command=("x",), offered=(1,), line=line))
    for name, words in says.items():
        (row,) = [row for row in shown.splitlines() if row.startswith(f"  {name}  ")]
        assert words in row


@given(st.binary(max_size=80) | st.lists(st.binary(max_size=20), min_size=4, max_size=9).map(b"|".join))
def test_any_first_line_can_be_shown_and_harms_no_terminal(line: bytes) -> None:
    report = Report(command=("x",), offered=(1,), line=line)
    assert shown_as(report).replace("\n", "").isprintable()
    json.dumps(document(report))
    fields = sent(line)
    assert fields is None or list(fields) == list(FIELDS)


def shown_as(report: Report) -> str:
    console = Console(file=io.StringIO(), width=500)
    show(report, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()
