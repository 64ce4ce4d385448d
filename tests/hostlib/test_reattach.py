"""Reattaching to plugins that run already, both shells over one table."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
from shells import HANDSHAKE, LIMIT, PATIENT, SHELLS, SUPPORT, Echo, Shell, clients, program

from goplugin import hostlib
from goplugin.handshake import MachineFault, Misuse, PluginLost, ProcessNotFound, Reattach, StartTimeout, Unix
from goplugin.hostlib import StopBudget, aio
from goplugin.hostlib._identity import started

Make = Callable[..., Shell]


@pytest.fixture(params=SHELLS)
def attach(request: pytest.FixtureRequest) -> Iterator[Make]:
    """Make clients that reattach, and stop each in the end."""
    with ExitStack() as undo:

        def make(record: Reattach, **options: Any) -> Shell:
            shell = SHELLS[request.param](None, reattach=record, **options)
            undo.enter_context(suppress(MachineFault))  # that of a stop which a test made to fail is raised again
            undo.callback(shell.close)
            return shell

        yield make


@pytest.fixture
def owner() -> Iterator[hostlib.Client[Echo]]:
    """Run a plugin under a client of its own."""
    with hostlib.Client(program("bare.py"), HANDSHAKE, {"echo": Echo}, env=SUPPORT, stop_budget=PATIENT) as client:
        yield client


def changed(record: Reattach, **fields: Any) -> Reattach:
    return Reattach(**{**vars(record), **fields})


def test_a_second_client_finds_the_plugin_and_its_stop_ends_it(attach: Make, owner: hostlib.Client[Echo]) -> None:
    record = owner.reattach_config
    assert (record.pid, record.version, record.protocol, record.test) == (owner.id, 1, "grpc", False)
    shell = attach(Reattach.from_json(record.to_json()))
    shell.start()
    assert shell.call(shell.echo().echo, b"hello") == b"hello"
    assert shell.client.reattach_config == record
    assert (shell.client.id, shell.client.negotiated_version, shell.client.exited) == (owner.id, 1, False)
    stopped = shell.stop()
    assert (stopped.how, stopped.exit_code, stopped.signal) == ("shutdown", None, None)
    assert shell.client.exited
    stopped = owner.stop()
    assert (stopped.how, stopped.exit_code) == ("exited already", 0)


def test_one_that_ignores_everything_is_killed_by_the_client_that_found_it(attach: Make) -> None:
    short = StopBudget(shutdown=0.2, terminate=0.2, kill=30.0)
    with hostlib.Client(program("hangs_in_shutdown.py"), HANDSHAKE, {"echo": Echo}, env=SUPPORT) as owner:
        shell = attach(owner.reattach_config, stop_budget=short)
        shell.start()
        assert shell.stop().how == "killed"
        assert owner.stop().signal == "SIGKILL"


def test_a_plugin_in_test_mode_is_left_running(attach: Make, owner: hostlib.Client[Echo]) -> None:
    shell = attach(changed(owner.reattach_config, test=True))
    shell.start()
    shell.ping()
    stopped = shell.stop()
    assert (stopped.how, stopped.exit_code) == ("disconnected", None)
    assert stopped.seconds < PATIENT.shutdown / 2
    owner.ping(LIMIT)
    assert not owner.exited
    with pytest.raises(Misuse, match="was stopped"):
        shell.ping()


@pytest.mark.usefixtures("settled_late")
def test_the_end_of_a_process_that_is_not_ours_is_noticed(attach: Make, owner: hostlib.Client[Echo]) -> None:
    shell = attach(owner.reattach_config)
    shell.start()
    with pytest.raises(PluginLost, match="ended during a call"):
        shell.call(shell.echo().exit, b"\x07")
    assert shell.client.exited
    assert shell.stop().how == "exited already"


REFUSED: list[tuple[str, str]] = [
    ("ended", "has ended"),
    ("restarted", "its number was given to another process"),
    ("silent", "does not answer at .*: Connection refused"),
    ("elsewhere", "does not answer at .*: No such file"),
    ("stranger", "process [0-9]+ does, a stranger"),
    ("crowded", "does not answer at .*: Resource temporarily unavailable"),
]


@pytest.mark.parametrize(("case", "said"), REFUSED)
@pytest.mark.fault(44)
def test_what_is_not_the_plugin_of_the_record_is_refused_and_left_alone(
    attach: Make, owner: hostlib.Client[Echo], case: str, said: str, nothing_left: str
) -> None:
    record = owner.reattach_config
    with ExitStack() as undo:
        other = undo.enter_context(subprocess.Popen(["sleep", "60"]))
        undo.callback(other.kill)
        silent = undo.enter_context(socket.socket(socket.AF_UNIX))
        silent.bind(f"{nothing_left}/silent")
        undo.callback(os.unlink, f"{nothing_left}/silent")
        match case:
            case "ended":
                gone = subprocess.Popen(["true"])
                gone.wait()
                record = changed(record, pid=gone.pid, started=None)
            case "restarted":
                record = changed(record, pid=other.pid)
            case "silent":
                record = changed(record, address=Unix(f"{nothing_left}/silent"))
            case "elsewhere":
                record = changed(record, address=Unix(f"{nothing_left}/absent"))
            case "crowded":  # by others who wait for whoever listens there
                silent.listen(0)
                undo.enter_context(socket.socket(socket.AF_UNIX)).connect(f"{nothing_left}/silent")
                record = changed(record, address=Unix(f"{nothing_left}/silent"))
            case _:
                record = changed(record, pid=other.pid, started=started(other.pid))
        shell = attach(record)
        with pytest.raises(ProcessNotFound, match=said) as caught:
            shell.start()
        assert caught.value.pid == record.pid
        assert other.poll() is None
    owner.ping(LIMIT)


def test_a_child_that_has_ended_but_was_not_reaped_is_gone(attach: Make) -> None:
    with subprocess.Popen(["sh", "-c", "echo; read line"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdin is not None
        child.stdout.readline()
        with socket.socket(socket.AF_UNIX) as listening:
            path = os.environ["TMPDIR"] + "/s"
            listening.bind(path)
            listening.listen()
            child.stdin.close()
            os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
            with pytest.raises(ProcessNotFound, match=r"has ended|a stranger"):
                attach(Reattach(address=Unix(path), pid=child.pid, version=1)).start()
            os.unlink(path)


def test_a_plugin_that_does_not_answer_is_not_killed_for_it(attach: Make, owner: hostlib.Client[Echo]) -> None:
    shell = attach(owner.reattach_config, start_timeout=5.0)
    os.kill(owner.id or 0, signal.SIGSTOP)
    try:
        with pytest.raises(StartTimeout, match="gave no answer"):
            shell.start()
        assert shell.stop().how == "disconnected"
    finally:
        os.kill(owner.id or 0, signal.SIGCONT)
    owner.ping(LIMIT)


def test_a_process_whose_children_serve_is_found(attach: Make) -> None:
    command = ["sh", "-c", '"$@"; exit', "sh", *program("bare.py")]
    with hostlib.Client(command, HANDSHAKE, {"echo": Echo}, env=SUPPORT) as owner:
        shell = attach(owner.reattach_config)
        shell.start()
        shell.ping()


def test_without_descriptors_of_processes_it_is_looked_at_every_second(
    attach: Make, owner: hostlib.Client[Echo], monkeypatch: pytest.MonkeyPatch
) -> None:
    record = owner.reattach_config

    def absent(pid: int) -> int:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(os, "pidfd_open", absent)
    shell = attach(record)
    shell.start()
    shell.ping()
    assert shell.stop().how == "shutdown"


def test_one_that_is_someone_elses_and_cannot_be_signalled_counts_as_alive(
    attach: Make, owner: hostlib.Client[Echo], monkeypatch: pytest.MonkeyPatch
) -> None:
    shell = attach(owner.reattach_config, stop_budget=StopBudget(shutdown=0, terminate=0.1, kill=0.1))
    shell.start()

    def refused(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    with monkeypatch.context() as patched:
        patched.setattr(signal, "pidfd_send_signal", refused)
        with pytest.raises(MachineFault, match="does not end"):
            shell.stop()
    assert not owner.exited


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"command": ["./p"]}, "a command, a record to reattach by or a runner"),
        ({"reattach": None, "command": None}, "a command, a record to reattach by or a runner"),
        ({"env": {"A": "1"}}, "env, inherit_env, cwd and stdin"),
        ({"auto_mtls": True}, "auto_mtls does not go with reattach"),
        ({"multiplex": True}, "multiplex does not go with reattach"),
        ({"guardian": True}, "guardian does not go with reattach"),
        ({"cwd": "/"}, "env, inherit_env, cwd and stdin"),
        ({"plugins": None, "versions": {2: {"echo": Echo}}}, "serves version 1, and the host offers 2"),
        ({"reattach": Reattach(address=Unix("/p"), pid=1, version=1, protocol="netrpc")}, "net/rpc exists in Go alone"),
    ],
)
def test_what_makes_no_sense_with_a_record_is_refused(options: dict[str, Any], said: str) -> None:
    record = Reattach(address=Unix("/p"), pid=1, version=1)
    given: dict[str, Any] = {"reattach": record, "plugins": {"echo": Echo}} | options
    with pytest.raises(Misuse, match=said):
        hostlib.Client(**given)
    with pytest.raises(Misuse, match=said):
        aio.Client(**given)


def test_there_is_no_record_of_a_plugin_that_does_not_run(owner: hostlib.Client[Echo]) -> None:
    with pytest.raises(Misuse, match="was not started"):
        _ = hostlib.Client(["./p"], HANDSHAKE, {"echo": Echo}).reattach_config
    owner.stop()
    with pytest.raises(Misuse, match="was stopped"):
        _ = owner.reattach_config


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"auto_mtls": True}, "AutoMTLS cannot be reattached to"),
        ({"multiplex": True}, "multiplexes cannot be reattached to"),
    ],
)
@pytest.mark.parametrize("shell", SHELLS)
def test_there_is_no_record_of_a_plugin_whose_connection_is_its_hosts_alone(
    shell: str, options: dict[str, Any], said: str
) -> None:
    with clients(shell) as make:
        client = make([sys.executable, "-c", OURS], **options)
        client.start()
        with pytest.raises(Misuse, match=said):
            _ = client.client.reattach_config


OURS = """
from goplugin import pluginlib
from goplugin.handshake import Handshake
pluginlib.serve(Handshake(cookie_key="TEST_COOKIE", cookie_value="yes"), plugins={"echo": lambda *_: None})
"""
EXITS = """
import sys
from goplugin import hostlib
from goplugin.handshake import Reattach
client = hostlib.Client(reattach=Reattach.from_json(sys.argv[1]), plugins={"echo": str})
client.start()
print("attached", flush=True)
"""


def test_a_host_that_exits_leaves_alone_what_it_found(owner: hostlib.Client[Echo], tmp_path: Path) -> None:
    (tmp_path / "host.py").write_text(EXITS)
    command = [sys.executable, str(tmp_path / "host.py"), owner.reattach_config.to_json()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr, done.returncode) == ("attached\n", "", 0)
    owner.ping(LIMIT)
