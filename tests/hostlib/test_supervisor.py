"""The reader of a plugin's pipes, thread and all."""

import os
import selectors
import signal
import threading
from collections.abc import Iterator
from time import monotonic

import pytest

from goplugin.handshake import MachineFault
from goplugin.hostlib._child import Child
from goplugin.hostlib._launch import Launch
from goplugin.hostlib._output import Output
from goplugin.hostlib._supervisor import Supervisor

LINE = "1|1|unix|/tmp/p|grpc|"


class Plugin:
    """A process and what reads it."""

    def __init__(self, script: str) -> None:
        self.output = Output("test", None, None)
        self.child = Child(["sh", "-c", script], dict(os.environ), None)
        self.supervisor = Supervisor(self.child, self.output, "test")
        self.launch = Launch(
            now=monotonic(), timeout=30, versions={1}, argv=["sh"], pid=self.child.pid, stderr=self.output.tail
        )


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


def test_the_thread_is_named_for_the_plugin_and_holds_nobody_up(plugins: list[Plugin]) -> None:
    plugin = Plugin(f"echo '{LINE}'; exec sleep 60")
    plugins.append(plugin)
    plugin.supervisor.line(plugin.launch)
    plugin.supervisor.start(lambda: None)
    (thread,) = [t for t in threading.enumerate() if t.name == "goplugin-supervisor-test"]
    assert thread.daemon


def test_without_a_selector_the_pipes_are_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused() -> None:
        raise OSError(24, "Too many open files")

    child = Child(["true"], dict(os.environ), None)
    monkeypatch.setattr(selectors, "DefaultSelector", refused)
    with pytest.raises(MachineFault, match="Too many open files"):
        Supervisor(child, Output("test", None, None), "test")
    child.end(10)
