"""The guardian, with hosts that are really killed and plugins that do not notice."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from lives import Life, command
from shells import HANDSHAKE, LIMIT, PROGRAMS, SHELLS, SUPPORT, Echo, program

from goplugin import hostlib
from goplugin.handshake import MachineFault
from goplugin.hostlib._guardian import GUARDIAN, Guardian


class Host:
    """A host in a process of its own, and what it started."""

    def __init__(self, shell: str, *names: str, guardian: bool) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(PROGRAMS / "hosts.py"), shell, "yes" if guardian else "no", *names],
            env=os.environ | SUPPORT,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert self._process.stdout is not None
        with self._process.stdout as stdout:
            heir, *plugins = (int(pid) for pid in stdout.readline().split())
        found = {child.pid: Life(child.pid) for child in psutil.Process(self._process.pid).children(recursive=True)}
        self._heir = found.pop(heir)
        self._lives = [*found.values()]
        self.plugins = [found.pop(pid) for pid in plugins]
        self.others = [*found.values()]  # their children, and the guardian

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(LIMIT)

    def close(self) -> None:
        self.kill()
        for life in (self._heir, *self._lives):
            life.end()


@pytest.fixture
def host() -> Iterator[Callable[..., Host]]:
    """Start hosts, and end in any case all that they started."""
    hosts: list[Host] = []

    def host(shell: str, *names: str, guardian: bool = True) -> Host:
        hosts.append(Host(shell, *names, guardian=guardian))
        return hosts[-1]

    yield host
    for one in hosts:
        one.close()


def guardians() -> list[psutil.Process]:
    return [child for child in psutil.Process().children() if "_guardian_process.py" in command(child)]


@pytest.fixture
def guardian() -> Iterator[Any]:
    """One that does not outlive a test that fails."""
    guardian: Any = Guardian()
    yield guardian
    guardian._end()


@pytest.fixture
def sleeper() -> Iterator[Callable[[], "subprocess.Popen[bytes]"]]:
    """Start processes that lead groups of their own."""
    made: list[subprocess.Popen[bytes]] = []

    def sleeper() -> "subprocess.Popen[bytes]":
        made.append(subprocess.Popen(["sleep", "60"], start_new_session=True))
        return made[-1]

    yield sleeper
    for process in made:
        process.kill()
        process.wait(LIMIT)


Sleeper = Callable[[], "subprocess.Popen[bytes]"]


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.fault(28, 40)
def test_foreign_plugins_end_with_a_host_that_is_killed_and_their_sockets_go(
    host: Callable[..., Host], shell: str
) -> None:
    one = host(shell, "bare.py", "ignores_sigterm.py", "has_a_child.py")
    os.kill(one.plugins[0].pid, signal.SIGSTOP)
    assert len(one.others) >= 2, "a plugin's child and the guardian"
    one.kill()
    assert all(life.ended() for life in (*one.plugins, *one.others))
    # The fixture of all tests here sees that no directory is left.


def test_without_a_guardian_a_foreign_plugin_outlives_its_host(host: Callable[..., Host], nothing_left: str) -> None:
    one = host("sync", "bare.py", guardian=False)
    assert one.others == []
    one.kill()
    assert not one.plugins[0].ended(0.3)
    for directory in Path(nothing_left).iterdir():
        shutil.rmtree(directory)


def test_one_guardian_serves_all_clients_and_ends_with_the_last() -> None:
    clients = [
        hostlib.Client(program("bare.py"), HANDSHAKE, {"echo": Echo}, env=SUPPORT, guardian=True) for _ in range(2)
    ]
    for client in clients:
        client.start()
        assert len(guardians()) == 1
    for client, left in zip(clients, (1, 0), strict=True):
        client.stop()
        assert len(guardians()) == left


def test_a_plugin_that_cannot_be_guarded_is_not_started(monkeypatch: pytest.MonkeyPatch) -> None:
    assert hostlib.guardian_available()
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    client = hostlib.Client(program("bare.py"), HANDSHAKE, {"echo": Echo}, env=SUPPORT, guardian=True)
    with pytest.raises(MachineFault, match="needs a Python interpreter"):
        client.start()
    assert client.exited
    assert not hostlib.guardian_available()


def test_a_process_that_nobody_can_see_cannot_be_guarded() -> None:
    with pytest.raises(MachineFault, match="in /proc"):
        GUARDIAN.keep(2**22 + 1, "/nowhere")


def test_a_guardian_that_cannot_be_started_is_the_machines_fault(
    sleeper: Sleeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")
    guardian = Guardian()
    pid = sleeper().pid
    with pytest.raises(MachineFault, match="cannot be started: No such file"):
        guardian.keep(pid, "/nowhere")
    guardian.forget(pid)
    assert guardians() == []


def test_a_guardian_that_takes_no_orders_is_not_left_running(sleeper: Sleeper, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise BrokenPipeError

    monkeypatch.setattr(Guardian, "_write", refuse)
    with pytest.raises(MachineFault, match="cannot be started"):
        Guardian().keep(sleeper().pid, "/nowhere")
    assert guardians() == []


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_guardian_that_somebody_ended_or_froze_is_replaced_and_the_next_knows_of_all(
    guardian: Any, sleeper: Sleeper, number: signal.Signals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("goplugin.hostlib._guardian._PATIENCE", 0.5)
    first, second = sleeper(), sleeper()
    guardian.keep(first.pid, "/nowhere")
    (process,) = guardians()
    process.send_signal(number)
    if number == signal.SIGKILL:
        process.wait(LIMIT)
    # One that is frozen is noticed once the pipe is full.
    deep = tmp_path / ("d" * 200)
    for _ in range(1 if number == signal.SIGKILL else 200):
        guardian.keep(second.pid, str(deep))
    (other,) = guardians()
    assert other.pid != process.pid
    # As if this process were gone: the other end of the pipe closes.
    end_as_if_gone(guardian)
    assert first.wait(LIMIT) == second.wait(LIMIT) == -signal.SIGTERM
    for pid in (first.pid, second.pid):
        guardian.forget(pid)


def end_as_if_gone(guardian: Any) -> None:
    os.close(guardian._pipe)
    guardian._process.wait(LIMIT)
    guardian._process = None


def test_a_fork_has_a_guardian_of_its_own_and_leaves_its_parents_alone(tmp_path: Path) -> None:
    source = """if True:
        import os, subprocess, sys
        from goplugin.hostlib._guardian import GUARDIAN
        first = subprocess.Popen(["sleep", "60"], start_new_session=True)
        GUARDIAN.keep(first.pid, sys.argv[1])
        ours = GUARDIAN._process.pid
        child = os.fork()
        if not child:
            GUARDIAN.forget(first.pid)
            assert GUARDIAN._process.pid == ours
            second = subprocess.Popen(["sleep", "60"], start_new_session=True)
            GUARDIAN.keep(second.pid, sys.argv[1])
            assert GUARDIAN._process.pid != ours
            GUARDIAN.forget(second.pid)
            assert GUARDIAN._process is None
            second.kill()
            second.wait()
            os._exit(7)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        assert GUARDIAN._process.poll() is None
        GUARDIAN.forget(first.pid)
        assert first.poll() is None
        first.kill()
        first.wait()
    """
    done = subprocess.run(
        [sys.executable, "-c", source, str(tmp_path)], timeout=LIMIT, capture_output=True, text=True, check=False
    )
    assert (done.stderr, done.returncode) == ("", 0)


def test_what_only_calls_itself_the_interpreter_guards_nothing_and_that_is_said(
    sleeper: Sleeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    guardian = Guardian()
    with pytest.raises(MachineFault, match="the guardian cannot be started: '/bin/false' does not run it"):
        guardian.keep(sleeper().pid, "/nowhere")


def test_a_fork_amid_an_order_does_not_hold_up_the_child() -> None:
    source = """if True:
        import os, subprocess, threading
        from goplugin.hostlib._guardian import GUARDIAN
        held, go = threading.Event(), threading.Event()

        def hold():
            with GUARDIAN._lock:
                held.set()
                go.wait(30)

        threading.Thread(target=hold).start()
        held.wait(30)
        child = os.fork()
        if not child:
            with subprocess.Popen(["sleep", "60"], start_new_session=True) as plugin:
                GUARDIAN.forget(plugin.pid)
                GUARDIAN.keep(plugin.pid, "/nowhere")
                GUARDIAN.forget(plugin.pid)
                plugin.kill()
            os._exit(7)
        go.set()
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    """
    command = [sys.executable, "-c", source]
    done = subprocess.run(command, timeout=LIMIT, capture_output=True, text=True, check=False)
    assert (done.stderr, done.returncode) == ("", 0)


def test_a_guardian_that_is_frozen_does_not_hold_up_who_needs_it_no_more(
    guardian: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as plugin:
        guardian.keep(plugin.pid, "/nowhere")
        (process,) = guardians()
        process.suspend()
        monkeypatch.setattr("goplugin.hostlib._guardian._PATIENCE", 60.0)
        begun = time.monotonic()
        guardian.forget(plugin.pid)
        assert time.monotonic() - begun < 30
        assert guardians() == []
        plugin.kill()
