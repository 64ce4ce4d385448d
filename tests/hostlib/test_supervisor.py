"""The reader of a plugin's pipes, thread and all."""

import fcntl
import os
import selectors
import signal
import threading
from collections.abc import Iterator
from time import monotonic

import pytest

from goplugin.handshake import MachineFault
from goplugin.hostlib._child import Child
from goplugin.hostlib._launch import Launch, Terms
from goplugin.hostlib._output import Output, Sink
from goplugin.hostlib._supervisor import Supervisor

LINE = "1|1|unix|/tmp/p|grpc|"


class Plugin:
    """A process and what reads it."""

    def __init__(self, script: str, stderr: Sink | None = None) -> None:
        self.output = Output("test", None, stderr)
        self.child = Child(["sh", "-c", script], dict(os.environ), None)
        self.supervisor = Supervisor(self.child, self.output, "test")
        terms = Terms(timeout=30, versions={1}, argv=["sh"], pid=self.child.pid, stderr=self.output.tail)
        self.launch = Launch(monotonic(), terms)


@pytest.fixture
def plugins() -> Iterator[list[Plugin]]:
    made: list[Plugin] = []
    yield made
    for plugin in made:
        plugin.child.send(signal.SIGKILL)
        plugin.supervisor.close()
        plugin.child.end(10)


def test_a_process_that_ended_while_its_line_was_read_is_seen_to_have_ended(plugins: list[Plugin]) -> None:
    plugin = Plugin(f"echo '{LINE}'; echo last >&2")
    plugins.append(plugin)
    assert plugin.child.wait(10) == 0
    assert plugin.supervisor.line(plugin.launch).version == 1
    ended = threading.Event()
    plugin.supervisor.start(ended.set)
    assert ended.wait(10)
    assert plugin.supervisor.drained.wait(10)
    assert plugin.output.tail() == (b"last",)


def test_what_a_grandchild_still_writes_is_not_waited_for(plugins: list[Plugin]) -> None:
    # In a session of its own it is out of reach of what we signal.
    plugin = Plugin(f"echo '{LINE}'; setsid sleep 60 & echo $! >&2")
    plugins.append(plugin)
    plugin.supervisor.line(plugin.launch)
    ended = threading.Event()
    plugin.supervisor.start(ended.set)
    assert ended.wait(10)
    assert plugin.supervisor.drained.wait(10)
    os.kill(int(plugin.output.tail()[0]), signal.SIGKILL)


def test_what_could_be_read_in_time_is_read_though_the_thread_comes_late(
    plugins: list[Plugin], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("goplugin.hostlib._supervisor.DRAIN", 0.0)
    plugin = Plugin(f"echo '{LINE}'; setsid sleep 60 & echo $! >&2")
    plugins.append(plugin)

    def speak() -> None:
        with open(f"/proc/self/fd/{plugin.child.stderr}", "wb") as again:  # the other end of the pipe
            again.write(b"last words\n")

    plugin.supervisor.line(plugin.launch)
    plugin.supervisor.start(speak)
    assert plugin.supervisor.drained.wait(10)
    grandchild, *rest = plugin.output.tail()
    os.kill(int(grandchild), signal.SIGKILL)
    assert rest == [b"last words"]


def test_the_thread_is_named_for_the_plugin_and_holds_nobody_up(plugins: list[Plugin]) -> None:
    plugin = Plugin(f"echo '{LINE}'; exec sleep 60")
    plugins.append(plugin)
    plugin.supervisor.line(plugin.launch)
    plugin.supervisor.start(lambda: None)
    (thread,) = [t for t in threading.enumerate() if t.name == "goplugin-supervisor-test"]
    assert thread.daemon


def test_one_who_is_held_up_while_the_plugin_is_stopped_does_not_read_what_has_its_descriptor_next(
    plugins: list[Plugin],
) -> None:
    held, let_go = [threading.Event() for _ in range(2)], [threading.Event() for _ in range(2)]

    def sink(data: bytes) -> None:
        held[data != b"one\n"].set()
        assert let_go[data != b"one\n"].wait(60)

    script = f"trap 'echo two >&2; exit 0' TERM; echo '{LINE}'; echo one >&2; while :; do sleep 1; done"
    plugin = Plugin(script, sink)
    plugins.append(plugin)
    plugin.supervisor.start(lambda: None)
    assert held[0].wait(10)
    plugin.child.send(signal.SIGTERM)
    assert plugin.child.wait(10) == 0
    let_go[0].set()
    assert held[1].wait(10), "by what came at once with the end of the process"
    number, (read, write) = plugin.child.exit, os.pipe()
    try:
        plugin.child.end(10)
        again = fcntl.fcntl(read, fcntl.F_DUPFD_CLOEXEC, number)
        assert again == number
        os.write(write, b"of the host's own")
        let_go[1].set()
        assert plugin.supervisor.drained.wait(10)
        os.set_blocking(read, False)
        assert os.read(read, 100) == b"of the host's own"
        os.close(again)
    finally:
        os.close(read)
        os.close(write)


def test_without_a_selector_the_pipes_are_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused() -> None:
        raise OSError(24, "Too many open files")

    child = Child(["true"], dict(os.environ), None)
    monkeypatch.setattr(selectors, "DefaultSelector", refused)
    with pytest.raises(MachineFault, match="Too many open files"):
        Supervisor(child, Output("test", None, None), "test")
    child.end(10)
