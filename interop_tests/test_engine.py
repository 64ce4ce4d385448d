"""Redpanda Connect's own engine and loader with plugins on its own SDK, and with ours, from the same files.

The first part is the reference: what holds, and what does not, without a line of ours.
"""

import re
import signal
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from redpanda import (
    PLUGINS,
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
    troubled,
)
from waiting import until

KINDS = ["input", "processor", "output"]


@pytest.fixture
def rpcn(tmp_path: Path) -> Path:
    """Descriptors of the three plugins in Go; the glob that finds them."""
    for kind in KINDS:
        describe_rpcn(tmp_path, kind)
    return tmp_path / "go_*.plugin.yaml"


def test_the_engine_runs_redpandas_own_plugins(rpcn: Path, tmp_path: Path) -> None:
    journals = {kind: str(tmp_path / f"{kind}.journal") for kind in KINDS}
    file = pipeline(
        tmp_path / "pipeline.yaml",
        {"go_input": {"count": 95, "journal": journals["input"]}},
        [{"go_processor": {"suffix": "!", "journal": journals["processor"]}}],
        {"go_output": {"path": str(tmp_path / "out"), "journal": journals["output"]}},
    )
    code, log = run(file, [rpcn])
    assert code == 0, log
    assert sorted(lines(tmp_path / "out")) == sorted(f"M{number}!" for number in range(95)), "in any order"
    journal = {kind: Counter(line.split()[0] for line in lines(Path(path))) for kind, path in journals.items()}
    assert journal["processor"] == {"init": 1, "close": 1}
    assert journal["output"] == {"init": 1, "connect": 1, "send": 10, "close": 1}
    # Its SDK takes each Ack for Close, and never calls the plugin's own function for it (rpcn.go, Ack).
    assert journal["input"] == {"init": 1, "connect": 1, "read": 10, "close": 11}


def test_the_engine_panics_when_a_processor_exits(rpcn: Path, tmp_path: Path) -> None:
    """Its restart takes the ended process for a running one, and then reads an answer that never came.

    Not always at once: until the process is reaped, there is only an error.
    """
    file = generated(tmp_path, {"go_processor": {"exit_on": "boom"}}, "boom")
    code, log = run(file, [rpcn])
    assert code == 2
    assert "nil pointer dereference" in log
    assert "rpcplugin.(*processor).ProcessBatch" in log


def test_the_engine_never_notices_that_a_processor_was_killed(rpcn: Path, tmp_path: Path) -> None:
    """What ended by a signal counts as running, so nothing is started anew and each later batch fails."""
    file = generated(tmp_path, {"go_processor": {}}, "m")
    with Engine(file, [rpcn]) as engine:
        until(lambda: lines(tmp_path / "out"))
        engine.plugin("processor").kill()
        until(lambda: "m" in lines(tmp_path / "out"))  # unprocessed, though nobody told the output
        engine.stop()
        assert engine.log.count("Subprocess started") == 1
        assert engine.leftovers, "it removes no socket directory either"


LINES = 3000

# Runs an input of ours, which stands still after its first half for as long as the file of its first argument is there.
HELD = """
import runpy, sys, time
from itertools import count
from pathlib import Path
from goplugin import batch

_, hold, *sys.argv = sys.argv
message, given = batch.Message, count()

def held(*arguments, **options):
    while next(given) >= HALF and Path(hold).exists():
        time.sleep(0.01)
    return message(*arguments, **options)

batch.Message = held
runpy.run_path(sys.argv[0], run_name="__main__")
""".replace("HALF", str(LINES // 2))


class Work:
    """A pipeline of three plugins in Python, from the file ``in`` to the file ``out``, and what it leaves.

    ``asynchronous`` has the configurations of three that have ``async def``: input, processor and output.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.plugins, self._hold = folder, folder / "batch_*.plugin.yaml", folder / "hold"
        self.inputs = [f"m{number}" for number in range(LINES)]
        (folder / "in").write_text("".join(f"{line}\n" for line in self.inputs))
        (folder / "held.py").write_text(HELD)
        held = [sys.executable, str(folder / "held.py"), str(self._hold)]
        source: dict[str, object] = {"path": str, "done": str, "batch": 10}
        describe(folder, "batch_lines_in", "input", [*held, str(PLUGINS / "batch_lines_in.py")], source)
        describe_python(folder, PLUGINS / "batch_obey.py", "processor", {"suffix": ""})
        describe_python(folder, PLUGINS / "batch_lines_out.py", "output", {"path": str})
        self.source = {"batch_lines_in": {"path": str(folder / "in"), "done": str(folder / "done")}}
        self.obey = {"batch_obey": {"suffix": "!"}}
        self.sink = {"batch_lines_out": {"path": str(folder / "out")}}
        self.file = {"file": {"path": str(folder / "out"), "codec": "lines"}}
        fields: dict[str, dict[str, object]] = {
            "input": source,
            "processor": {"suffix": ""},
            "output": {"path": str},
        }
        for kind in KINDS:
            runs = held if kind == "input" else [sys.executable]
            command = [*runs, str(PLUGINS / "batch_async.py"), kind]
            describe(folder, f"batch_async_{kind}", kind, command, fields[kind])
        ordinary = (self.source["batch_lines_in"], self.obey["batch_obey"], self.sink["batch_lines_out"])
        self.asynchronous = [{f"batch_async_{kind}": config} for kind, config in zip(KINDS, ordinary, strict=True)]

    def pipeline(self, *processors: Any, sink: Any, source: Any = None) -> Path:
        """Write the pipeline from our input, or another, through these processors to that output."""
        return pipeline(self.folder / "pipeline.yaml", source or self.source, processors, sink)

    @property
    def written(self) -> list[str]:
        return lines(self.folder / "out")

    @property
    def settled(self) -> int:
        """How many lines the input has been told of."""
        return int((lines(self.folder / "done") or ["0"])[0] or 0)

    def hold(self) -> None:
        """Let no input get past its first half, until `go_on`."""
        self._hold.touch()

    def go_on(self) -> None:
        self._hold.unlink()

    def under_way(self) -> bool:
        return 0 < len(self.written) < LINES

    def nothing_is_lost(self) -> None:
        assert {line.removesuffix("!").lower() for line in self.written} == set(self.inputs)
        assert self.settled == LINES


@pytest.fixture
def work(tmp_path: Path) -> Work:
    return Work(tmp_path)


def test_our_input_processor_and_output_run_under_the_engine(work: Work) -> None:
    code, log = run(work.pipeline(work.obey, sink=work.sink), [work.plugins])
    assert code == 0, log
    assert sorted(work.written) == sorted(f"{line.upper()}!" for line in work.inputs)
    assert work.settled == LINES
    assert "level=error" not in log
    assert log.count("exited with no error") == 3


@pytest.mark.parametrize("host", [Engine, OurHost])
def test_asynchronous_plugins_run_under_either_host(work: Work, host: type[Engine]) -> None:
    source, upper, sink = work.asynchronous
    code, log = run(work.pipeline(upper, sink=sink, source=source), [work.plugins], host)
    assert code == 0, log
    work.nothing_is_lost()
    assert len(work.written) == LINES
    assert "level=error" not in log


@pytest.mark.parametrize("kind", ["input", "output"])
def test_the_engine_loses_nothing_when_an_asynchronous_plugin_ends_in_mid_stream(work: Work, kind: str) -> None:
    source, _, sink = work.asynchronous
    work.hold()
    with Engine(work.pipeline(sink=sink, source=source), [work.plugins]) as engine:
        until(work.under_way)
        engine.plugin(f"batch_async.py {kind}").terminate()
        work.go_on()
        assert engine.wait() == 0
        assert engine.log.count("Subprocess started") == 3
    work.nothing_is_lost()


def test_the_next_engine_goes_on_where_an_asynchronous_input_was_killed_with_the_last(work: Work) -> None:
    source, upper, sink = work.asynchronous
    file = work.pipeline(upper, sink=sink, source=source)
    work.hold()
    with Engine(file, [work.plugins]) as engine:
        until(work.under_way)
        plugins = [engine.plugin(f"batch_async.py {kind}") for kind in KINDS]
        plugins[0].kill()
        engine.kill()
        until(lambda: not any(alive(plugin) for plugin in plugins))
    work.go_on()
    assert run(file, [work.plugins])[0] == 0
    work.nothing_is_lost()


@pytest.mark.parametrize("plugin", ["batch_lines_in", "batch_lines_out"])
def test_the_engine_loses_nothing_when_our_plugin_ends_in_mid_stream(work: Work, plugin: str) -> None:
    work.hold()
    with Engine(work.pipeline(sink=work.sink), [work.plugins]) as engine:
        until(work.under_way)
        engine.plugin(plugin).terminate()  # it ends with an exit code, so the engine starts it anew
        work.go_on()
        assert engine.wait() == 0
        assert engine.log.count("Subprocess started") == 3
    work.nothing_is_lost()


@pytest.mark.parametrize("plugin", ["batch_lines_in", "batch_obey", "batch_lines_out"])
def test_nothing_is_lost_when_our_plugin_is_killed_though_the_engine_has_to_be_started_anew(
    work: Work, plugin: str
) -> None:
    """It takes the killed for running. What failed must not be taken for delivered, hence the rejection."""
    processors = [work.obey] if plugin == "batch_obey" else []
    sink = work.sink if plugin == "batch_lines_out" else work.file
    file = work.pipeline(*processors, sink={"reject_errored": sink})
    work.hold()
    with Engine(file, [work.plugins]) as engine:
        until(work.under_way)
        engine.plugin(plugin).kill()
        work.go_on()
        engine.says("connection refused")
        assert "exited with error: signal: killed" in engine.log
        started = engine.log.count("Subprocess started")
        engine.stop()
        assert engine.log.count("Subprocess started") == started == 1 + len(processors) + (sink is work.sink)
    assert run(file, [work.plugins])[0] == 0
    work.nothing_is_lost()


def test_our_plugins_leave_when_the_engine_is_killed_and_the_next_engine_goes_on(work: Work) -> None:
    file = work.pipeline(sink=work.sink)
    work.hold()
    with Engine(file, [work.plugins]) as engine:
        until(work.under_way)
        plugins = [engine.plugin(name) for name in ("batch_lines_in", "batch_lines_out")]
        engine.kill()
        until(lambda: not any(alive(plugin) for plugin in plugins))
    work.go_on()
    assert run(file, [work.plugins])[0] == 0
    work.nothing_is_lost()


def test_the_engine_does_not_read_the_mark_on_a_single_message_but_its_metadata(work: Work) -> None:
    """Neither does it send a mark (runtimepb/convert.go), so only an error for the whole batch counts there."""
    (work.folder / "in").write_text("a\nfail\nexcuse\n")
    mark = {"mapping": "root = if @failed != null { throw(@failed) }"}
    seen = {"mapping": 'root = if errored() { "marked" } else { content() }'}
    code, log = run(work.pipeline(work.obey, mark, seen, sink=work.file), [work.plugins])
    assert code == 0
    assert work.written == ["A!", "fail", "marked"]
    assert log.count("drops the mark of a single message") == 1


def test_the_engine_takes_a_connection_that_failed_for_made(tmp_path: Path) -> None:
    """It returns before it reads the error of an input's Connect; our plugin then answers ReadBatch with it."""
    plugin = troubled(tmp_path, "connect", "input")
    file = pipeline(tmp_path / "pipeline.yaml", {"connect": {}}, [], {"file": {"path": str(tmp_path / "out")}})
    code, log = run(file, [plugin])
    assert code == 0
    assert log.count("Input type connect is now active") == 1
    assert lines(tmp_path / "out") == ["connected by attempt 3"]


def test_the_engine_takes_an_outputs_connection_that_failed_for_made_too(tmp_path: Path) -> None:
    """Our output then answers Send with NotConnected, until it is connected."""
    plugin = troubled(tmp_path, "connect_out", "output")
    source = {"generate": {"count": 1, "interval": "", "mapping": 'root = "m"'}}
    code, log = run(pipeline(tmp_path / "pipeline.yaml", source, [], {"connect_out": {}}), [plugin])
    assert code == 0, log
    assert log.count("m by attempt 3") == 1


@pytest.mark.parametrize("host", [Engine, OurHost])
def test_an_input_that_wants_no_replay_hears_of_a_failure_with_its_reason(tmp_path: Path, host: type[Engine]) -> None:
    plugins = [troubled(tmp_path, "nacked", "input"), troubled(tmp_path, "full", "output")]
    _, log = run(pipeline(tmp_path / "pipeline.yaml", {"nacked": {}}, [], {"full": {}}), plugins, host)
    assert [log.count(f"{text} was told: None") for text in ("good", "bad", "better")] == [1, 0, 1], log
    assert len(re.findall("bad was told: .*no room for it", log)) == 1


@pytest.mark.parametrize("host", [Engine, OurHost])
def test_a_plugin_takes_the_place_of_the_built_in_output_whose_name_it_has(tmp_path: Path, host: type[Engine]) -> None:
    command = [sys.executable, str(PLUGINS / "batch_lines_out.py")]
    plugin = describe(tmp_path, "drop", "output", command, {"path": str(tmp_path / "out")})
    source = {"generate": {"count": 2, "interval": "", "mapping": 'root = "m"'}}
    code, log = run(pipeline(tmp_path / "pipeline.yaml", source, [], {"drop": {}}), [plugin], host)
    assert code == 0, log
    assert lines(tmp_path / "out") == ["m", "m"]


def test_the_engine_asks_a_processor_again_and_again_to_take_what_it_refuses(tmp_path: Path) -> None:
    """It gives up after 30 s, in CI after 120."""
    plugin = troubled(tmp_path, "refuse", "processor")
    with Engine(generated(tmp_path, {"refuse": {}}, "a", 1), [plugin]) as engine:
        until(lambda: engine.log.count("asked once more") > 2)


def test_the_engine_reads_no_more_of_a_plugin_that_printed_a_long_line(tmp_path: Path) -> None:
    """The plugin then waits for ever for somebody to empty its pipe."""
    plugin = troubled(tmp_path, "noise", "processor")
    with Engine(generated(tmp_path, {"noise": {}}, "a", 1), [plugin]) as engine:
        engine.says("error reading from subprocess: bufio.Scanner: token too long")
        assert lines(tmp_path / "out") == []


def test_the_engine_forgets_an_output_whose_close_failed_and_ours_leaves_by_itself(tmp_path: Path) -> None:
    plugin = troubled(tmp_path, "close", "output")
    source = {"generate": {"count": 20, "interval": "50ms", "mapping": 'root = "m"'}}
    with Engine(pipeline(tmp_path / "pipeline.yaml", source, [], {"close": {}}), [plugin]) as engine:
        engine.says("Output type close is now active")
        process = engine.plugin("batch_troubled.py")
        engine.wait()
        assert "Attempting to gracefully shut down" not in engine.log
        until(lambda: not alive(process))


# The same files under our host: what the engine makes of them is above.


def test_the_same_files_run_under_our_host(work: Work) -> None:
    with OurHost(work.pipeline(work.obey, sink=work.sink), [work.plugins]) as host:
        assert host.wait() == 0, host.log
        assert host.leftovers == []
    assert work.written == [f"{line.upper()}!" for line in work.inputs], "each once, and in order"
    assert work.settled == LINES


@pytest.mark.parametrize(
    ("plugin", "how"),
    [
        ("batch_lines_in", signal.SIGKILL),
        ("batch_obey", signal.SIGKILL),
        ("batch_obey", signal.SIGTERM),  # which it ends on with an exit code
        ("batch_lines_out", signal.SIGKILL),
    ],
)
def test_our_host_starts_what_was_killed_anew_and_loses_nothing(work: Work, plugin: str, how: signal.Signals) -> None:
    work.hold()
    with OurHost(work.pipeline(work.obey, sink=work.sink), [work.plugins]) as host:
        until(work.under_way)
        host.plugin(plugin).send_signal(how)
        work.go_on()
        assert host.wait() == 0, host.log
        assert host.log.count("starting it again") == 1
        assert host.leftovers == []
    work.nothing_is_lost()


def test_all_plugins_leave_when_our_host_is_killed_and_nothing_of_them_stays(rpcn: Path, work: Work) -> None:
    """Those on Redpanda's SDK do not notice it; what ends them is the guardian."""
    source = {"go_input": {"count": 1_000_000, "batch": 1}}
    file = pipeline(work.folder / "pipeline.yaml", source, [{"go_processor": {}}, work.obey], work.sink)
    with OurHost(file, [rpcn, work.plugins]) as host:
        until(lambda: work.written)
        plugins = host.plugins
        assert len(plugins) == 4
        host.kill()
        until(lambda: not any(alive(plugin) for plugin in plugins))
        until(lambda: host.leftovers == [])


def test_our_host_marks_a_single_message(work: Work) -> None:
    (work.folder / "in").write_text("a\nfail\n")
    code, log = run(work.pipeline(work.obey, sink=work.sink), [work.plugins], OurHost)
    assert (code, work.written) == (1, ["A!", "fail"])
    assert "as it was told" in log


def test_our_host_connects_until_it_is_connected(tmp_path: Path) -> None:
    plugin = troubled(tmp_path, "connect", "input")
    file = pipeline(tmp_path / "pipeline.yaml", {"connect": {}}, [], {"file": {"path": str(tmp_path / "out")}})
    assert run(file, [plugin], OurHost)[0] == 0
    assert lines(tmp_path / "out") == ["connected by attempt 3"]


def test_our_host_connects_an_output_until_it_is_connected(tmp_path: Path) -> None:
    plugin = troubled(tmp_path, "connect_out", "output")
    source = {"generate": {"count": 1, "mapping": 'root = "m"'}}
    code, log = run(pipeline(tmp_path / "pipeline.yaml", source, [], {"connect_out": {}}), [plugin], OurHost)
    assert code == 0, log
    assert log.count("m by attempt 3") == 1


def test_our_host_asks_a_processor_that_refuses_its_configuration_once(tmp_path: Path) -> None:
    plugin = troubled(tmp_path, "refuse", "processor")
    code, log = run(generated(tmp_path, {"refuse": {}}, "a", 1), [plugin], OurHost)
    assert (code, log.count("asked once more")) == (1, 1)
    assert "nothing suits it" in log


def test_our_host_reads_lines_of_any_length(tmp_path: Path) -> None:
    plugin = troubled(tmp_path, "noise", "processor")
    assert run(generated(tmp_path, {"noise": {}}, "a", 1), [plugin], OurHost)[0] == 0
    assert lines(tmp_path / "out") == ["a"]


def test_our_host_says_that_a_close_failed_and_stops_the_process(tmp_path: Path) -> None:
    plugin = troubled(tmp_path, "close", "output")
    file = pipeline(tmp_path / "pipeline.yaml", {"generate": {"count": 1, "mapping": 'root = "m"'}}, [], {"close": {}})
    with OurHost(file, [plugin]) as host:
        assert host.wait() == 1
        assert "the disk is full" in host.log
        assert host.leftovers == []
