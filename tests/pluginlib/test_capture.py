"""The hooks and the stream that a plugin replaces; descriptor 1 itself is seen in test_serve."""

import io
import json
import os
import sys
import threading
from collections.abc import Iterator

import pytest

from goplugin.handshake import MachineFault
from goplugin.pluginlib import hclog
from goplugin.pluginlib._capture import Stderr, Stdout, report_uncaught
from goplugin.pluginlib._output import Output
from goplugin.pluginlib._spool import Channel, Spool


@pytest.fixture
def hooks(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """The interpreter's own hooks; pytest has others."""
    monkeypatch.setattr(sys, "excepthook", sys.__excepthook__)
    monkeypatch.setattr(sys, "unraisablehook", sys.__unraisablehook__)
    monkeypatch.setattr(threading, "excepthook", threading.__excepthook__)
    return monkeypatch


def test_the_interpreters_own_hooks_are_replaced(hooks: pytest.MonkeyPatch) -> None:
    report_uncaught()
    assert sys.excepthook is not sys.__excepthook__
    assert sys.unraisablehook is not sys.__unraisablehook__
    assert threading.excepthook is not threading.__excepthook__


def test_the_programs_hooks_are_left_alone(hooks: pytest.MonkeyPatch) -> None:
    def own(*_: object) -> None:
        """Belongs to the program."""

    for module, name in ((sys, "excepthook"), (sys, "unraisablehook"), (threading, "excepthook")):
        hooks.setattr(module, name, own)
    report_uncaught()
    assert (sys.excepthook, sys.unraisablehook, threading.excepthook) == (own, own, own)


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """What stands in for descriptor 2."""
    read, write = os.pipe()

    def record(line: bytes) -> None:
        os.write(write, line)

    monkeypatch.setattr(hclog, "write", record)
    yield read
    os.close(read)
    os.close(write)


def test_a_thread_that_ends_itself_is_nothing_to_report(hooks: pytest.MonkeyPatch, log: int) -> None:
    report_uncaught()
    for error in (SystemExit(3), ValueError("as told")):
        thread = threading.Thread(target=raise_, args=(error,), name="t")
        thread.start()
        thread.join()
    [line] = os.read(log, 65536).splitlines()
    assert json.loads(line)["@message"] == "uncaught exception in thread t: ValueError"


def raise_(error: BaseException) -> None:
    raise error


def test_stderr_goes_to_the_output_until_it_is_released(monkeypatch: pytest.MonkeyPatch) -> None:
    former = io.StringIO()
    monkeypatch.setattr(sys, "stderr", former)
    output = Output(Spool())
    reader = output.open(lambda: None)
    replaced = Stderr(output)
    print("during", file=sys.stderr)
    replaced.release()
    replaced.release()
    print("after", file=sys.stderr)
    assert reader.take() == (Channel.STDERR, b"during\n")
    assert former.getvalue() == "after\n"


def test_who_kept_the_stream_writes_to_the_descriptor_once_it_is_released(capfd: pytest.CaptureFixture[str]) -> None:
    replaced = Stderr(Output(Spool()))
    kept = sys.stderr
    replaced.release()
    print("after", file=kept)
    assert capfd.readouterr().err == "after\n"


def test_a_stream_that_the_program_put_there_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    replaced = Stderr(Output(Spool()))
    monkeypatch.setattr(sys, "stderr", own := io.StringIO())
    replaced.release()
    assert sys.stderr is own
    monkeypatch.undo()
    replaced.release()


def test_a_process_without_stdout_is_the_machines_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "__stdout__", None)
    with pytest.raises(MachineFault, match="needs a stdout"):
        Stdout()
