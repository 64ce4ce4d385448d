"""The clients, both shells over one table: good plugins, and bad ones that are real programs of a few lines."""

import json
import logging
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import psutil
import pytest
from shells import PROGRAMS, SHELLS, Echo, Shell, program

from goplugin.handshake import HandshakeRefused, MachineFault, Misuse, PluginFault, PluginLost, StartTimeout
from goplugin.hostlib import StopBudget

SHORT = StopBudget(shutdown=0.5, terminate=0.5, kill=5.0)
Make = Callable[..., Shell]


@pytest.fixture(params=SHELLS)
def make(request: pytest.FixtureRequest) -> Iterator[Make]:
    """Make clients of programs, and stop each in the end."""
    made: list[Shell] = []

    def make(name: str, *, command: list[str] | None = None, **options: Any) -> Shell:
        made.append(SHELLS[request.param](command or program(name), **options))
        return made[-1]

    yield make
    for shell in made:
        shell.close()


@pytest.fixture
def started(make: Make) -> Callable[..., Shell]:
    """Make a client and start it."""

    def started(name: str, **options: Any) -> Shell:
        shell = make(name, **options)
        shell.start()
        return shell

    return started


def until(condition: Callable[[], object], shell: Shell | None = None) -> None:
    """Wait, a minute at most, for what others bring about; with the ``shell`` for what its event loop does."""
    limit = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < limit
        if shell is not None:
            shell.ping()
        else:
            time.sleep(0.005)


def ended(process: psutil.Process) -> bool:
    """Return whether a process that is not our child has ended; its new parent may not have reaped it yet."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


# ---------------------------------------------------------------------------------------------------- a good plugin


def test_a_plugin_starts_answers_and_stops(started: Make) -> None:
    shell = started("bare.py")
    echo = shell.echo()
    assert shell.call(echo.echo, b"hello") == b"hello"
    assert shell.collect(echo.count, b"3") == [b"0", b"1", b"2"]
    assert shell.call(echo.join, iter([b"a", b"b"])) == b"ab"
    assert shell.collect(echo.each, iter([b"a", b"b"])) == [b"a", b"b"]
    shell.ping()
    assert not shell.client.exited
    stopped = shell.stop()
    assert (stopped.how, stopped.exit_code, stopped.signal) == ("shutdown", 0, None)
    assert stopped.seconds < 5
    assert shell.client.exited
    assert shell.client.stopped == stopped


def test_what_is_known_of_a_plugin(started: Make) -> None:
    shell = started("bare.py")
    client = shell.client
    assert psutil.Process(client.id).ppid() == os.getpid()
    assert client.line.address.path.startswith(os.environ["TMPDIR"])
    assert (client.protocol, client.negotiated_version) == ("grpc", 1)
    assert 0 < client.times.line < client.times.connected < 30
    assert client.broker.next_id() == 1
    assert client.stopped is None
    assert client.stderr_tail == ()


def test_a_message_of_many_megabytes_passes_both_ways(started: Make) -> None:
    shell = started("floods.py")
    with pytest.raises(grpc.RpcError) as caught:
        shell.call(shell.echo().echo, b" " * (5 * 2**20))
    # The bare server has grpcio's own limit of 4 MiB; that the host sent it shows in whose error it is.
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "Received message larger than max" in str(caught.value.details())
    assert len(shell.collect(shell.echo().count, b"1000")) == 1000


def test_the_plugin_chooses_a_version_and_its_plugins_are_dispensed(started: Make) -> None:
    other: dict[str, Any] = {"other": Echo}
    shell = started("bare.py", versions={1: {"echo": Echo}, 2: other})
    assert shell.client.negotiated_version == 1
    shell.echo()
    with pytest.raises(Misuse, match="version 1 has no plugin 'other'; it has echo"):
        shell.client.dispense("other")


def test_what_the_plugin_prints_over_grpc_goes_to_the_sinks(started: Make) -> None:
    out, err = bytearray(), bytearray()
    shell = started("bare.py", sync_stdout=out.extend, sync_stderr=err.extend)
    until(lambda: bytes(out) == b"out" and bytes(err) == b"err", shell)


def test_what_makes_no_sense_to_the_broker_is_logged_and_the_next_is_heard(
    started: Make, caplog: pytest.LogCaptureFixture
) -> None:
    shell = started("announces.py")
    until(lambda: any("pipe" in r.getMessage() for r in caplog.records if r.levelno == logging.WARNING), shell)


def test_the_process_gets_what_it_should_and_nothing_else(
    started: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("INHERITED", "yes")
    monkeypatch.setenv("BOTH", "inherited")
    monkeypatch.setenv("PLUGIN_CLIENT_CERT", "of a host above")
    secret, ours = os.open("/", os.O_RDONLY), os.dup(0)
    os.set_inheritable(secret, True)
    os.dup2(secret, 0)
    try:
        shell = started("tells.py", env={"BOTH": "given"}, cwd=tmp_path, min_port=1, max_port=2)
    finally:
        os.dup2(ours, 0)
        os.close(ours)
        os.close(secret)
    env, directory, stdin, (pid, group, session), descriptors = json.loads(shell.call(shell.echo().echo))
    assert env["INHERITED"] == "yes"
    assert env["BOTH"] == "given"
    assert env["TEST_COOKIE"] == "yes"
    plugin = {name: value for name, value in env.items() if name.startswith("PLUGIN_")}
    assert plugin == {
        "PLUGIN_MIN_PORT": "1",
        "PLUGIN_MAX_PORT": "2",
        "PLUGIN_PROTOCOL_VERSIONS": "1",
        "PLUGIN_UNIX_SOCKET_DIR": os.path.dirname(shell.client.line.address.path),
    }
    assert directory == str(tmp_path)
    assert stdin == "/dev/null", "not the host's own"
    assert group == session == pid == shell.client.id
    assert descriptors == 4, "its three streams, and the directory that it lists"


def test_nothing_is_inherited_where_that_was_asked(started: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INHERITED", "yes")
    shell = started("tells.py", skip_host_env=True)
    env, *_ = json.loads(shell.call(shell.echo().echo))
    assert "INHERITED" not in env
    assert env["TEST_COOKIE"] == "yes"


def test_a_plugin_with_nothing_of_go_plugins_services_works(started: Make) -> None:
    shell = started("no_services.py")
    assert shell.call(shell.echo().echo, b"hello") == b"hello"
    with pytest.raises(PluginFault, match="UNIMPLEMENTED"):
        shell.ping()
    stopped = shell.stop()
    assert (stopped.how, stopped.signal) == ("terminated", "SIGTERM")
    assert stopped.seconds < 2, "it cannot be asked, so nobody waits for it"


def test_a_plugin_that_closes_its_pipes_after_the_line_works(started: Make) -> None:
    shell = started("closes_its_pipes.py")
    for _ in range(10):
        shell.ping()
    assert not shell.client.exited
    assert shell.stop().how == "shutdown"


def test_a_plugin_that_says_it_is_not_serving_fails_its_ping(started: Make) -> None:
    with pytest.raises(PluginFault, match="NOT_SERVING"):
        started("unhealthy.py").ping()


# ------------------------------------------------------------------------------------------------- starts that fail

LOST: list[tuple[str, dict[str, Any], type[PluginLost], str, int | None, str | None, bytes]] = [
    ("never.sh", {"start_timeout": 0.5}, StartTimeout, "within 0.5 s", None, None, b""),
    ("exits.sh", {"env": {"CODE": "0"}}, PluginLost, "exited before", 0, None, b""),
    ("exits.sh", {"env": {"CODE": "3"}}, PluginLost, "exited before", 3, None, b""),
    ("crashes.sh", {}, PluginLost, "exited before", None, "SIGSEGV", b""),
    ("partial_then_hangs.sh", {"start_timeout": 0.5}, StartTimeout, "within 0.5 s", None, None, b"1|1|unix|/tmp"),
    ("partial_then_exits.sh", {}, PluginLost, "exited before", 0, None, b"1|1|unix|/tmp/p|grpc|"),
    ("closes_stdout.sh", {}, PluginLost, "closed its stdout", None, None, b""),
    ("grandchild_holds_stdout.sh", {}, PluginLost, "exited before", 3, None, b""),
    ("exits_after_line.sh", {}, PluginLost, "between its handshake line and its first answer", 4, None, b""),
]


@pytest.mark.parametrize(
    ("name", "options", "kind", "reason", "exit_code", "signal", "said"), LOST, ids=lambda v: str(v)[:24]
)
def test_a_plugin_that_does_not_come_up_is_lost(
    make: Make,
    name: str,
    options: dict[str, Any],
    kind: type[PluginLost],
    reason: str,
    exit_code: int | None,
    signal: str | None,
    said: bytes,
) -> None:
    shell = make(name, **options)
    begun = time.monotonic()
    with pytest.raises(PluginLost, match=reason) as caught:
        shell.start()
    assert time.monotonic() - begun < 5
    error = caught.value
    assert type(error) is kind
    assert (error.exit_code, error.signal, error.said) == (exit_code, signal, said)
    assert (error.pid, error.argv) == (shell.client.id, tuple(program(name)))
    assert shell.client.exited
    assert not psutil.pid_exists(shell.client.id)


@pytest.mark.parametrize(
    ("name", "options", "last"),
    [
        ("exits.sh", {"env": {"CODE": "1"}}, b"cannot open the database"),
        ("never.sh", {"start_timeout": 0.5}, b"waiting for the database"),
        ("exits_after_line.sh", {}, b"cannot listen"),
    ],
)
def test_the_error_quotes_the_last_lines_of_stderr(make: Make, name: str, options: Any, last: bytes) -> None:
    shell = make(name, **options)
    with pytest.raises(PluginLost) as caught:
        shell.start()
    assert caught.value.stderr == (last,)
    assert last.decode() in str(caught.value)
    assert shell.client.stderr_tail == (last.decode(),)


@pytest.mark.parametrize(
    ("name", "line", "field"),
    [
        ("garbage.sh", "", "line"),
        ("long_line.sh", "", "line"),
        ("line.sh", "hello", "line"),
        ("line.sh", "2|1|unix|/tmp/p|grpc|", "core protocol"),
        ("line.sh", "one|1|unix|/tmp/p|grpc|", "core protocol"),
        ("line.sh", "1|9|unix|/tmp/p|grpc|", "protocol version"),
        ("line.sh", "1|1|carrier pigeon|/tmp/p|grpc|", "network"),
        ("line.sh", f"1|1|unix|/{'p' * 200}|grpc|", "address"),
        ("line.sh", "1|1|tcp|nowhere|grpc|", "address"),
        ("line.sh", "1|1|unix|/tmp/p", "protocol"),
        ("line.sh", "1|1|unix|/tmp/p|smtp|", "protocol"),
        ("line.sh", f"1|1|unix|/tmp/p|grpc|{'A' * 60}", "server certificate"),
    ],
)
def test_a_bad_first_line_is_refused_by_its_field(make: Make, name: str, line: str, field: str) -> None:
    shell = make(name, env={"LINE": line})
    begun = time.monotonic()
    with pytest.raises(HandshakeRefused) as caught:
        shell.start()
    assert time.monotonic() - begun < 5
    assert caught.value.field == field
    assert str(caught.value).isprintable()
    (note,) = caught.value.__notes__
    assert f"pid {shell.client.id}" in note
    assert shell.stop().how == "killed"
    assert not psutil.pid_exists(shell.client.id)


def test_a_plugin_that_listens_nowhere_times_out(make: Make) -> None:
    shell = make("line.sh", env={"LINE": "1|1|unix|/tmp/gp-nobody|grpc|"}, start_timeout=1.0)
    with pytest.raises(StartTimeout, match="no answer at /tmp/gp-nobody within 1 s"):
        shell.start()


@pytest.mark.parametrize(
    ("command", "options", "named"),
    [
        (["/nonexistent/plugin"], {}, "/nonexistent/plugin"),
        ([str(PROGRAMS)], {}, "Permission denied"),
        ([str(PROGRAMS / "bare.py")], {}, "Permission denied"),
        (["sh"], {"cwd": "/nonexistent/directory"}, "working directory '/nonexistent/directory'"),
    ],
)
def test_a_program_that_cannot_run_is_the_machines_fault(
    make: Make, command: list[str], options: dict[str, Any], named: str
) -> None:
    shell = make("", command=command, **options)
    with pytest.raises(MachineFault, match=named):
        shell.start()
    assert shell.client.id is None
    assert not shell.client.exited


def test_a_temporary_directory_that_is_not_there_is_the_machines_fault(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", "/nonexistent")
    with pytest.raises(MachineFault, match="/nonexistent"):
        make("bare.py").start()


# ---------------------------------------------------------------------------------------------------- calls that fail


def test_a_plugin_that_dies_in_a_call_is_lost_and_the_error_is_the_calls_too(started: Make) -> None:
    shell = started("bare.py")
    with pytest.raises(PluginLost) as caught:
        shell.call(shell.echo().exit, b"\x07")
    error: Any = caught.value
    assert error.exit_code == 7
    assert error.pid == shell.client.id
    assert isinstance(error, grpc.RpcError)
    assert error.code() is grpc.StatusCode.UNAVAILABLE
    assert error.details()
    assert isinstance(error.__cause__, grpc.RpcError)
    assert str(error).startswith("the plugin ended during a call; exit code 7")
    assert shell.client.exited


def test_a_connection_that_breaks_just_before_the_process_ends_is_a_loss(started: Make) -> None:
    shell = started("hangs_up_first.py")
    with pytest.raises(PluginLost) as caught:
        shell.call(shell.echo().echo)
    assert caught.value.exit_code == 7


def test_a_start_that_is_no_longer_wanted_ends_even_at_its_last_step(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    shell = make("bare.py")

    def stop_wanted(*_: object) -> None:
        shell.client._abandoned = True

    for module in ("_link", "_aio_link"):
        monkeypatch.setattr(f"goplugin.hostlib.{module}.Link.open", stop_wanted)
    with pytest.raises(PluginLost, match="was stopped while it was starting"):
        shell.start()
    assert shell.client.exited


def test_a_dead_plugin_stays_lost(started: Make) -> None:
    shell = started("bare.py")
    echo = shell.echo()
    os.kill(shell.client.id, signal.SIGKILL)
    for attempt in (lambda: shell.call(echo.echo, b""), lambda: shell.collect(echo.count, b"3"), shell.ping):
        with pytest.raises(PluginLost) as caught:
            attempt()
        assert caught.value.signal == "SIGKILL"
    with pytest.raises(PluginLost, match="has ended"):
        shell.echo()
    stopped = shell.stop()
    assert (stopped.how, stopped.signal) == ("exited already", "SIGKILL")
    assert stopped.seconds < 1


def test_a_call_has_a_deadline_although_its_caller_gave_none(started: Make) -> None:
    shell = started("bare.py", call_timeout=0.3, stop_budget=SHORT)
    with pytest.raises(grpc.RpcError) as caught:
        shell.call(shell.echo().hang)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert not isinstance(caught.value, PluginLost)


def test_a_timeout_of_the_callers_own_wins(started: Make) -> None:
    shell = started("bare.py", call_timeout=60.0, stop_budget=SHORT)
    begun = time.monotonic()
    with pytest.raises(grpc.RpcError) as caught:
        shell.call(shell.echo().hang, timeout=0.3)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert time.monotonic() - begun < 5


def test_an_unavailable_that_the_plugin_itself_says_is_no_loss(started: Make) -> None:
    shell = started("bare.py")
    with pytest.raises(grpc.RpcError) as caught:
        shell.call(shell.echo().fail, b"try later")
    assert not isinstance(caught.value, PluginLost)
    assert caught.value.details() == "try later"
    shell.ping()


def test_a_frozen_plugin_fails_its_ping_in_time(started: Make) -> None:
    shell = started("bare.py", stop_budget=SHORT)
    os.kill(shell.client.id, signal.SIGSTOP)
    begun = time.monotonic()
    with pytest.raises(PluginFault, match="DEADLINE_EXCEEDED"):
        shell.ping(timeout=0.3)
    assert time.monotonic() - begun < 5


# -------------------------------------------------------------------------------------------------------------- stops


@pytest.mark.parametrize(
    ("name", "how", "exit_code", "signal", "least"),
    [
        ("bare.py", "shutdown", 0, None, 0.0),
        ("ends_in_shutdown.py", "shutdown", 0, None, 0.0),
        ("lives_on.py", "terminated", None, "SIGTERM", SHORT.shutdown),
        ("no_services.py", "terminated", None, "SIGTERM", 0.0),
        ("ignores_sigterm.py", "killed", None, "SIGKILL", SHORT.terminate),
        ("hangs_in_shutdown.py", "killed", None, "SIGKILL", SHORT.shutdown + SHORT.terminate),
    ],
)
def test_a_stop_goes_as_far_as_it_must_and_tells_how_far(
    started: Make, name: str, how: str, exit_code: int | None, signal: str | None, least: float
) -> None:
    shell = started(name, stop_budget=SHORT)
    pid = shell.client.id
    begun = time.monotonic()
    stopped = shell.stop()
    took = time.monotonic() - begun
    assert (stopped.how, stopped.exit_code, stopped.signal) == (how, exit_code, signal)
    assert least <= stopped.seconds <= took < SHORT.total
    assert not psutil.pid_exists(pid)


def test_a_frozen_plugin_is_woken_to_act_on_sigterm(started: Make) -> None:
    shell = started("bare.py", stop_budget=StopBudget(shutdown=0.3, terminate=30.0, kill=5.0))
    os.kill(shell.client.id, signal.SIGSTOP)
    stopped = shell.stop()
    assert (stopped.how, stopped.signal) == ("terminated", "SIGTERM")
    assert stopped.seconds < 10


def test_a_frozen_plugin_that_ignores_sigterm_is_killed(started: Make) -> None:
    shell = started("ignores_sigterm.py", stop_budget=SHORT)
    os.kill(shell.client.id, signal.SIGSTOP)
    assert shell.stop().how == "killed"


def test_the_childs_children_end_with_it(started: Make) -> None:
    shell = started("has_a_child.py")
    until(lambda: shell.client.stderr_tail, shell)
    child = psutil.Process(int(shell.client.stderr_tail[0].removeprefix("child ")))
    begun = time.monotonic()
    assert shell.stop().how == "shutdown"
    assert time.monotonic() - begun < 5, "nobody waits for pipes that a grandchild holds"
    until(lambda: ended(child))


def test_the_childs_children_end_with_it_when_it_is_killed(started: Make) -> None:
    shell = started("has_a_child.py")
    until(lambda: shell.client.stderr_tail, shell)
    child = psutil.Process(int(shell.client.stderr_tail[0].removeprefix("child ")))
    os.kill(shell.client.id, signal.SIGKILL)
    until(lambda: shell.client.exited)
    until(lambda: ended(child))
    assert shell.stop().how == "exited already"


def test_stopping_twice_gives_the_same_answer(started: Make) -> None:
    shell = started("bare.py")
    assert shell.stop() is shell.stop()


def test_a_plugin_that_was_never_started_stops_at_once(make: Make) -> None:
    shell = make("bare.py")
    stopped = shell.stop()
    assert (stopped.how, stopped.exit_code, stopped.signal) == ("exited already", None, None)
    with pytest.raises(Misuse, match="was stopped"):
        shell.start()


def test_a_client_starts_only_once(started: Make) -> None:
    shell = started("bare.py")
    with pytest.raises(Misuse, match="make another client"):
        shell.start()
    shell.ping()
    shell.stop()
    with pytest.raises(Misuse, match="make another client"):
        shell.start()


def test_a_start_that_failed_is_over(make: Make) -> None:
    shell = make("exits.sh", env={"CODE": "3"})
    with pytest.raises(PluginLost):
        shell.start()
    with pytest.raises(Misuse, match="make another client"):
        shell.start()
    assert (shell.stop().how, shell.stop().exit_code) == ("exited already", 3)


@pytest.mark.parametrize("stopped", [False, True])
def test_without_a_running_plugin_every_question_is_a_misuse(make: Make, stopped: bool) -> None:
    shell = make("bare.py")
    if stopped:
        shell.stop()
    for name in ("line", "negotiated_version", "protocol", "times", "channel", "broker"):
        with pytest.raises(Misuse, match="was stopped" if stopped else "was not started"):
            getattr(shell.client, name)
    with pytest.raises(Misuse):
        shell.client.dispense("echo")
    with pytest.raises(Misuse):
        shell.ping()


def test_a_stopped_plugin_and_its_stubs_say_so(started: Make) -> None:
    shell = started("bare.py")
    echo = shell.echo()
    shell.stop()
    for call in (
        lambda: shell.call(echo.echo, b""),
        lambda: shell.collect(echo.count, b"3"),
        lambda: shell.client.broker,
        lambda: shell.client.channel,
        lambda: shell.client.dispense("echo"),
        shell.ping,
    ):
        with pytest.raises(Misuse, match="was stopped"):
            call()
    assert shell.client.line.version == 1, "what is known of it stays known"


# ------------------------------------------------------------------------------------------------------ what it writes


def test_a_flood_on_stdout_and_stderr_blocks_nobody(started: Make) -> None:
    copied = 0

    def copy(data: bytes) -> None:
        nonlocal copied
        copied += len(data)

    shell = started("floods.py", stderr=copy)
    assert shell.call(shell.echo().echo, b"20") == b"done"
    until(lambda: copied == 20 * (2**20 + 70), shell)
    assert len(shell.client.stderr_tail) == 1 + 20
    assert shell.stop().how == "shutdown"


def test_stderr_is_logged_under_the_plugins_name(started: Make, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(1)
    logger = logging.getLogger("test.host")
    shell = started("logs.py", logger=logger)
    lines = b'{"@level":"warn","@message":"low on disk","free":7}\n[INFO] hello\nplain \x1b[31m\n'
    shell.call(shell.echo().echo, lines)

    def records() -> list[logging.LogRecord]:
        return [r for r in caplog.records if r.name == "test.host.logs" and "stream ended" not in r.getMessage()]

    until(lambda: len(records()) == 3, shell)
    assert [(r.levelname, r.getMessage()) for r in records()] == [
        ("WARNING", "low on disk"),
        ("INFO", "[INFO] hello"),
        ("DEBUG", r"plain \x1b[31m"),
    ]
    assert [r.__dict__["hclog"] for r in records()] == [{"free": 7}, {}, {}]


def test_a_copy_of_stderr_is_exact(started: Make, tmp_path: Path) -> None:
    path = tmp_path / "stderr"
    with path.open("wb") as copy:
        shell = started("logs.py", stderr=copy)
        sent = b"\xff\x00 no line end" + b"x" * 100_000
        shell.call(shell.echo().echo, sent)
        until(lambda: path.stat().st_size == len(sent), shell)
    assert path.read_bytes() == sent


def test_a_sink_that_fails_is_told_off_once_and_stops_nothing(started: Make, caplog: pytest.LogCaptureFixture) -> None:
    def broken(data: bytes) -> None:
        raise OSError("disk full")

    shell = started("logs.py", stderr=broken, sync_stdout=broken)
    for _ in range(3):
        shell.call(shell.echo().echo, b"words\n")

    def told_off() -> list[str]:
        errors = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
        return sorted(message.partition(" failed")[0] for message in errors)

    until(lambda: len(shell.client.stderr_tail) == 3 and len(told_off()) >= 2, shell)
    assert told_off() == ["sync_stdout", "the sink for stderr"]
    caplog.clear()  # the tracebacks in it hold on to the client


def test_a_traceback_of_a_dying_plugin_is_in_the_error(started: Make) -> None:
    shell = started("logs.py")
    shell.call(shell.echo().echo, b"Traceback (most recent call last):\n  File\nValueError: boom\n")
    with pytest.raises(PluginLost) as caught:
        shell.call(shell.echo().exit, b"\x01")
    assert caught.value.stderr == (b"Traceback (most recent call last):", b"  File", b"ValueError: boom")
