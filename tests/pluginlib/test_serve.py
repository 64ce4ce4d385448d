"""A plugin's whole life as its host sees it, the same for both shells: one table, real processes."""

import json
import os
import select
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import grpc
import pytest
from grpc_reflection.v1alpha import reflection_pb2 as alpha
from plugin_process import PATIENCE, PROGRAMS, PluginProcess, Stdio, call, command, environment, open_broker
from waiting import until

from goplugin.handshake import RUN_BY_HAND, Tcp
from goplugin.pluginlib import _life
from goplugin.pluginlib._spool import LIMIT, PIECE
from goplugin.proto import reflection
from goplugin.proto.health import CHECK, LIST, WATCH, HealthCheckRequest, HealthCheckResponse, HealthListRequest
from goplugin.proto.rpc import Method

SERVICES = [
    "grpc.health.v1.Health",
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
    "plugin.GRPCBroker",
    "plugin.GRPCController",
    "plugin.GRPCStdio",
    "test.Program",
]


AT_LEISURE = ("--drain", "20")
"""For what has to arrive in the end: nothing waits so long for its own sake, and a busy machine is late."""
STALL = 20.0  # for pluginlib's own where a writer must not wait so long: by that it is told apart from a slow one


@pytest.fixture(params=["sync", "aio"])
def shell(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def plugin(shell: str) -> Iterator[PluginProcess]:
    with PluginProcess("--shell", shell, *AT_LEISURE) as process:
        yield process.ready()


def refused(*arguments: str, env: dict[str, str] | None = None, cookie: bool = True, **popen: Any) -> PluginProcess:
    """Return a plugin that ended without having served."""
    with PluginProcess(*arguments, env=env, cookie=cookie, **popen) as process:
        assert process.raw_line() == b""
        assert process.wait() == 1
    return process


# The start


@pytest.mark.fault(46)
def test_the_first_bytes_on_stdout_are_the_line(plugin: PluginProcess) -> None:
    assert plugin.line.format() == f"1|1|unix|{plugin.socket}|grpc|\n".encode()
    plugin.shut_down()
    assert plugin.stdout() == b""


@pytest.mark.parametrize("asked", ["true", "false", "nonsense"])
def test_a_host_that_knows_a_seventh_field_is_told_that_the_plugin_can_multiplex(shell: str, asked: str) -> None:
    with PluginProcess("--shell", shell, env={"PLUGIN_MULTIPLEX_GRPC": asked}) as process:
        assert process.raw_line().endswith(b"|grpc||true\n")


@pytest.mark.parametrize("value", ["", "no"])
@pytest.mark.fault(36)
def test_a_human_is_told_what_a_plugin_is(shell: str, value: str) -> None:
    process = refused("--shell", shell, env={"TEST_COOKIE": value}, cookie=False)
    assert process.stderr().decode() == RUN_BY_HAND


def test_importing_pluginlib_imports_nothing_that_takes_time() -> None:
    program = "import sys; from goplugin import pluginlib; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    loaded = set(run.stdout.split())
    assert "goplugin.pluginlib._serve" in loaded
    assert not loaded & {"grpc", "asyncio", "cryptography", "google.protobuf", "json", "ssl"}


def test_a_plugin_that_serves_has_loaded_no_more_than_it_needs() -> None:
    with PluginProcess() as process:
        loaded = set(process.ready().do("look")["modules"])
    costly = {
        "cryptography",
        "goplugin.transport.tls",
        "psutil",
        "google.protobuf.descriptor_pb2",
        "grpc_health.v1",
        "grpc_reflection.v1alpha",
    }
    assert loaded & costly == set()
    assert "goplugin.pluginlib._health" not in loaded


@pytest.mark.parametrize(
    ("ours", "offered", "served"),
    [("3,5", "5,2,3", 5), ("2,3,5", "1,3,2", 3), ("7,8", "1,2", 7), ("2,1", "", 1), ("5", "x,5,", 5)],
)
def test_the_version_is_chosen_as_go_chooses(shell: str, ours: str, offered: str, served: int) -> None:
    with PluginProcess("--shell", shell, "--versions", ours, env={"PLUGIN_PROTOCOL_VERSIONS": offered}) as process:
        assert process.ready().line.version == served
        process.shut_down()
        complaints = [record["@message"] for record in process.records()]
    bad = ["x", ""] if "x" in offered else []
    assert complaints == [f"the host sent an invalid plugin version {entry!r}, skipped" for entry in bad]


def test_the_socket_lies_where_the_host_wants_it(shell: str, tmp_path: Path) -> None:
    with PluginProcess("--shell", shell, env={"PLUGIN_UNIX_SOCKET_DIR": str(tmp_path)}) as process:
        assert process.ready().socket.parent == tmp_path
        assert stat.S_IMODE(process.socket.stat().st_mode) == 0o600
        process.shut_down()
        process.wait()
    assert list(tmp_path.iterdir()) == []


def test_the_group_that_the_host_names_may_connect(shell: str) -> None:
    with PluginProcess("--shell", shell, env={"PLUGIN_UNIX_SOCKET_GROUP": str(os.getgid())}) as process:
        found = process.ready().socket.stat(), process.socket.parent.stat()
        assert [(stat.S_IMODE(of.st_mode), of.st_gid) for of in found] == [(0o660, os.getgid()), (0o770, os.getgid())]


@pytest.mark.fault(30)
def test_a_directory_of_its_own_is_private(plugin: PluginProcess) -> None:
    assert stat.S_IMODE(plugin.socket.parent.stat().st_mode) == 0o700


def test_tcp_uses_the_first_free_port_of_the_range(shell: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        low = taken.getsockname()[1]
        high = min(low + 20, 65535)
        env = {"PLUGIN_MIN_PORT": str(low), "PLUGIN_MAX_PORT": str(high)}
        with PluginProcess("--shell", shell, "--network", "tcp", env=env) as process:
            address = process.ready().line.address
            assert isinstance(address, Tcp)
            assert (address.host, low < address.port <= high) == ("127.0.0.1", True)
            assert process.do("pids")[0] == process.process.pid


@pytest.mark.parametrize(
    ("env", "said"),
    [
        ({"PLUGIN_UNIX_SOCKET_DIR": "/nowhere/at/all"}, "PLUGIN_UNIX_SOCKET_DIR names no directory"),
        ({"PLUGIN_UNIX_SOCKET_DIR": "/" + "d" * 120}, "PLUGIN_UNIX_SOCKET_DIR"),
        ({"PLUGIN_UNIX_SOCKET_GROUP": "no such group"}, "PLUGIN_UNIX_SOCKET_GROUP names no group"),
        ({"PLUGIN_MIN_PORT": "x"}, "PLUGIN_MIN_PORT must be a port"),
        ({"PLUGIN_MIN_PORT": "3", "PLUGIN_MAX_PORT": "2"}, "PLUGIN_MIN_PORT is 3, which is greater"),
        ({"TMPDIR": "/nowhere/at/all"}, "cannot make a directory for sockets in TMPDIR"),
        ({"TMPDIR": "/proc"}, "cannot make a directory for sockets in TMPDIR"),
        ({"TMPDIR": "/" + "d" * 120}, "cannot make a directory for sockets in TMPDIR"),
    ],
)
@pytest.mark.fault(27)
def test_a_start_that_cannot_be_is_one_line_at_level_error(shell: str, env: dict[str, str], said: str) -> None:
    process = refused("--shell", shell, env=env)
    [record] = process.records()
    assert record["@level"] == "error"
    assert record["@message"].startswith("the plugin cannot start: ")
    assert said in record["@message"]
    assert len(process.stderr().splitlines()) == 1


def test_a_taken_range_of_ports_is_a_start_that_cannot_be(shell: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = str(taken.getsockname()[1])
        env = {"PLUGIN_MIN_PORT": port, "PLUGIN_MAX_PORT": port}
        process = refused("--shell", shell, "--network", "tcp", env=env)
    assert [record["@message"] for record in process.records()] == [
        f"the plugin cannot start: no free port from PLUGIN_MIN_PORT {port} to PLUGIN_MAX_PORT {port} on 127.0.0.1"
    ]


@pytest.mark.fault(12)
def test_a_closed_stdout_is_a_start_that_cannot_be(shell: str) -> None:
    script = f"exec {' '.join(command('--shell', shell))} >&-"
    run = subprocess.run(["sh", "-c", script], env=environment(), capture_output=True, timeout=PATIENCE)
    assert run.returncode == 1
    assert "a plugin needs a stdout" in json.loads(run.stderr)["@message"]


def test_a_host_that_closed_its_end_before_the_line_is_a_start_that_cannot_be(shell: str, tmp_path: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    env = environment({"TMPDIR": str(tmp_path)})
    run = subprocess.run(command("--shell", shell), env=env, stdout=write, stderr=subprocess.PIPE, timeout=PATIENCE)
    os.close(write)
    assert run.returncode == 1
    assert "cannot write the handshake line" in json.loads(run.stderr)["@message"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.fault(4, 45)
def test_what_a_plugin_prints_before_it_serves_comes_after_the_line(shell: str) -> None:
    with PluginProcess("--shell", shell, "--setup", '{"do": "say", "text": "loading"}') as process:
        stdio = Stdio(process.ready().channel)
        stdio.until(b"loading\n")


def test_a_start_that_fails_in_the_program_shows_what_it_said_and_why(shell: str) -> None:
    process = refused("--shell", shell, "--setup", '{"do": "fail"}')
    [record] = process.records()
    assert (record["@level"], record["@message"]) == ("error", "uncaught exception: ValueError")
    assert "ValueError: as told" in record["@exception"]


def test_what_was_printed_before_a_failed_start_is_in_the_log(shell: str) -> None:
    process = refused("--shell", shell, "--setup", '{"do": "leave_with", "code": 1}', "--versions", "1")
    assert process.stderr() == b""
    setup = '{"do": "say_and_leave", "text": "no licence", "code": 1}'
    assert refused("--shell", shell, "--setup", setup).stderr() == b"no licence\n"


@pytest.mark.parametrize("action", ["line", "child_line"])
def test_what_a_plugin_prints_before_it_serves_may_be_more_than_a_pipe_holds(shell: str, action: str) -> None:
    setup = json.dumps({"do": action, "size": 500_000})
    with PluginProcess("--shell", shell, "--setup", setup) as process:
        stdio = Stdio(process.ready().channel)
        stdio.until(b"x\n")
        assert (len(stdio.out), bytes(stdio.err)) == (500_001, b"")


def test_of_what_a_plugin_prints_before_it_serves_the_end_is_kept_and_the_rest_counted(shell: str) -> None:
    setup = json.dumps({"do": "line", "size": 10_000_000})
    with PluginProcess("--shell", shell, "--setup", setup) as process:
        stdio = Stdio(process.ready().channel)
        stdio.until(b"x\n")
    notice, _, rest = bytes(stdio.err).partition(b"\n")
    assert rest == b""
    dropped = int(notice.removeprefix(b"goplugin: ").removesuffix(b" bytes of output were dropped, nobody read them"))
    assert dropped + len(stdio.out) == 10_000_001
    # Beside what the spool keeps, a pipe and the piece in its reader's hand may still have been full as the host came.
    assert LIMIT <= len(stdio.out) <= LIMIT + 3 * PIECE


def test_a_start_that_fails_tells_all_that_was_printed_in_order(shell: str) -> None:
    setup = json.dumps({"do": "count_and_leave", "lines": 20_000, "code": 1})
    process = refused("--shell", shell, "--setup", setup)
    assert process.stderr() == b"".join(b"line %d\n" % number for number in range(20_000))


FORKS = """
import os, sys
from goplugin.handshake import Handshake
from goplugin.pluginlib._options import Options
from goplugin.pluginlib._stage import staged

handshake = Handshake(cookie_key="TEST_COOKIE", cookie_value="yes")
options = Options(None, None, 1, (), 0, False, False, None)
with staged(handshake, {"program": print}, None, options, print):
    print("x" * 500_000)  # more than a pipe holds, so some has been taken
    if os.fork() == 0:
        sys.exit(0)
    os.wait()
    sys.exit(3)
"""


def test_a_child_that_was_forked_before_the_start_failed_tells_nothing_of_its_parents() -> None:
    run = subprocess.run([sys.executable, "-c", FORKS], env=environment(), capture_output=True, timeout=PATIENCE)
    assert (run.returncode, len(run.stderr), run.stdout) == (3, 500_001, b"")


# The services that every plugin has


def test_health_is_as_gos(plugin: PluginProcess) -> None:
    check, serving = call(plugin.channel, CHECK), HealthCheckResponse.SERVING
    for name in ("", "plugin"):
        assert check(HealthCheckRequest(service=name), timeout=PATIENCE).status == serving
    with pytest.raises(grpc.RpcError) as unknown:
        check(HealthCheckRequest(service="kv"), timeout=PATIENCE)
    assert cast("grpc.Call", unknown.value).code() is grpc.StatusCode.NOT_FOUND
    statuses = call(plugin.channel, LIST)(HealthListRequest(), timeout=PATIENCE).statuses
    assert {name: state.status for name, state in statuses.items()} == {"": serving, "plugin": serving}


def test_a_watcher_sees_the_end_coming(plugin: PluginProcess) -> None:
    watches = [call(plugin.channel, WATCH)(HealthCheckRequest(service=name)) for name in ("", "plugin", "kv")]
    is_ = HealthCheckResponse
    assert [next(watch).status for watch in watches] == [is_.SERVING, is_.SERVING, is_.SERVICE_UNKNOWN]
    plugin.shut_down()
    rest = [[state.status for state in watch] for watch in watches]
    assert rest == [[is_.NOT_SERVING], [is_.NOT_SERVING], [is_.SERVICE_UNKNOWN]]


@pytest.mark.parametrize("alpha_version", [False, True])
def test_reflection_lists_what_a_go_plugin_lists_and_the_authors_own(
    plugin: PluginProcess, alpha_version: bool
) -> None:
    if alpha_version:
        method: Method[Any, Any] = Method(
            path="/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
            request=alpha.ServerReflectionRequest,
            response=alpha.ServerReflectionResponse,
            client_streaming=True,
            server_streaming=True,
        )
    else:
        method = reflection.SERVER_REFLECTION_INFO
    requests = [method.request(list_services="")] + [
        method.request(file_containing_symbol=name) for name in SERVICES[:-1]
    ]
    answers = list(call(plugin.channel, method)(iter(requests), timeout=PATIENCE))
    assert [service.name for service in answers[0].list_services_response.service] == SERVICES
    assert all(answer.file_descriptor_response.file_descriptor_proto for answer in answers[1:])


@pytest.mark.fault(15)
def test_own_services_answer_while_every_worker_is_busy(shell: str) -> None:
    with PluginProcess("--shell", shell, "--workers", "1") as process:
        process.ready()
        busy = [process.begin("hang") for _ in range(3)]
        answer = call(process.channel, CHECK)(HealthCheckRequest(service="plugin"), timeout=PATIENCE)
        assert answer.status == HealthCheckResponse.SERVING
        for hung in busy:
            hung.cancel()


def test_a_bad_announcement_is_logged_and_the_stream_goes_on(shell: str) -> None:
    from goplugin.proto.plugin import START_STREAM, ConnInfo

    infos = [
        ConnInfo(service_id=7, network="smoke", address="signal"),
        ConnInfo(service_id=8, network="unix", address="/a"),
    ]
    with PluginProcess("--shell", shell, "--stay") as plugin:  # or it would soon leave by itself
        assert list(call(plugin.ready().channel, START_STREAM)(iter(infos), timeout=PATIENCE)) == []
        plugin.shut_down()
        [record] = [record for record in plugin.records() if record["@module"] == "goplugin.pluginlib"]
    assert (record["@level"], record["id"]) == ("warn", 7)
    assert "smoke" in record["@message"]


# The end


@pytest.mark.fault(48)
def test_shutdown_is_answered_and_then_nothing_is_left(plugin: PluginProcess) -> None:
    stream, stdio = open_broker(plugin.channel), Stdio(plugin.channel)
    plugin.do("say", text="up")
    stdio.until(b"up\n")
    plugin.shut_down()
    assert plugin.wait() == 0
    stdio.all()
    assert stdio.status is grpc.StatusCode.OK
    assert stream.code() is grpc.StatusCode.OK
    assert not plugin.socket.parent.exists()
    assert plugin.stderr() == b""


def test_sigterm_stops_it_as_cleanly(plugin: PluginProcess) -> None:
    plugin.process.send_signal(signal.SIGTERM)
    assert plugin.wait() == 0
    assert not plugin.socket.parent.exists()


@pytest.mark.fault(39)
def test_sigint_does_nothing(plugin: PluginProcess) -> None:
    for _ in range(3):
        plugin.process.send_signal(signal.SIGINT)
    assert plugin.do("pids")[0] == plugin.process.pid
    plugin.shut_down()
    assert plugin.wait() == 0


@pytest.mark.parametrize("stop", ["shutdown", "sigterm"])
def test_a_running_call_may_finish_and_what_it_prints_arrives(plugin: PluginProcess, stop: str) -> None:
    stdio = Stdio(plugin.channel)
    running = plugin.begin("take", method="Sync", seconds=0.5, text="done after all", said_first="begun")
    stdio.until(b"begun\n")
    if stop == "shutdown":
        plugin.shut_down()
    else:
        plugin.process.send_signal(signal.SIGTERM)
    assert running.result() == b"null"
    stdio.all()
    assert b"done after all\n" in stdio.out
    assert plugin.wait() == 0


@pytest.mark.fault(16)
def test_a_hung_handler_cannot_keep_the_process(shell: str) -> None:
    with PluginProcess("--shell", shell, "--drain", "0.2") as process:
        process.ready()
        hung = process.begin("hang")
        process.do("pids")
        process.shut_down()
        assert process.wait() == 0
        assert hung.exception() is not None
        assert not process.socket.parent.exists()


def test_a_hung_thread_cannot_keep_the_process_after_shutdown(shell: str) -> None:
    with PluginProcess("--shell", shell, "--drain", "0.1", "--exit-within", "2") as process:
        process.ready().do("hang_thread")
        process.shut_down()
        assert process.wait() == 0
        assert not process.socket.parent.exists()
        [record] = process.records()
    assert record["@level"] == "warn"
    assert record["threads"] == ["hung"]


def test_sigterm_leaves_the_program_the_time_it_takes(shell: str) -> None:
    afterwards = '{"do": "take", "seconds": 1.0}'
    arguments = ("--shell", shell, "--drain", "0", "--exit-within", "0.2", "--afterwards", afterwards)
    with PluginProcess(*arguments) as process:
        process.ready().process.send_signal(signal.SIGTERM)
        assert process.wait() == 0
        assert process.stderr() == b""


def test_after_serving_stdout_and_stderr_are_the_processs_own_again(shell: str) -> None:
    with PluginProcess("--shell", shell, "--afterwards", '{"do": "say_twice", "text": "bye"}') as process:
        process.ready().shut_down()
        assert process.wait() == 0
        assert process.stdout() == b"bye\n"
        assert process.stderr() == b"bye\n"


# A host that dies


@pytest.mark.parametrize("wrapped", [False, True], ids=["its parent", "behind a shell"])
@pytest.mark.fault(40)
def test_a_plugin_leaves_with_a_host_that_is_killed(shell: str, wrapped: bool, sockets: Path) -> None:
    """A machine that is busy with something else may make it late once, and not every time, and slow to end."""
    limit = _life.ORPHANED_AFTER + 1.0 if wrapped else 1.0
    assert any(outlives_its_host(shell, wrapped, sockets) < limit + takes_to_end(shell) for _ in range(5))
    assert list(sockets.iterdir()) == []


def takes_to_end(shell: str) -> float:
    """Return the seconds that a plugin takes that is told to end."""
    with PluginProcess("--shell", shell) as process:
        process.ready()
        told = time.monotonic()
        process.process.terminate()
        process.wait()
        return time.monotonic() - told


def outlives_its_host(shell: str, wrapped: bool, sockets: Path) -> float:
    """Return the seconds from a host's end by SIGKILL until its plugin's, at most."""
    alive, held = os.pipe()
    argv = command("--shell", shell)
    if wrapped:
        argv.append("--broker")  # what it announces shows that it knows of the stream
        # The trailing command keeps the shell from becoming the plugin. The plugin's parent then lives on.
        argv = ["sh", "-c", f"{' '.join(argv)}; true"]
    # Without the stream, only the parent can tell; behind a shell, only the stream can.
    env = environment({"LIVENESS": str(held), "TMPDIR": str(sockets)} | ({"BROKER": "1"} if wrapped else {}))
    host = subprocess.Popen(
        [sys.executable, str(PROGRAMS / "host.py"), *argv], env=env, stdout=subprocess.PIPE, pass_fds=[held]
    )
    try:
        os.close(held)
        assert host.stdout is not None
        assert host.stdout.readline() == b"ready\n"
        assert list(sockets.iterdir()) != []
        killed = time.monotonic()
        host.kill()
        host.wait(PATIENCE)
        ended = select.select([alive], [], [], PATIENCE)[0]
        took = time.monotonic() - killed
        assert ended
        assert os.read(alive, 1) == b""
    finally:
        host.kill()
        host.wait(PATIENCE)
        host.stdout.close()  # type: ignore[union-attr]
        os.close(alive)
    return took


def test_a_plugin_that_is_to_be_found_again_outlives_its_host(shell: str) -> None:
    with PluginProcess("--shell", shell, "--stay", "--broker") as process:
        process.ready()
        stream = open_broker(process.channel)
        next(stream)  # so it knows of it
        stream.cancel()
        # Longer than an orphan waits: an answer after that is the proof.
        process.do("take", seconds=_life.ORPHANED_AFTER + 0.5)
        assert process.do("pids")[0] == process.process.pid


@pytest.mark.fault(40)
def test_a_plugin_whose_connection_ended_without_shutdown_leaves(shell: str) -> None:
    with PluginProcess("--shell", shell, "--broker") as process:
        process.ready()
        stream = open_broker(process.channel)
        next(stream)  # so it knows of it
        stream.cancel()
        assert process.wait() == 0


# What it prints


@pytest.mark.parametrize(
    ("action", "arguments"),
    [
        ("say", {"text": "said"}),
        ("write", {"text": "said\n"}),
        ("puts", {"text": "said"}),
        ("child", {"text": "said"}),
    ],
)
@pytest.mark.fault(45)
def test_everything_on_descriptor_1_reaches_the_host(
    plugin: PluginProcess, action: str, arguments: dict[str, Any]
) -> None:
    stdio = Stdio(plugin.channel)
    plugin.do(action, **arguments)
    stdio.until(b"said\n")
    assert (bytes(stdio.out), bytes(stdio.err)) == (b"said\n", b"")


def test_sys_stderr_reaches_the_host_on_its_own_channel(plugin: PluginProcess) -> None:
    stdio = Stdio(plugin.channel)
    plugin.do("say", text="schön", stream="stderr")
    stdio.until("schön\n".encode())
    assert stdio.out == b""
    plugin.shut_down()
    assert plugin.stderr() == b""


def test_a_host_that_is_faster_than_the_plugin_misses_nothing(shell: str) -> None:
    with PluginProcess("--shell", shell, "--pause", "0.5") as process:
        stdio = Stdio(process.ready().channel)
        process.do("say", text="early", stream="stderr")
        stdio.until(b"early\n")
        process.process.send_signal(signal.SIGINT)
        process.process.send_signal(signal.SIGTERM)
        assert process.wait() == 0


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_ten_megabytes_in_one_line_arrive_whole(plugin: PluginProcess, stream: str) -> None:
    stdio = Stdio(plugin.channel)
    plugin.do("line", size=10_000_000, stream=stream)
    plugin.shut_down()
    stdio.all()
    arrived = bytes(stdio.out if stream == "stdout" else stdio.err)
    # Not compared at once: pytest would spend minutes on the difference of two such lines.
    assert (len(arrived), arrived[:20], set(arrived[:-1]), arrived[-1:]) == (10_000_001, b"x" * 20, {ord("x")}, b"\n")
    assert stdio.largest <= 32 * 1024
    assert plugin.wait() == 0


def test_many_lines_arrive_in_order(plugin: PluginProcess) -> None:
    stdio = Stdio(plugin.channel)
    plugin.do("count", lines=20_000)
    plugin.shut_down()
    stdio.all()
    assert stdio.out == b"".join(b"line %d\n" % number for number in range(20_000))


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
@pytest.mark.fault(14, 25)
def test_without_a_reader_nothing_blocks_and_a_late_reader_gets_the_end_and_a_count(shell: str, stream: str) -> None:
    with PluginProcess("--shell", shell, "--expected", "0") as plugin:
        plugin.ready().do("line", size=10_000_000, stream=stream)
        plugin.do("say", text="the end", stream=stream)
        stdio = Stdio(plugin.channel)
        stdio.until(b"the end\n")
    notice, _, _ = stdio.err.partition(b"\n")
    dropped = int(notice.removeprefix(b"goplugin: ").removesuffix(b" bytes of output were dropped, nobody read them"))
    kept = len(stdio.out) + len(stdio.err) - len(notice) - 1
    assert dropped + kept == 10_000_001 + len(b"the end\n")
    assert kept <= LIMIT + 3 * PIECE  # as above


def test_what_is_printed_before_the_first_reader_comes_waits_for_it(shell: str) -> None:
    with PluginProcess("--shell", shell, "--expected", str(PATIENCE), "--stall", str(PATIENCE)) as plugin:
        printing = plugin.ready().begin("line", size=3_000_000)
        stdio = Stdio(plugin.channel)
        stdio.until(b"x\n")
        printing.result()
        assert (len(stdio.out), bytes(stdio.err)) == (3_000_001, b"")


def test_a_reader_that_went_away_counts_as_absent(shell: str) -> None:
    with PluginProcess("--shell", shell, "--stall", str(STALL)) as plugin:
        first = Stdio(plugin.ready().channel)
        plugin.do("say", text="one")
        first.until(b"one\n")
        first.cancel()
        until(lambda: not plugin.do("", method="Heard"), PATIENCE)
        assert plugin.do("line", size=10_000_000) < STALL
        plugin.do("say", text="two")
        second = Stdio(plugin.channel)
        second.until(b"two\n")
        assert b"bytes of output were dropped" in second.err


def test_sigterms_all_through_the_stop_leave_nothing_behind(shell: str) -> None:
    with PluginProcess("--shell", shell) as process:
        process.ready().shut_down()
        while process.process.poll() is None:
            process.process.terminate()
            time.sleep(0.0005)


def test_what_is_still_in_the_pipe_at_the_end_arrives(shell: str) -> None:
    with PluginProcess("--shell", shell, *AT_LEISURE, "--pipe-piece", "64") as process:
        stdio = Stdio(process.ready().channel)
        process.do("line", size=60_000)
        process.shut_down()
        stdio.all()
        assert len(stdio.out) == 60_001


def test_a_callback_that_prints_more_than_is_kept_does_not_wait_for_its_own_loop() -> None:
    with PluginProcess("--shell", "aio", "--stall", str(STALL)) as process:
        stdio = Stdio(process.ready().channel)
        assert process.do("line", size=80_000_000, stream="stderr") < STALL
        process.do("say", text="on it goes")
        stdio.until(b"on it goes\n")
        assert b"bytes of output were dropped" in stdio.err


def test_a_second_reader_takes_over(plugin: PluginProcess) -> None:
    first = Stdio(plugin.channel)
    plugin.do("say", text="one")
    first.until(b"one\n")
    second = Stdio(plugin.channel)
    first.all()
    assert first.status is grpc.StatusCode.OK
    plugin.do("say", text="two")
    second.until(b"two\n")
    assert first.out == b"one\n"


@pytest.mark.fault(18, 45)
def test_a_child_that_holds_stdout_holds_up_nothing(plugin: PluginProcess) -> None:
    stdio = Stdio(plugin.channel)
    pid = plugin.do("child_holding_stdout", seconds=60)
    try:
        plugin.do("say", text="last words")
        plugin.shut_down()
        stdio.all()
        assert stdio.out == b"last words\n"
        assert plugin.wait() == 0
    finally:
        os.kill(pid, signal.SIGKILL)


def test_a_forked_child_speaks_and_dies_for_itself(shell: str) -> None:
    # grpcio's own handlers for forks crash now and then when they run beside its threads.
    with PluginProcess("--shell", shell, env={"GRPC_ENABLE_FORK_SUPPORT": "0"}) as process:
        process.ready()
        assert process.do("forked", how="speaks") == 0
        assert process.do("forked", how="terminated") == signal.SIGTERM
        assert process.do("pids")[0] == process.process.pid
        process.shut_down()
        assert process.stderr() == b"the child speaks\n"


# What it says in the host's log


def test_what_descriptor_2_is_for(plugin: PluginProcess) -> None:
    look = plugin.do("look")
    assert look["stderr_fileno"] == 2
    assert look["line_buffering"]


def test_logging_arrives_as_hclog_with_level_and_fields(plugin: PluginProcess) -> None:
    levels = {5: "trace", 10: "debug", 20: "info", 30: "warn", 40: "error", 50: "error"}
    for number, name in levels.items():
        plugin.do("log", level=number, message=f"at {name}", who="plugin")
    plugin.shut_down()
    records = plugin.records()
    assert [record["@level"] for record in records] == list(levels.values())
    assert {record["who"] for record in records} == {"plugin"}


def test_logging_can_stay_the_programs_own(shell: str) -> None:
    with PluginProcess("--shell", shell, "--no-logging") as process:
        stdio = Stdio(process.ready().channel)
        process.do("log", level=40, message="by the last resort")
        stdio.until(b"by the last resort\n")
        process.shut_down()
        assert process.stderr() == b""


@pytest.mark.parametrize(
    ("action", "said", "text"),
    [
        ("fail_in_thread", "uncaught exception in thread doomed: ValueError", "ValueError: as told"),
        ("fail_in_del", "exception ignored in", "ValueError: in __del__"),
    ],
)
@pytest.mark.fault(49)
def test_what_nobody_catches_is_one_record_at_level_error(
    plugin: PluginProcess, action: str, said: str, text: str
) -> None:
    plugin.do(action)
    plugin.shut_down()
    [record] = plugin.records()
    assert record["@level"] == "error"
    assert record["@message"].lower().startswith(said.lower())
    assert text in record["@exception"]


def test_a_handler_that_raises_is_logged_with_its_traceback(plugin: PluginProcess) -> None:
    with pytest.raises(grpc.RpcError):
        plugin.do("fail")
    plugin.shut_down()
    [record] = plugin.records()
    assert (record["@level"], "ValueError: as told" in record["@exception"]) == ("error", True)


def test_an_exception_after_serving_is_in_the_log(shell: str) -> None:
    with PluginProcess("--shell", shell, "--afterwards", '{"do": "fail"}') as process:
        process.ready().shut_down()
        assert process.wait() == 1
        [record] = process.records()
    assert "ValueError: as told" in record["@exception"]


@pytest.mark.fault(49)
@pytest.mark.usefixtures("sockets")
def test_a_crash_in_c_leaves_its_traceback_in_the_log(plugin: PluginProcess) -> None:
    with pytest.raises(grpc.RpcError):
        plugin.do("crash")
    assert plugin.wait() == -signal.SIGABRT
    assert b"Fatal Python error: Aborted" in plugin.stderr()
    assert b"in crash" in plugin.stderr()
