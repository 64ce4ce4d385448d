"""Bugs of Redpanda Connect 4.100.0 around its plugins, shown on its own engine, and the same plugin under our host.

Each pair of tests is one bug; where in its source it lies is said with it. More of them are in test_engine.py. Its SDK
for Go hears of no ack at all, under whatever host: see test_rpcn_plugins.py.
"""

import json
import os
import re
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import provision
import psutil
import pytest
from probe_pb2_grpc import ProbeStub
from redpanda import (
    ADDRESS,
    PLUGINS,
    RPCN_FIELDS,
    Engine,
    OurHost,
    alive,
    describe,
    describe_python,
    describe_rpcn,
    generated,
    lines,
    pipeline,
    run,
    source_of_connect,
    troubled,
)
from waiting import until

from goplugin import batch, hostlib
from goplugin.batch.host import Input, load_descriptors

Interrupted = Callable[[type[Engine], str], tuple[int, str]]

# All instances of a plugin share one map of variables, the address among them (input.go, RegisterInputPlugin): what is
# started anew gets the address that was made last.


@pytest.fixture
def two(tmp_path: Path) -> list[dict[str, Any]]:
    """Describe an input of lines; return the configurations of two of them, each for a file of its own."""
    describe_python(tmp_path, PLUGINS / "batch_lines_in.py", "input", {"path": str, "done": str, "batch": 10})
    for name in ("one", "two"):
        (tmp_path / name).write_text("".join(f"{name} {number}\n" for number in range(100)))
    return [{"path": str(tmp_path / name), "done": str(tmp_path / f"{name}.done")} for name in ("one", "two")]


def test_the_engine_starts_one_of_two_inputs_anew_at_the_address_of_the_other(two: list[Any], tmp_path: Path) -> None:
    """Nobody looks for it there."""
    source = {"broker": {"inputs": [{"batch_lines_in": {**config, "batch": 1}} for config in two]}}
    slowly = {"sleep": {"duration": "100ms"}}
    file = pipeline(tmp_path / "pipeline.yaml", source, [slowly], {"drop": {}})
    with Engine(file, [tmp_path / "*.plugin.yaml"]) as engine:
        engine.says("Input type batch_lines_in is now active")
        first, second = engine.plugins
        first.terminate()
        until(lambda: engine.log.count("Subprocess started") == 3)
        [again] = set(engine.plugins) - {second}
        until(lambda: ADDRESS in again.environ())  # once it has become that program
        assert again.environ()[ADDRESS] == second.environ()[ADDRESS]


def test_our_host_finds_one_of_two_inputs_again(two: list[Any], tmp_path: Path) -> None:
    descriptor = load_descriptors([str(tmp_path / "*.plugin.yaml")])["batch_lines_in"]
    with Input(descriptor, two[0]) as one, Input(descriptor, two[1]) as other:
        child, *_ = sorted(psutil.Process().children(), key=lambda child: child.create_time())
        child.kill()
        psutil.wait_procs([child], timeout=10)
        read: dict[Input, list[str]] = {one: [], other: []}
        for source, seen in read.items():
            for delivery in source:
                seen += [message.text for message in delivery.messages]
                delivery.ack()
        assert (one.restarted, other.restarted) == (1, 0)
    assert list(read.values()) == [[f"{name} {number}" for number in range(100)] for name in ("one", "two")]


# To stop a plugin it signals the one process that it started, and waits with a lock held (subprocess.go, Close). Once
# the wait is given up, that process counts as running for ever; the engine starts none anew then, so no test shows it.


@pytest.fixture
def wrapped(tmp_path: Path) -> tuple[Path, Path]:
    """Describe an output in Go behind a shell that no SIGTERM ends; return a pipeline of some messages, and that."""
    command = ["sh", "-c", "trap '' TERM; \"$@\"; :", "sh", str(provision.program("rpcn")), "output"]
    plugin = describe(tmp_path, "wrapped", "output", command, RPCN_FIELDS["output"])
    source = {"generate": {"count": 10, "interval": "100ms", "mapping": 'root = "m"'}}
    sink = {"wrapped": {"path": str(tmp_path / "out"), "journal": str(tmp_path / "journal")}}
    return pipeline(tmp_path / "pipeline.yaml", source, [], sink), plugin


def test_the_engine_never_ends_with_a_plugin_that_sigterm_does_not_end(
    wrapped: tuple[Path, Path], tmp_path: Path
) -> None:
    """Told to give up, it kills that one process, and what it had started stays."""
    file, plugin = wrapped
    file.write_text(json.dumps({**json.loads(file.read_text()), "shutdown_timeout": "500ms"}))
    with Engine(file, [plugin]) as engine:
        engine.says("Attempting to gracefully shut down")
        [shell] = engine.plugins
        [program] = shell.children()
        assert lines(tmp_path / "journal")[-1] == "close", "its work is done"
        with pytest.raises(subprocess.TimeoutExpired):
            engine.wait(timeout=2)
        engine.stop()
        assert alive(program)


def test_our_host_stops_a_plugin_that_sigterm_does_not_end_and_all_that_it_started(
    wrapped: tuple[Path, Path], tmp_path: Path
) -> None:
    file, plugin = wrapped
    changed = json.loads(file.read_text())
    changed["input"]["generate"]["count"] = 50  # seconds enough to look at what runs
    file.write_text(json.dumps(changed))
    with OurHost(file, [plugin]) as host:
        until(lambda: [child for one in host.plugins for child in one.children()])
        [shell] = host.plugins
        [program] = shell.children()
        assert host.wait() == 0, host.log
        assert not alive(shell)
        until(lambda: not alive(program))
        assert host.leftovers == []
    assert lines(tmp_path / "journal")[-1] == "close"


# Neither its client nor its SDK's server raises gRPC's limit of 4 MiB (input.go, grpc.NewClient; rpcn.go, runMain).

TOO_LONG = re.compile(r"received message larger than max \(\d+ vs\. 4194304\)")


def test_the_engine_loses_a_batch_of_more_than_4_mib_of_its_own_sdk_and_ends_well(tmp_path: Path) -> None:
    plugin = describe_rpcn(tmp_path, "input")
    source = {"go_input": {"prefix": "x" * (1 << 20), "count": 11, "batch": 10}}
    file = pipeline(tmp_path / "pipeline.yaml", source, [], {"file": {"path": str(tmp_path / "out"), "codec": "lines"}})
    code, log = run(file, [plugin])
    assert (code, len(lines(tmp_path / "out"))) == (0, 1)
    assert TOO_LONG.search(log)


def test_our_host_takes_such_a_batch_of_its_sdk_whole(tmp_path: Path) -> None:
    plugin = describe_rpcn(tmp_path, "input")
    source = {"go_input": {"prefix": "x" * (1 << 20), "count": 11, "batch": 10}}
    file = pipeline(tmp_path / "pipeline.yaml", source, [], {"file": {"path": str(tmp_path / "out"), "codec": "lines"}})
    code, log = run(file, [plugin], OurHost)
    assert code == 0, log
    assert [len(line) for line in lines(tmp_path / "out")] == [(1 << 20) + 1] * 10 + [(1 << 20) + 2]


@pytest.fixture
def too_long(tmp_path: Path) -> dict[str, Any]:
    """Return an input that gives one message, which is too long for plugins on its SDK."""
    (tmp_path / "in").write_text("x" * (5 << 20))
    return {"file": {"paths": [str(tmp_path / "in")], "scanner": {"lines": {"max_buffer_size": 8 << 20}}}}


def test_the_engine_marks_a_batch_of_more_than_4_mib_for_a_processor_on_its_own_sdk(
    too_long: dict[str, Any], tmp_path: Path
) -> None:
    plugin = describe_rpcn(tmp_path, "processor")
    sink = {"file": {"path": str(tmp_path / "out"), "codec": "lines"}}
    processors: list[Any] = [{"go_processor": {}}, {"mapping": "root = error()"}]
    code, log = run(pipeline(tmp_path / "pipeline.yaml", too_long, processors, sink), [plugin])
    [line] = lines(tmp_path / "out")
    assert code == 0, log
    assert TOO_LONG.search(line)


def test_our_host_marks_it_too(too_long: dict[str, Any], tmp_path: Path) -> None:
    plugin = describe_rpcn(tmp_path, "processor")
    sink = {"file": {"path": str(tmp_path / "out"), "codec": "lines"}}
    code, log = run(pipeline(tmp_path / "pipeline.yaml", too_long, [{"go_processor": {}}], sink), [plugin], OurHost)
    assert (code, lines(tmp_path / "out")) == (1, ["x" * (5 << 20)])
    assert TOO_LONG.search(log)


def test_the_engine_tries_such_a_batch_for_an_output_on_its_own_sdk_again_and_again(tmp_path: Path) -> None:
    plugin = describe_rpcn(tmp_path, "output")
    source = {"generate": {"count": 1, "interval": "", "mapping": 'root = "x".repeat(5242880)'}}
    file = pipeline(tmp_path / "pipeline.yaml", source, [], {"go_output": {"path": str(tmp_path / "out")}})
    with Engine(file, [plugin]) as engine:
        until(lambda: len(TOO_LONG.findall(engine.log)) > 3)
        assert lines(tmp_path / "out") == []


def test_our_host_tries_it_again_and_says_why_it_gives_it_up(too_long: dict[str, Any], tmp_path: Path) -> None:
    plugin = describe_rpcn(tmp_path, "output")
    file = pipeline(tmp_path / "pipeline.yaml", too_long, [], {"go_output": {"path": str(tmp_path / "out")}})
    code, log = run(file, [plugin], OurHost)
    assert (code, lines(tmp_path / "out")) == (1, [])
    assert "failed 3 times" in log
    assert TOO_LONG.search(log)


@pytest.fixture
def big(tmp_path: Path) -> Path:
    """Write the pipeline of six lines in batches of three; both are longer than 4 MiB, and so is the fifth line."""
    describe_python(tmp_path, PLUGINS / "batch_lines_in.py", "input", {"path": str, "done": str, "batch": 3})
    (tmp_path / "in").write_text("\n".join(["a", "b" * (3 << 20), "c" * (3 << 20), "d", "e" * (5 << 20), "f"]))
    source = {"batch_lines_in": {"path": str(tmp_path / "in"), "done": str(tmp_path / "done")}}
    return pipeline(tmp_path / "pipeline.yaml", source, [], {"file": {"path": str(tmp_path / "out"), "codec": "lines"}})


def test_our_input_gives_the_engine_such_a_batch_in_parts_and_says_which_message_it_cannot_give(
    big: Path, tmp_path: Path
) -> None:
    code, log = run(big, [tmp_path / "*.plugin.yaml"])
    assert code == 0
    assert [(line[0], len(line)) for line in lines(tmp_path / "out")] == [
        ("a", 1), ("b", 3 << 20), ("c", 3 << 20), ("d", 1), ("f", 1)
    ]  # fmt: skip
    assert (tmp_path / "done").read_text() == "3", "the first batch is acked, and the second is not"
    assert not TOO_LONG.search(log)
    for teller in ("Failed to read message: ", "LinesIn gave what cannot be handed over: "):
        assert re.search(rf"{teller}batch\[1\]: got a message of 52428\d\d bytes, want at most 4194281", log)


def test_our_host_takes_a_batch_of_more_than_4_mib(big: Path, tmp_path: Path) -> None:
    assert run(big, [tmp_path / "*.plugin.yaml"], OurHost)[0] == 0
    assert [len(line) for line in lines(tmp_path / "out")] == [1, 3 << 20, 3 << 20, 1, 5 << 20, 1]


def test_the_engine_marks_the_batch_of_a_processor_that_answers_with_more_than_4_mib(tmp_path: Path) -> None:
    """It is not lost: it goes on as it came, for `catch` or `reject_errored` to see."""
    obey = describe_python(tmp_path, PLUGINS / "batch_obey.py", "processor", {"suffix": ""})
    source = {"generate": {"count": 1, "interval": "", "mapping": 'root = "m"'}}
    grow = {"batch_obey": {"suffix": "x" * (5 << 20)}}
    tell = {"catch": [{"mapping": 'root = content() + ": " + error()'}]}
    sink = {"file": {"path": str(tmp_path / "out"), "codec": "lines"}}
    code, log = run(pipeline(tmp_path / "pipeline.yaml", source, [grow, tell], sink), [obey])
    [line] = lines(tmp_path / "out")
    assert code == 0, log
    assert line.startswith("m: ")
    assert TOO_LONG.search(line)


# "This does NOT inherit from the current process", says its comment on a plugin's variables (input.go, InputConfig).


def test_the_engine_hands_all_of_its_variables_to_every_plugin(tmp_path: Path) -> None:
    plugin = describe_rpcn(tmp_path, "processor")
    file = generated(tmp_path, {"go_processor": {}}, "m")
    with Engine(file, [plugin], {"PASSWORD_OF_ANOTHER": "s3cret"}) as engine:
        until(lambda: lines(tmp_path / "out"))
        assert engine.plugin("processor").environ()["PASSWORD_OF_ANOTHER"] == "s3cret"


def test_our_host_hands_a_plugin_the_variables_that_it_was_told_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PASSWORD_OF_ANOTHER", "s3cret")
    command = [str(provision.program("rpcn")), "processor"]
    plugins = {"processor": ProbeStub}  # never called
    for inherit, has_it in ((True, True), (["PATH"], False)):
        with hostlib.Client(command, batch.HANDSHAKE, plugins, inherit_env=inherit, address_variable=ADDRESS) as client:
            assert ("PASSWORD_OF_ANOTHER" in psutil.Process(client.id).environ()) is has_it


# Its plugins are in its own process group, so Ctrl-C reaches them too, and its SDK for Go ends then (rpcn.go, runMain).


@pytest.fixture
def interrupted(tmp_path: Path) -> Interrupted:
    """``interrupted(host, processor)`` presses Ctrl-C with a message on its way there; returns exit code and log."""
    hold, held = troubled(tmp_path, "hold", "processor", {"until": str}), tmp_path / "go on"
    obey = describe_python(tmp_path, PLUGINS / "batch_obey.py", "processor", {"suffix": ""})
    go = describe_rpcn(tmp_path, "processor")
    source = {"generate": {"interval": "10ms", "mapping": 'root = "m"'}}
    sink = {"file": {"path": str(tmp_path / "out"), "codec": "lines"}}

    def interrupted(host: type[Engine], processor: str) -> tuple[int, str]:
        processors = [{"hold": {"until": str(held)}}, {processor: {"suffix": "!"}}]
        file = pipeline(tmp_path / "pipeline.yaml", source, processors, sink)
        with host(file, [hold, obey, go]) as running:
            running.says("holding")
            os.killpg(running.process.pid, signal.SIGINT)
            if (host, processor) == (Engine, "go_processor"):
                running.says("exited with no error")
            else:
                with pytest.raises(subprocess.TimeoutExpired):
                    running.wait(timeout=1)  # what would end on Ctrl-C has done so by now
            held.touch()
            return running.wait(), running.log

    return interrupted


def test_the_engine_panics_at_ctrl_c_with_its_own_plugins(interrupted: Interrupted, tmp_path: Path) -> None:
    """It still drains when the processor has ended; what it does about that is in test_engine.py."""
    code, log = interrupted(Engine, "go_processor")
    assert (code, lines(tmp_path / "out")) == (2, [])
    assert "Received SIGINT, the service is closing" in log
    assert "nil pointer dereference" in log


@pytest.mark.parametrize(
    ("host", "processor"), [(Engine, "batch_obey"), (OurHost, "go_processor"), (OurHost, "batch_obey")]
)
def test_at_ctrl_c_our_plugins_stay_and_our_host_keeps_its_own_to_itself_until_all_is_drained(
    interrupted: Interrupted, tmp_path: Path, host: type[Engine], processor: str
) -> None:
    code, log = interrupted(host, processor)
    assert code == 0, log
    assert set(lines(tmp_path / "out")) == {"M!"}
    assert "starting it again" not in log


# What would have shown some of this runs nowhere but on its authors' machines.


def test_redpandas_own_tests_of_its_plugins_processes_skip_themselves_in_ci() -> None:
    folder = source_of_connect() / "internal" / "rpcplugin"
    tests = [
        test
        for file in (folder / "processor_test.go", folder / "subprocess" / "subprocess_test.go")
        for test in re.split(r"^func (?=Test)", file.read_text(), flags=re.MULTILINE)[1:]
    ]
    skipping = re.compile(r'\) \{\n\tif os\.Getenv\("CI"\) != "" \{\n\t\tt\.Skip\(')
    assert len(tests) == 6
    assert all(skipping.search(test) for test in tests)


def test_ours_fail_in_ci_for_want_of_what_they_need(
    pytestconfig: pytest.Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    [here] = (
        plugin
        for plugin in pytestconfig.pluginmanager.get_plugins()
        if getattr(plugin, "__file__", None) == str(Path(__file__).with_name("conftest.py"))
    )
    for hook in (here.pytest_runtest_setup, here.pytest_runtest_call):
        for value, outcome in (("true", pytest.fail.Exception), ("", pytest.skip.Exception)):
            monkeypatch.setenv("CI", value)
            running = hook()
            next(running)
            with pytest.raises((pytest.fail.Exception, pytest.skip.Exception), match="go is not installed") as caught:
                running.throw(provision.Missing("engine", "go is not installed"))
            assert caught.type is outcome
