"""The clients, both shells over one table: good plugins, and bad ones that are real programs of a few lines."""

import contextlib
import errno
import grp
import json
import logging
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import psutil
import pytest
from shells import LIMIT, PATIENT, PROGRAMS, SHELLS, SUPPORT, Echo, Shell, program

from goplugin.handshake import HandshakeRefused, Line, MachineFault, Misuse, PluginFault, PluginLost, StartTimeout
from goplugin.hostlib import StopBudget, UnixSockets, _launch
from goplugin.hostlib._child import Child
from goplugin.hostlib._launch import Launch
from goplugin.hostlib._output import Output

SHORT = StopBudget(shutdown=0.5, terminate=0.5, kill=30.0)
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


def group(number: int) -> list[psutil.Process]:
    """Return the processes of a group; those that have ended do not count."""
    found: list[psutil.Process] = []
    for process in psutil.process_iter():
        with contextlib.suppress(ProcessLookupError, psutil.NoSuchProcess):
            if os.getpgid(process.pid) == number and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


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
    assert 0 < stopped.seconds < PATIENT.shutdown
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


@pytest.mark.fault(14)
def test_what_the_plugin_prints_over_grpc_goes_to_the_sinks(started: Make) -> None:
    out, err = bytearray(), bytearray()
    shell = started("bare.py", sync_stdout=out.extend, sync_stderr=err.extend)
    until(lambda: bytes(out) == b"out" and bytes(err) == b"err", shell)


def test_what_makes_no_sense_to_the_broker_is_logged_and_the_next_is_heard(
    started: Make, caplog: pytest.LogCaptureFixture
) -> None:
    shell = started("announces.py")
    until(lambda: any("pipe" in r.getMessage() for r in caplog.records if r.levelno == logging.WARNING), shell)


@pytest.mark.fault(37, 38, 39)
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


@pytest.mark.fault(37)
def test_nothing_is_inherited_where_that_was_asked(started: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INHERITED", "yes")
    shell = started("tells.py", inherit_env=False)
    env, *_ = json.loads(shell.call(shell.echo().echo))
    assert "INHERITED" not in env
    assert env["TEST_COOKIE"] == "yes"


def test_a_plugin_may_be_given_something_to_read(started: Make, tmp_path: Path) -> None:
    (tmp_path / "words").write_text("for you")
    with open(tmp_path / "words") as file:
        shell = started("reads_stdin.py", stdin=file)
    assert shell.call(shell.echo().echo) == b"for you"


def test_the_sockets_can_be_shared_with_a_group_and_lie_where_they_are_wanted(started: Make, sockets: Path) -> None:
    group = grp.getgrgid(os.getgid())
    parent = sockets / "s"
    parent.mkdir()
    for name in (group.gr_name, str(group.gr_gid)):
        shell = started("tells.py", unix_sockets=UnixSockets(group=name, temp_dir=parent))
        env, *_ = json.loads(shell.call(shell.echo().echo))
        (directory,) = parent.iterdir()
        assert env["PLUGIN_UNIX_SOCKET_DIR"] == str(directory)
        assert env["PLUGIN_UNIX_SOCKET_GROUP"] == name
        assert (stat.S_IMODE(directory.stat().st_mode), directory.stat().st_gid) == (0o770, group.gr_gid)
        shell.stop()
        assert list(parent.iterdir()) == []


@pytest.mark.parametrize(
    ("sockets", "kind", "named"),
    [
        (UnixSockets(group="no such group"), Misuse, "names no group: 'no such group'"),
        (UnixSockets(temp_dir="/nonexistent"), MachineFault, "in '/nonexistent': No such file"),
        (UnixSockets(temp_dir="/" + "./" * 60 + "tmp"), MachineFault, "would exceed 107 bytes"),
    ],
)
def test_sockets_that_cannot_be_had_are_told_of(
    make: Make, sockets: UnixSockets, kind: type[Exception], named: str
) -> None:
    with pytest.raises(kind, match=named):
        make("bare.py", unix_sockets=sockets).start()


@pytest.mark.fault(15)
def test_a_plugin_with_nothing_of_go_plugins_services_works(started: Make) -> None:
    shell = started("no_services.py", stop_budget=StopBudget(shutdown=LIMIT, terminate=LIMIT))
    assert shell.call(shell.echo().echo, b"hello") == b"hello"
    with pytest.raises(PluginFault, match="UNIMPLEMENTED"):
        shell.ping()
    stopped = shell.stop()
    assert (stopped.how, stopped.signal) == ("terminated", "SIGTERM")
    assert stopped.seconds < LIMIT / 2, "it cannot be asked, so nobody waits for it"


@pytest.mark.fault(12)
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


@pytest.fixture
def out_of_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the time for a start be over once the plugin has said something, be it early or late."""
    said, outcome, stdout, stderr = list[bytes](), Launch.outcome, Launch.stdout, Output.stderr

    def hear_stdout(launch: Launch, data: bytes) -> None:
        said.append(data)
        stdout(launch, data)

    def hear_stderr(output: Output, data: bytes) -> None:
        said.append(data)
        stderr(output, data)

    def over(launch: Launch, now: float) -> Line | None:
        return outcome(launch, now if launch.condemned or not any(said) else max(now, launch.deadline))

    monkeypatch.setattr(Launch, "stdout", hear_stdout)
    monkeypatch.setattr(Output, "stderr", hear_stderr)
    monkeypatch.setattr(Launch, "outcome", over)


LOST: list[tuple[str, dict[str, Any], type[PluginLost], str, int | None, str | None, bytes]] = [
    ("never.sh", {}, StartTimeout, "within 30 s", None, None, b""),
    ("exits.sh", {"env": {"CODE": "0"}}, PluginLost, "exited before", 0, None, b""),
    ("exits.sh", {"env": {"CODE": "3"}}, PluginLost, "exited before", 3, None, b""),
    ("crashes.sh", {}, PluginLost, "exited before", None, "SIGSEGV", b""),
    ("partial_then_hangs.sh", {}, StartTimeout, "within 30 s", None, None, b"1|1|unix|/tmp"),
    ("partial_then_exits.sh", {}, PluginLost, "exited before", 0, None, b"1|1|unix|/tmp/p|grpc|"),
    ("closes_stdout.sh", {}, PluginLost, "closed its stdout", None, None, b""),
    ("grandchild_holds_stdout.sh", {}, PluginLost, "exited before", 3, None, b""),
    ("exits_after_line.sh", {}, PluginLost, "between its handshake line and its first answer", 4, None, b""),
]


@pytest.mark.parametrize(
    ("name", "options", "kind", "reason", "exit_code", "signal", "said"), LOST, ids=lambda v: str(v)[:24]
)
@pytest.mark.fault(1, 2, 3, 5, 6, 12, 18, 19)
def test_a_plugin_that_does_not_come_up_is_lost(
    make: Make,
    request: pytest.FixtureRequest,
    name: str,
    options: dict[str, Any],
    kind: type[PluginLost],
    reason: str,
    exit_code: int | None,
    signal: str | None,
    said: bytes,
) -> None:
    if kind is StartTimeout:
        request.getfixturevalue("out_of_time")
    elif name not in ("closes_stdout.sh", "grandchild_holds_stdout.sh"):  # whose pipes or process do not end
        request.getfixturevalue("settled_late")
    shell = make(name, **options)
    begun = time.monotonic()
    with pytest.raises(PluginLost, match=reason) as caught:
        shell.start()
    assert time.monotonic() - begun < 25, "neither a sleep of a minute nor the time for a start"
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
        ("never.sh", {}, b"waiting for the database"),
        ("exits_after_line.sh", {}, b"cannot listen"),
    ],
)
@pytest.mark.fault(1, 2, 19, 49)
def test_the_error_quotes_the_last_lines_of_stderr(
    make: Make, name: str, options: Any, last: bytes, request: pytest.FixtureRequest
) -> None:
    request.getfixturevalue("out_of_time" if name == "never.sh" else "settled_late")
    shell = make(name, **options)
    with pytest.raises(PluginLost) as caught:
        shell.start()
    assert caught.value.stderr == (last,)
    assert last.decode() in str(caught.value)
    assert shell.client.stderr_tail == (last.decode(),)


@pytest.mark.fault(1)
def test_a_plugin_that_never_prints_is_killed_with_all_that_it_started(make: Make) -> None:
    """A shell, and a program that it runs, of which the host knows no more than the group."""
    shell = make("never_wrapped.sh", start_timeout=1.0)
    with pytest.raises(StartTimeout):
        shell.start()
    begun = time.monotonic()
    until(lambda: not group(shell.client.id))
    assert time.monotonic() - begun < 30, "it would have ended by itself, after a minute"


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
        ("line.sh", "1|1|unix|/tmp/p|netrpc|", "protocol"),
        ("line.sh", f"1|1|unix|/tmp/p|grpc|{'A' * 60}", "server certificate"),
        ("line.sh", "1|1|unix|/tmp/p|grpc||maybe", "multiplexing"),
    ],
)
@pytest.mark.fault(4, 7, 8, 9, 10)
def test_a_bad_first_line_is_refused_by_its_field(make: Make, name: str, line: str, field: str) -> None:
    shell = make(name, env={"LINE": line}, multiplex=field == "multiplexing")
    begun = time.monotonic()
    with pytest.raises(HandshakeRefused) as caught:
        shell.start()
    assert time.monotonic() - begun < 25
    assert caught.value.field == field
    assert str(caught.value).isprintable()
    assert os.path.basename(name) in str(caught.value)
    assert f"pid {shell.client.id}" in str(caught.value)
    assert shell.stop().how == "killed"
    assert not psutil.pid_exists(shell.client.id)


@pytest.mark.fault(7)
def test_a_first_line_without_an_end_is_read_on_for_as_long_as_the_plugin_lives(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here SIGKILL comes late, once it has written all of it."""
    said = bytearray()
    send = Child.send

    def late(child: Child, number: signal.Signals) -> None:
        if b"all said" in said:
            send(child, number)

    monkeypatch.setattr(Child, "send", late)
    monkeypatch.setattr(_launch, "SETTLE", 60.0)
    with pytest.raises(HandshakeRefused, match="a line of at most 65536 bytes"):
        make("very_long_line.sh", stderr=said.extend).start()
    assert said == b"all said\n"


@pytest.mark.fault(4)
def test_lines_before_the_handshake_line_are_output_where_that_many_are_allowed(make: Make) -> None:
    said = bytearray()
    shell = make("talks_first.py", skip_lines=2, stdout=said.extend)
    shell.start()
    assert said == b"hello\n2026-11-29 | INFO | warming up\n"
    with pytest.raises(HandshakeRefused, match=r"2026-11-29 \| INFO") as caught:
        make("talks_first.py", skip_lines=1).start()
    assert caught.value.field == "line"


@pytest.mark.fault(1, 32)
def test_a_plugin_that_listens_nowhere_times_out(make: Make, late: float) -> None:
    shell = make("line.sh", env={"LINE": "1|1|unix|/tmp/gp-nobody|grpc|"}, start_timeout=late + 1)
    with pytest.raises(StartTimeout, match="no answer at /tmp/gp-nobody within 61 s"):
        shell.start()


def test_a_look_at_whether_a_silent_plugin_wants_tls_is_no_longer_waited_for_than_a_start_may_take(
    make: Make, late: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To connect may take its time: the plugin may have named a host that nobody can resolve."""
    begun, held, over = threading.Event(), threading.Event(), threading.Event()

    def hang(*_: object) -> None:
        begun.set()
        held.wait(LIMIT)
        over.set()

    monkeypatch.setattr("goplugin.hostlib._plugin.tls_wanted", hang)
    for client in ("_client", "_aio_client"):
        monkeypatch.setattr(f"goplugin.hostlib.{client}.SILENCE", 0.0)
    shell = make("line.sh", env={"LINE": "1|1|unix|/tmp/gp-nobody|grpc|"}, start_timeout=late + 4)
    with pytest.raises(StartTimeout, match="no answer at /tmp/gp-nobody within 64 s"):
        shell.start()
    assert begun.is_set()
    assert not over.is_set()
    held.set()


@pytest.mark.parametrize(
    ("command", "options", "named"),
    [
        (["/nonexistent/plugin"], {}, "/nonexistent/plugin"),
        ([str(PROGRAMS)], {}, "Permission denied"),
        ([str(PROGRAMS / "bare.py")], {}, "Permission denied; .* has mode -rw.*and may not run it"),
        (["no-such-plugin"], {}, "PATH has no program 'no-such-plugin'"),
        (["sh"], {"cwd": "/nonexistent/directory"}, "in the directory '/nonexistent/directory'"),
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


@pytest.mark.usefixtures("settled_late")
def test_what_may_explain_a_failure_is_told_with_it(make: Make) -> None:
    with pytest.raises(PluginLost, match=r"exit code 127; .*a shell did not find the program"):
        make("exits.sh", env={"CODE": "127"}).start()


@pytest.mark.parametrize(
    ("directory", "number", "said"),
    [
        ("/nonexistent", None, "'/nonexistent': No such file"),
        ("/proc", None, "'/proc': No such file"),  # as the kernel says it: nobody can make anything there
        ("/tmp", errno.EROFS, "'/tmp': Read-only file system"),
        ("/tmp", errno.ENOSPC, "'/tmp': No space left"),
    ],
)
@pytest.mark.fault(27)
def test_a_temporary_directory_that_is_missing_read_only_or_full_is_the_machines_fault(
    make: Make, monkeypatch: pytest.MonkeyPatch, directory: str, number: int | None, said: str
) -> None:
    def refused(path: str, mode: int) -> None:
        raise OSError(number, os.strerror(number or 0), path)

    monkeypatch.setenv("TMPDIR", directory)
    if number is not None:  # only a machine of one's own has such a directory at hand
        monkeypatch.setattr(os, "mkdir", refused)
    with pytest.raises(MachineFault, match=said):
        make("bare.py").start()


# ---------------------------------------------------------------------------------------------------- calls that fail


@pytest.mark.fault(20)
@pytest.mark.usefixtures("settled_late")
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


@pytest.mark.fault(20)
@pytest.mark.usefixtures("settled_late")
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


@pytest.mark.fault(20, 21)
@pytest.mark.usefixtures("settled_late")
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
    assert stopped.seconds < PATIENT.shutdown / 2


def test_the_end_of_a_plugin_is_noticed_at_once_and_without_a_call(started: Make) -> None:
    """Within go-plugin's own two seconds, unless a machine that is busy with something else makes it late each time."""

    def notices() -> bool:
        shell = started("bare.py")
        os.kill(shell.client.id, signal.SIGKILL)
        return shell.call(shell.client.wait, 2.0) is not None

    assert any(notices() for _ in range(3))


@pytest.mark.fault(22)
def test_a_call_has_a_deadline_although_its_caller_gave_none(started: Make) -> None:
    shell = started("bare.py", call_timeout=0.3, stop_budget=SHORT)
    with pytest.raises(grpc.RpcError) as caught:
        shell.call(shell.echo().hang)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert not isinstance(caught.value, PluginLost)


@pytest.mark.fault(22)
def test_a_timeout_of_the_callers_own_wins(started: Make) -> None:
    shell = started("bare.py", call_timeout=60.0, stop_budget=SHORT)
    begun = time.monotonic()
    with pytest.raises(grpc.RpcError) as caught:
        shell.call(shell.echo().hang, timeout=0.3)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert time.monotonic() - begun < 30


def test_an_unavailable_that_the_plugin_itself_says_is_no_loss(started: Make) -> None:
    shell = started("bare.py")
    with pytest.raises(grpc.RpcError) as caught:
        shell.call(shell.echo().fail, b"try later")
    assert not isinstance(caught.value, PluginLost)
    assert caught.value.details() == "try later"
    shell.ping()


@pytest.mark.fault(16, 22)
def test_a_frozen_plugin_fails_its_ping_in_time(started: Make) -> None:
    shell = started("bare.py", stop_budget=SHORT)
    os.kill(shell.client.id, signal.SIGSTOP)
    begun = time.monotonic()
    with pytest.raises(PluginFault, match="DEADLINE_EXCEEDED"):
        shell.ping(timeout=0.3)
    assert time.monotonic() - begun < LIMIT / 2


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
@pytest.mark.fault(15, 16, 17, 48)
def test_a_stop_goes_as_far_as_it_must_and_tells_how_far(
    started: Make, name: str, how: str, exit_code: int | None, signal: str | None, least: float
) -> None:
    patient = {"shutdown": StopBudget(shutdown=60), "terminated": StopBudget(shutdown=SHORT.shutdown, terminate=60)}
    budget = patient.get(how, SHORT)
    shell = started(name, stop_budget=budget)
    pid = shell.client.id
    begun = time.monotonic()
    stopped = shell.stop()
    took = time.monotonic() - begun
    assert (stopped.how, stopped.exit_code, stopped.signal) == (how, exit_code, signal)
    assert least <= stopped.seconds <= took < budget.total
    assert not psutil.pid_exists(pid)


@pytest.mark.fault(16)
def test_a_frozen_plugin_is_woken_to_act_on_sigterm(started: Make) -> None:
    shell = started("bare.py", stop_budget=StopBudget(shutdown=0.3, terminate=60.0, kill=5.0))
    os.kill(shell.client.id, signal.SIGSTOP)
    stopped = shell.stop()
    assert (stopped.how, stopped.signal) == ("terminated", "SIGTERM")
    assert stopped.seconds < 30


@pytest.mark.fault(16, 17)
def test_a_frozen_plugin_that_ignores_sigterm_is_killed(started: Make) -> None:
    shell = started("ignores_sigterm.py", stop_budget=SHORT)
    os.kill(shell.client.id, signal.SIGSTOP)
    assert shell.stop().how == "killed"


@pytest.mark.fault(18)
def test_the_childs_children_end_with_it(started: Make) -> None:
    shell = started("has_a_child.py")
    until(lambda: shell.client.stderr_tail, shell)
    child = psutil.Process(int(shell.client.stderr_tail[0].removeprefix("child ")))
    begun = time.monotonic()
    assert shell.stop().how == "shutdown"
    assert time.monotonic() - begun < PATIENT.shutdown, "nobody waits for pipes that a grandchild holds"
    until(lambda: ended(child))


@pytest.mark.fault(18)
def test_the_childs_children_end_with_it_when_it_is_killed(started: Make) -> None:
    shell = started("has_a_child.py")
    until(lambda: shell.client.stderr_tail, shell)
    child = psutil.Process(int(shell.client.stderr_tail[0].removeprefix("child ")))
    os.kill(shell.client.id, signal.SIGKILL)
    until(lambda: shell.client.exited)
    until(lambda: ended(child))
    assert shell.stop().how == "exited already"


@pytest.mark.fault(47)
def test_stopping_twice_gives_the_same_answer(started: Make) -> None:
    shell = started("bare.py")
    assert shell.stop() is shell.stop()


@pytest.mark.fault(47)
def test_a_plugin_that_was_never_started_stops_at_once(make: Make) -> None:
    shell = make("bare.py")
    stopped = shell.stop()
    assert (stopped.how, stopped.exit_code, stopped.signal) == ("exited already", None, None)
    with pytest.raises(Misuse, match="was stopped"):
        shell.start()


@pytest.mark.fault(47)
def test_a_client_starts_only_once(started: Make) -> None:
    shell = started("bare.py")
    with pytest.raises(Misuse, match="make another client"):
        shell.start()
    shell.ping()
    shell.stop()
    with pytest.raises(Misuse, match="make another client"):
        shell.start()


@pytest.mark.fault(47)
@pytest.mark.usefixtures("settled_late")
def test_a_start_that_failed_is_over(make: Make) -> None:
    shell = make("exits.sh", env={"CODE": "3"})
    with pytest.raises(PluginLost):
        shell.start()
    with pytest.raises(Misuse, match="make another client"):
        shell.start()
    assert (shell.stop().how, shell.stop().exit_code) == ("exited already", 3)


def test_an_option_that_does_not_exist_is_named_with_the_client(make: Make) -> None:
    with pytest.raises(TypeError, match="Client has no option 'skip_host_env'"):
        make("bare.py", skip_host_env=True)


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


@pytest.mark.fault(13)
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


@pytest.mark.fault(49)
@pytest.mark.usefixtures("settled_late")
def test_a_traceback_of_a_dying_plugin_is_in_the_error(started: Make) -> None:
    shell = started("logs.py")
    shell.call(shell.echo().echo, b"Traceback (most recent call last):\n  File\nValueError: boom\n")
    with pytest.raises(PluginLost) as caught:
        shell.call(shell.echo().exit, b"\x01")
    assert caught.value.stderr == (b"Traceback (most recent call last):", b"  File", b"ValueError: boom")


@pytest.mark.parametrize("timeout", [-1.0, float("inf"), float("nan"), 1e9])
def test_a_timeout_that_makes_no_sense_is_the_callers_mistake(started: Make, timeout: float) -> None:
    shell = started("bare.py")
    for method in (shell.client.wait, shell.client.ping):
        with pytest.raises(Misuse, match="timeout must be seconds from 0 to"):
            shell.call(method, timeout)


COLD = """
import os, resource, sys
import psutil
from shells import *
from goplugin.handshake import MachineFault, PluginLost

soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
lowest = os.dup(0)
os.close(lowest)
said = set()
for limit in range(lowest + (sys.argv[1] == "aio") * 3, lowest + 60):
    shell = SHELLS[sys.argv[1]](["sh", "-c", "echo '1|1|unix|/nobody|grpc|'; sleep 0.2"])
    if sys.argv[1] == "aio":
        shell._runner.get_loop()
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    try:
        shell.start()
    except PluginLost:
        break  # it was connected to
    except MachineFault as error:
        said.add(str(error).partition(":")[0])
        assert "Too many open files" in str(error), error
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        shell.close()
assert limit < lowest + 59
assert psutil.Process().children() == []
print(*sorted(said), sep="\\n")
"""


@pytest.mark.fault(43)
@pytest.mark.parametrize("shell", SHELLS)
def test_a_host_that_is_short_of_descriptors_before_its_first_connection_is_told_so(
    shell: str, nothing_left: str
) -> None:
    """In a process of its own: grpc keeps what it has once found, and aborts the process where it finds nothing."""
    done = subprocess.run(
        [sys.executable, "-c", COLD, shell], env=os.environ | SUPPORT, capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stderr
    assert {"cannot start the plugin 'sh'", "cannot connect to the plugin"} <= set(done.stdout.splitlines())
    assert os.listdir(nothing_left) == []
