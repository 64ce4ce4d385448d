"""Our batch plugins, and one in Go, under a batch host in Go: the Batch* services on top of go-plugin's handshake."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from batchhost import BatchHostFailed, Plugin, Report, message, payloads, python, run_batch_host
from redpanda import lines

Program = Callable[[str], Path]

TIME = "2026-11-22T17:00:00.000000006Z"
EVERY_VALUE = {  # each kind of value, as protobuf's JSON has it
    "null": {"nullValue": "NULL_VALUE"},
    "string": {"stringValue": "é"},
    "integer": {"integerValue": str(-(2**63))},
    "double": {"doubleValue": 0.1},
    "nan": {"doubleValue": "NaN"},
    "bool": {"boolValue": True},
    "time": {"timestampValue": TIME},
    "bytes": {"bytesValue": "/w=="},
    "struct": {"structValue": {"fields": {"inner": {"integerValue": "1"}}}},
    "list": {"listValue": {"values": [{"integerValue": "1"}, {"stringValue": "two"}]}},
}
OBEY = python("batch_obey.py", {"suffix": "!"})


@pytest.fixture(params=[False, True], ids=["plain", "auto_mtls"])
def auto_mtls(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def process(plugin: Plugin, *batches: list[Any], auto_mtls: bool = True) -> list[list[list[dict[str, Any]]]]:
    """What one processor makes of each batch; the run, the close and the exit went well."""
    report = run_batch_host({"batches": batches, "processors": [plugin], "auto_mtls": auto_mtls})
    ended_well(report)
    return [settled["sent"] for settled in report["settled"]]


def ended_well(report: Report) -> None:
    assert report["error"] == ""
    for plugin in report["plugins"]:
        assert (plugin["close"], plugin["exit_code"]) == ("", 0), plugin["name"]


def test_a_processor_in_python_works_for_a_host_in_go(auto_mtls: bool) -> None:
    [[batch]] = process(OBEY, [message(b"one", k="v"), message(b"two")], auto_mtls=auto_mtls)
    assert payloads(batch) == [b"ONE!", b"TWO!"]
    assert batch[0]["metadata"]["fields"] == {"k": {"stringValue": "v"}, "was": {"bytesValue": "b25l"}}


def test_a_processor_splits_drops_and_marks_single_messages() -> None:
    [[first], nothing] = process(
        OBEY, [message(b"a"), message(b"drop"), message(b"split"), message(b"fail")], [message(b"drop")]
    )
    assert payloads(first) == [b"A!", b"one", b"two", b"fail"]
    assert [one.get("error", {}).get("message") for one in first] == [None, None, None, "ValueError: as it was told"]
    assert nothing == [], "a batch of which nothing remains is no batch"


def test_every_kind_of_value_crosses_both_ways() -> None:
    [[[made]]] = process(OBEY, [{"structured": {"structValue": {"fields": EVERY_VALUE}}}])
    fields = made["structured"]["structValue"]["fields"]
    types = {name: value["stringValue"] for name, value in fields.pop("types")["structValue"]["fields"].items()}
    assert types == {
        "null": "NoneType",
        "string": "str",
        "integer": "int",
        "double": "float",
        "nan": "float",
        "bool": "bool",
        "time": "datetime",
        "bytes": "bytes",
        "struct": "dict",
        "list": "list",
    }
    # Python's datetime ends at microseconds.
    assert fields == {**EVERY_VALUE, "time": {"timestampValue": TIME.replace(".000000006", "")}}


def test_a_go_processor_agrees(program: Program) -> None:
    """The reference: the same host with a plugin in Go."""
    plugin: Plugin = {"argv": [str(program("batchprocessor-1.8.0"))], "config": {}}
    [[batch]] = process(plugin, [message(b"one", k="v")])
    assert (payloads(batch), batch[0]["metadata"]) == ([b"ONE"], message(b"", k="v")["metadata"])


def test_processors_follow_each_other(program: Program) -> None:
    go: Plugin = {"argv": [str(program("batchprocessor-1.8.0"))], "config": {}}
    report = run_batch_host({"batches": [[message(b"a"), message(b"fail")]], "processors": [OBEY, go, OBEY]})
    ended_well(report)
    [settled] = report["settled"]
    assert payloads(settled["sent"][0]) == [b"A!!", b"FAIL!"]


def test_a_configuration_that_a_processor_refuses_ends_the_start_with_its_words() -> None:
    report = run_batch_host({"batches": [[message(b"a")]], "processors": [python("batch_obey.py")]})
    assert (report["error"], report["settled"]) == ("init: KeyError: 'suffix'", [])


def test_an_order_without_a_source_is_refused() -> None:
    with pytest.raises(BatchHostFailed, match="status 3"):
        run_batch_host({"processors": [OBEY]})


class Told:
    """An input and an output that keep journals."""

    def __init__(self, folder: Path) -> None:
        self.heard, self.written = folder / "input.journal", folder / "output.journal"
        self.output = python("batch_told.py", {"journal": str(self.written)}, "output")

    def input(self, *batches: list[str], kind: str = "input") -> Plugin:
        return python("batch_told.py", {"journal": str(self.heard), "batches": batches}, kind)


@pytest.fixture
def told(tmp_path: Path) -> Told:
    return Told(tmp_path)


def test_batches_flow_from_an_input_through_a_processor_to_an_output(told: Told, auto_mtls: bool) -> None:
    source = told.input(["a", "drop", "split"], ["drop"], ["b"])
    report = run_batch_host({"input": source, "processors": [OBEY], "output": told.output, "auto_mtls": auto_mtls})
    ended_well(report)
    assert lines(told.heard) == ["connect", "a drop split: None", "drop: None", "b: None", "close"]
    assert lines(told.written) == ["connect", "A! None", "one None", "two None", "B! None", "close"]


def test_asynchronous_plugins_work_for_a_host_in_go(tmp_path: Path, auto_mtls: bool) -> None:
    (tmp_path / "in").write_text("".join(f"m{number}\n" for number in range(100)))
    config = {"path": str(tmp_path / "in"), "done": str(tmp_path / "done"), "batch": 7}
    report = run_batch_host(
        {
            "input": python("batch_async.py", config, "input"),
            "processors": [python("batch_async.py", {"suffix": "!"}, "processor")],
            "output": python("batch_async.py", {"path": str(tmp_path / "out")}, "output"),
            "auto_mtls": auto_mtls,
        }
    )
    ended_well(report)
    assert lines(tmp_path / "out") == [f"M{number}!" for number in range(100)]
    assert int((tmp_path / "done").read_text()) >= 100


def test_an_output_says_how_it_wants_its_batches(told: Told) -> None:
    report = run_batch_host({"input": told.input(), "output": told.output})
    [source, sink] = report["plugins"]
    assert not source["auto_replay_nacks"]
    assert (sink["max_in_flight"], sink["batch_policy"]) == (4, {"count": "10", "period": "500ms"})


def test_a_message_that_failed_reaches_the_output_with_its_mark(told: Told) -> None:
    ended_well(run_batch_host({"input": told.input(["fail"]), "processors": [OBEY], "output": told.output}))
    assert "fail ValueError: as it was told" in lines(told.written)


def test_an_input_hears_once_of_each_batch_and_why_it_failed(told: Told) -> None:
    report = run_batch_host({"input": told.input(["a"], ["bad"], ["b"]), "output": told.output, "replays": 3})
    ended_well(report)
    assert [settled["attempts"] for settled in report["settled"]] == [1, 1, 1]
    [connect, *heard, close] = lines(told.heard)
    assert (connect, heard[0], heard[2:], close) == ("connect", "a: None", ["b: None"], "close")
    assert heard[1].startswith("bad: ")
    assert "ValueError: bad is not written" in heard[1]


def test_an_input_that_asks_for_it_is_spared_what_succeeds_the_second_time(told: Told) -> None:
    source = told.input(["once"], kind="replayed")
    report = run_batch_host({"input": source, "output": told.output, "replays": 3})
    ended_well(report)
    assert report["plugins"][0]["auto_replay_nacks"]
    assert [settled["attempts"] for settled in report["settled"]] == [2]
    assert lines(told.heard) == ["connect", "once: None", "close"]


def test_an_output_that_lost_its_connection_is_connected_again_and_gets_the_batch(told: Told) -> None:
    ended_well(run_batch_host({"input": told.input(["a"], ["lost"]), "output": told.output}))
    assert lines(told.written) == ["connect", "a None", "connect", "lost None", "close"]
    assert lines(told.heard)[1:-1] == ["a: None", "lost: None"]
