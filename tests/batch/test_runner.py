"""A whole run with real plugins: nothing read is lost unseen, nothing is left behind, and it stops when asked."""

import os
import threading
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from goplugin.batch import _runner
from goplugin.batch.host import Descriptor, Limits, Pipeline, RunFailed, Runner, Stats, parse_pipeline
from goplugin.handshake import MachineFault, Misuse, PluginFault, PluginLost

Make = Callable[..., Descriptor]
LIMIT = 30.0  # seconds for what takes milliseconds


@pytest.fixture
def pipeline(tmp_path: Path, plugin: Make) -> Callable[..., Pipeline]:
    """Make a pipeline of the lines given, through as many actors, to the file `out`."""

    def make(lines: list[str], actors: int = 1, batch: int = 2, out: str = "out") -> Pipeline:
        (tmp_path / "in").write_text("".join(line + "\n" for line in lines))
        text = f"""
input:
  batched:
    child: {{file: {{paths: [{tmp_path}/in]}}}}
    policy: {{count: {batch}}}
pipeline:
  processors: {[{"label": f"actor{i}", "actor": {"here": str(tmp_path / f"actor{i}")}} for i in range(actors)]}
output:
  file: {{path: {tmp_path}/{out}}}
"""
        for i in range(actors):
            (tmp_path / f"actor{i}").mkdir()
        return parse_pipeline(text, "p.yaml", {}, {"actor": plugin()})

    return make


Piped = Callable[..., Pipeline]


def written(here: Path) -> list[str]:
    text = (here / "out").read_text()
    assert text.endswith("\n")
    return text.splitlines()


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a run that is killed end in its own time, as it may need it on a busy machine."""
    monkeypatch.setattr(_runner, "_GIVE_UP_AFTER", LIMIT)


def starts(here: Path) -> int:
    return len((here / "starts").read_text().splitlines())


def test_a_pipeline_runs_to_the_end_of_its_input(pipeline: Piped, tmp_path: Path) -> None:
    lines = [f"line {number}" for number in range(25)]
    seen: list[Stats] = []
    runner = Runner(pipeline(lines, actors=2))
    stats = runner.run(seen.append)
    assert written(tmp_path) == [line.upper() for line in lines]
    assert (stats.read.messages, stats.read.batches, stats.written.messages, stats.lost) == (25, 13, 25, 0)
    assert stats.read.bytes == stats.written.bytes == stats.expected
    assert [(stage.name, stage.batches, stage.taken) for stage in stats.stages] == [
        ("actor0", 13, 25),
        ("actor1", 13, 25),
    ]
    assert all(stage.seconds > 0 for stage in stats.stages)
    assert runner.stats is stats is seen[-1]
    assert (tmp_path / "actor0" / "closed").exists()
    assert (tmp_path / "actor1" / "closed").exists()
    assert psutil.Process().children() == []


def test_plugins_get_the_variables_that_they_may_have(variables: Descriptor, tmp_path: Path) -> None:
    (tmp_path / "in").write_text("x\n")
    text = f"{{input: {{file: {{paths: [{tmp_path}/in]}}}}, pipeline: {{processors: [variables: {{}}]}}, "
    text += f"output: {{file: {{path: {tmp_path}/out}}}}}}"
    made = parse_pipeline(text, "p.yaml", {}, {"variables": variables})
    Runner(made, inherit_env=["PATH", "OURS_P*"], env={"OURS_GIVEN": "3"}).run()
    assert written(tmp_path) == ["OURS_GIVEN OURS_PUBLIC"]


def test_without_processors_lines_are_copied(pipeline: Piped, tmp_path: Path) -> None:
    assert Runner(pipeline(["a", "b"], actors=0)).run().lost == 0
    assert written(tmp_path) == ["a", "b"]


SPLITTER = """
from goplugin import batch
@batch.batch_processor
def splitter(messages):
    return [messages[:1], messages[1:]]
if __name__ == "__main__":
    batch.serve(splitter)
"""
GATHERER = """
from goplugin import batch
@batch.batch_output(batch_policy=batch.BatchPolicy(count=100))
def gatherer(messages):
    with open("out", "ab") as out:
        out.writelines(message.payload + b"\\n" for message in messages)
if __name__ == "__main__":
    batch.serve(gatherer)
"""


def test_batches_that_are_split_and_gathered_again_end(plugin: Make, tmp_path: Path) -> None:
    text = """
input: {generate: {mapping: root = counter(), interval: "", count: 8, batch_size: 4}}
pipeline: {processors: [splitter: {}]}
output: {gatherer: {}}
"""
    known = {"splitter": plugin(SPLITTER, "splitter"), "gatherer": plugin(GATHERER, "gatherer", "output")}

    def progress(stats: Stats) -> None:
        assert stats.seconds < LIMIT

    stats = Runner(parse_pipeline(text, "p.yaml", {}, known)).run(progress)
    assert written(tmp_path) == [str(number) for number in range(1, 9)]
    assert (stats.read.batches, stats.written.messages, stats.lost) == (2, 8, 0)


def test_messages_that_fail_are_written_unchanged_and_counted_and_dropped_ones_are_not_lost(
    pipeline: Piped, tmp_path: Path
) -> None:
    stats = Runner(pipeline(["a", "fail", "drop", "split", "fail"], actors=2, batch=5)).run()
    first, second = stats.stages
    assert written(tmp_path) == ["A", "fail", "split", "split", "split", "split", "fail"]
    assert (first.failed, first.first_error, first.given) == (2, "ValueError: too bad", 5)
    # The second fails on them anew, with the same error, which is one failure and not two.
    assert (second.failed, second.given) == (0, 7)
    assert (stats.failed, stats.lost) == (2, 0)


@pytest.mark.parametrize("death", ["exit-once 3", "segv-once"])
def test_a_plugin_that_is_lost_in_the_middle_costs_no_message_and_doubles_none(
    pipeline: Piped, tmp_path: Path, death: str
) -> None:
    lines = [f"line {number}" for number in range(10)] + [death] + [f"more {number}" for number in range(10)]
    stats = Runner(pipeline(lines, actors=2)).run()
    assert written(tmp_path) == [line.upper() for line in lines]
    assert [stage.restarts for stage in stats.stages] == [1, 0]  # the second sees upper case
    assert stats.lost == 0


def test_a_plugin_that_is_lost_for_good_fails_the_run_and_what_had_passed_it_is_written(
    pipeline: Piped, tmp_path: Path
) -> None:
    lines = [f"line {number}" for number in range(10)] + ["exit 3"] + ["more"] * 90
    runner = Runner(pipeline(lines, actors=2))
    with pytest.raises(RunFailed) as caught:
        runner.run()
    error = caught.value
    assert error.part == "actor0"
    assert isinstance(error.cause, PluginLost)
    assert error.__cause__ is error.cause
    assert error.cause.exit_code == 3
    assert written(tmp_path) == [line.upper() for line in lines[:10]]
    stats = runner.stats
    assert error.lost == stats.lost == stats.read.messages - 10 > 0
    assert f"({stats.lost} messages that were read were not written)" in str(error)
    assert stats.stages[0].restarts == 1
    assert psutil.Process().children() == []


def test_the_number_of_restarts_and_of_retries_is_the_callers(pipeline: Piped, tmp_path: Path) -> None:
    with pytest.raises(RunFailed):
        Runner(pipeline(["exit-once 3"]), limits=Limits(retries=0)).run()
    assert starts(tmp_path / "actor0") == 1


def test_a_processor_that_does_not_end_well_fails_the_run_that_is_written(pipeline: Piped, tmp_path: Path) -> None:
    made = pipeline(["a", "b"])
    (tmp_path / "actor0" / "fail to close").touch()
    with pytest.raises(RunFailed, match=r'^actor0: the plugin did not end its work well: "OSError') as caught:
        Runner(made).run()
    assert caught.value.lost == 0
    assert written(tmp_path) == ["A", "B"]


def test_a_plugin_that_does_not_start_fails_the_run_before_anything_is_read_or_created(
    pipeline: Piped, tmp_path: Path
) -> None:
    made = pipeline(["a"], actors=2)
    (tmp_path / "actor1" / "die at init").touch()
    runner = Runner(made)
    with pytest.raises(RunFailed) as caught:
        runner.run()
    assert caught.value.part == "actor1"
    assert runner.stats.read.messages == 0
    assert not (tmp_path / "out").exists()
    assert psutil.Process().children() == []


def test_a_missing_input_or_an_output_that_cannot_be_is_told_before_a_plugin_starts(
    pipeline: Piped, tmp_path: Path
) -> None:
    made = pipeline(["a"])
    (tmp_path / "in").unlink()
    with pytest.raises(MachineFault, match=r"p.yaml:4: input.batched.child.file.paths\[0\]: cannot read"):
        Runner(made).run()
    (tmp_path / "in").write_text("a\n")
    (tmp_path / "out").mkdir()
    with pytest.raises(MachineFault, match="cannot write"):
        Runner(made).run()
    assert not (tmp_path / "actor0" / "starts").exists()


def test_an_output_into_the_input_is_refused(pipeline: Piped, tmp_path: Path) -> None:
    with pytest.raises(Misuse, match="is one of the input files"):
        Runner(pipeline(["a"], out="in")).run()


def test_an_output_that_fails_fails_the_run(pipeline: Piped, tmp_path: Path) -> None:
    (tmp_path / "out").symlink_to("/dev/full")
    with pytest.raises(RunFailed, match=r"^output: cannot write .*: No space left on device") as caught:
        Runner(pipeline(["a", "b", "c"])).run()
    assert caught.value.lost >= 2
    assert psutil.Process().children() == []


def test_stop_lets_through_what_was_read(pipeline: Piped, tmp_path: Path) -> None:
    lines = [str(number) for number in range(200_000)]
    lines[500] = "await stop"  # so that not all is read by then
    runner = Runner(pipeline(lines, batch=100))

    def progress(stats: Stats) -> None:
        if stats.written.messages:
            runner.stop()
            (tmp_path / "actor0" / "stop").touch()

    stats = runner.run(progress)
    assert 0 < stats.read.messages < 200_000
    assert written(tmp_path) == [line.upper() for line in lines[: stats.read.messages]]
    assert stats.lost == 0


def test_stop_before_or_during_the_start_reads_nothing(pipeline: Piped, tmp_path: Path) -> None:
    runner = Runner(pipeline(["a"]))
    runner.stop()
    assert runner.run().read.messages == 0
    assert not (tmp_path / "out").exists()
    assert psutil.Process().children() == []


def test_stop_ends_a_start_that_hangs(plugin: Make, tmp_path: Path) -> None:
    hangs = plugin("import time\nopen('started', 'w')\ntime.sleep(60)", "hangs")
    (tmp_path / "in").write_text("a\n")
    text = f"""
input: {{file: {{paths: [{tmp_path}/in]}}}}
pipeline: {{processors: [hangs: {{}}]}}
output: {{file: {{path: {tmp_path}/out}}}}
"""
    runner = Runner(parse_pipeline(text, "p.yaml", {}, {"hangs": hangs}))
    stats: list[Stats] = []
    thread = threading.Thread(target=lambda: stats.append(runner.run()))
    thread.start()
    while not (tmp_path / "started").exists():
        assert thread.is_alive()
    runner.stop()
    thread.join(LIMIT)
    assert [one.read.messages for one in stats] == [0]
    assert psutil.Process().children() == []


@pytest.mark.usefixtures("patient")
def test_kill_gives_up_on_a_batch_that_takes_too_long(pipeline: Piped, tmp_path: Path) -> None:
    runner = Runner(pipeline(["a", "b", "sleep 60", "c"]))

    def progress(stats: Stats) -> None:
        if stats.written.messages:
            runner.kill()

    with pytest.raises(RunFailed) as caught:
        runner.run(progress)
    assert caught.value.part == "actor0"
    assert written(tmp_path) == ["A", "B"]
    assert runner.stats.lost == 2
    assert psutil.Process().children() == []


def test_kill_ends_a_run_whose_output_waits_for_ever(
    pipeline: Piped, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_runner, "_GIVE_UP_AFTER", 0.2)
    os.mkfifo(tmp_path / "out")
    runner = Runner(pipeline(["a", "b", "c"]))
    flowing: list[threading.Thread] = []

    def progress(stats: Stats) -> None:
        assert stats.seconds < LIMIT
        if stats.stages[0].taken:
            flowing[:] = [thread for thread in threading.enumerate() if thread.name == "goplugin-output"]
            runner.kill()

    with pytest.raises(
        RunFailed, match=r"^run: given up, .* \(\d messages that were read were not written\)$"
    ) as caught:
        runner.run(progress)
    assert (caught.value.part, type(caught.value.cause)) == ("run", MachineFault)
    assert psutil.Process().children() == []
    os.close(os.open(tmp_path / "out", os.O_RDONLY))  # lets the thread go that opens it
    for thread in flowing:
        thread.join(LIMIT)
    (left,) = (name for name in os.listdir("/dev/fd") if os.path.realpath(f"/dev/fd/{name}") == f"{tmp_path}/out")
    os.close(int(left))


def test_an_error_in_the_progress_function_ends_the_run_and_leaves_no_process(pipeline: Piped) -> None:
    def progress(_: Stats) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        Runner(pipeline(["a", "sleep 60"])).run(progress)
    assert psutil.Process().children() == []


def test_a_configuration_that_the_plugin_refuses_names_the_processor(
    pipeline: Piped, plugin: Make, tmp_path: Path
) -> None:
    made = pipeline(["a"])
    made.stages[0].config["refuse"] = True
    with pytest.raises(RunFailed, match=r'^actor0: the plugin refused its configuration: "ValueError') as caught:
        Runner(made).run()
    assert type(caught.value.cause) is PluginFault


def test_no_descriptor_is_left_open(pipeline: Piped, tmp_path: Path) -> None:
    made = pipeline(["a", "b"])
    Runner(made).run()
    assert not [path for path in _open_files() if str(tmp_path) in path]


def _open_files() -> list[str]:
    found: list[str] = []
    for descriptor in os.listdir("/dev/fd"):
        try:
            found.append(os.readlink(f"/dev/fd/{descriptor}"))
        except OSError:
            pass  # it was that of the listing
    return found
