"""Inputs give every line once, in order, and say at once when there is nothing to read."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from goplugin.batch import Batch, Message
from goplugin.batch._components import Batched, FileInput, InputSettings, Lines, PluginInput, Policy, StdinInput
from goplugin.batch._receipt import Parcel
from goplugin.batch._source import Gathered, Source
from goplugin.batch._source import open_source as open_any
from goplugin.handshake import MachineFault


def open_source(spec: InputSettings) -> Source:
    def no_plugin(_: PluginInput) -> Source:
        raise AssertionError

    return open_any(spec, no_plugin)


def texts(parcels: list[Parcel]) -> list[list[bytes]]:
    return [[message.payload for message in parcel.messages] for parcel in parcels]


def drained(source: Source) -> list[list[bytes]]:
    found: list[Parcel] = []
    while (batches := source.read(None)) is not None:
        found += batches
    found += source.rest()
    source.close()
    return texts(found)


def files(*paths: Path | str, lines: Lines = Lines()) -> FileInput:  # noqa: B008 - frozen
    return FileInput(paths=tuple(map(str, paths)), lines=lines, where="p.yaml:3: input.file.paths")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "b.txt").write_bytes(b"b1\nb2")
    (tmp_path / "a.txt").write_bytes(b"a1\n")
    (tmp_path / ".hidden.txt").write_bytes(b"h1\n")
    (tmp_path / "empty.txt").write_bytes(b"")
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "deep" / "er" / "c.txt").write_bytes(b"c1\n")
    (tmp_path / "deep" / "dir.txt").mkdir()
    return tmp_path


def test_files_are_read_in_order_and_a_last_line_needs_no_end(tree: Path) -> None:
    assert drained(open_source(files(tree / "b.txt", tree / "a.txt"))) == [[b"b1"], [b"b2"], [b"a1"]]


def test_a_glob_is_read_in_the_order_of_names_hidden_files_too_but_no_directory(tree: Path) -> None:
    assert drained(open_source(files(tree / "*"))) == [[b"h1"], [b"a1"], [b"b1"], [b"b2"]]
    assert drained(open_source(files(tree / "**" / "*.txt")))[-1] == [b"c1"]


def test_a_file_that_is_named_twice_is_read_once(tree: Path) -> None:
    assert drained(open_source(files(tree / "a.txt", tree / "a*.txt", tree / "a.txt"))) == [[b"a1"]]


def test_each_message_of_a_file_says_where_it_is_from_as_in_redpanda_connect(tree: Path) -> None:
    os.utime(tree / "a.txt", (0, 1_767_323_045.75))
    source = open_source(files(tree / "a.txt"))
    (parcel,) = source.read(None) or []
    source.close()
    assert parcel == Parcel(
        [
            Message(
                b"a1",
                metadata={
                    "path": str(tree / "a.txt"),
                    "mod_time_unix": 1_767_323_045,
                    "mod_time": "2026-01-02T03:04:05Z",
                },
            )
        ]
    )


def test_messages_do_not_share_the_metadata_that_they_came_with(tree: Path) -> None:
    source = open_source(files(tree / "b.txt"))
    (first, *_) = source.read(None) or []
    source.close()
    first.messages[0].metadata["path"] = "elsewhere"
    (rest,) = drained(open_source(files(tree / "a.txt")))
    assert rest == [b"a1"]
    assert Message(b"", metadata=first.messages[0].metadata).metadata["path"] == "elsewhere"


def test_a_big_file_is_read_in_pieces_and_counted(tmp_path: Path) -> None:
    lines = [b"%d" % number * 20 for number in range(50_000)]
    (tmp_path / "big").write_bytes(b"\n".join(lines))
    source = open_source(files(tmp_path / "big"))
    first = source.read(None)
    assert first is not None
    assert 0 < source.consumed < (tmp_path / "big").stat().st_size == source.expected
    assert texts(first) + drained(source) == [[line] for line in lines]
    assert source.consumed == source.expected
    assert source.unfinished() == 0


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("absent.txt", "p.yaml:3: input.file.paths[0]: cannot read '{tree}/absent.txt': No such file or directory"),
        ("*.csv", "p.yaml:3: input.file.paths[0]: no file matches '{tree}/*.csv'"),
        ("dee*", "p.yaml:3: input.file.paths[0]: no file matches '{tree}/dee*'"),
        ("deep", "p.yaml:3: input.file.paths[0]: cannot read '{tree}/deep': it is a directory"),
        ("a.txt/x", "p.yaml:3: input.file.paths[0]: cannot read '{tree}/a.txt/x': Not a directory"),
    ],
)
def test_what_is_not_there_is_refused_at_once_with_the_place_that_names_it(tree: Path, path: str, message: str) -> None:
    with pytest.raises(MachineFault) as caught:
        open_source(files(tree / path))
    assert str(caught.value) == message.format(tree=tree)


def test_the_second_path_is_looked_at_before_the_first_is_read(tree: Path) -> None:
    with pytest.raises(MachineFault, match=r"paths\[1\]: cannot read"):
        open_source(files(tree / "a.txt", tree / "absent"))


def test_a_file_that_may_not_be_read_is_refused_at_once(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str, mode: int) -> bool:  # root may read every file
        return (path, mode) != (str(tree / "a.txt"), os.R_OK)

    monkeypatch.setattr(os, "access", refuse)
    with pytest.raises(MachineFault, match="permission denied"):
        open_source(files(tree / "a.txt"))


def test_a_file_that_vanishes_after_the_look_is_an_error_and_not_an_end(tree: Path) -> None:
    source = open_source(files(tree / "a.txt", tree / "b.txt"))
    (tree / "b.txt").unlink()
    assert texts(source.read(None) or []) == [[b"a1"]]
    with pytest.raises(MachineFault, match=r"b\.txt: No such file"):
        source.read(None)
    source.close()


def test_what_comes_before_a_line_that_is_too_long_is_given_and_then_the_line_is_named(tree: Path) -> None:
    (tree / "long").write_bytes(b"1\n2\n3456789\n4\n")
    source = open_source(files(tree / "a.txt", tree / "long", lines=Lines(max_size=5)))
    assert texts((source.read(None) or []) + (source.read(None) or [])) == [[b"a1"], [b"1"], [b"2"]]
    with pytest.raises(MachineFault, match="long: line 3 is longer than 5 bytes, the scanner's max_buffer_size"):
        source.read(None)
    source.close()


def test_batches_are_gathered_across_files_and_the_last_one_is_given(tree: Path) -> None:
    spec = Batched(child=files(tree / "*.txt"), policy=Policy(count=2))
    assert drained(open_source(spec)) == [[b"h1", b"a1"], [b"b1", b"b2"]]
    spec = Batched(child=Batched(child=files(tree / "*.txt"), policy=Policy(count=2)), policy=Policy(count=3))
    assert drained(open_source(spec)) == [[b"h1", b"a1", b"b1"], [b"b2"]]


class Scripted:
    """A source that gives what a test says, and notes how long it was told to wait."""

    consumed = 7
    expected = 9
    files = ("f",)

    def __init__(self, *answers: list[Batch] | None, rest: tuple[Batch, ...] = ()) -> None:
        self._answers: Iterator[list[Batch] | None] = iter(answers)
        self._rest = rest
        self.timeouts: list[float | None] = []
        self.said: list[str] = []

    def read(self, timeout: float | None) -> list[Parcel] | None:
        self.timeouts.append(timeout)
        answer = next(self._answers)
        return None if answer is None else [Parcel(batch) for batch in answer]

    def rest(self) -> list[Parcel]:
        return [Parcel(batch) for batch in self._rest]

    def unfinished(self) -> int:
        return 3

    def interrupt(self) -> None:
        self.said.append("interrupt")

    def close(self) -> None:
        self.said.append("close")


def test_a_period_ends_a_batch_even_if_nothing_more_comes() -> None:
    now = [100.0]
    child = Scripted([[Message(b"1")]], [], [], None, rest=([Message(b"2")],))
    source = Gathered(child, Policy(count=9, period=10.0), clock=lambda: now[0])
    now[0] = 200.0  # the period begins with the first read
    assert source.read(None) == []
    now[0] = 206.0
    assert source.read(None) == []
    now[0] = 211.0
    assert texts(source.read(2.0) or []) == [[b"1"]]
    now[0] = 212.0
    assert source.read(None) is None
    assert texts(source.rest()) == [[b"2"]]
    assert child.timeouts == [10.0, 4.0, 0.0, 9.0]


def test_what_is_asked_of_gathered_batches_is_asked_of_what_gives_them() -> None:
    child = Scripted()
    source = Gathered(child, Policy(count=1))
    source.interrupt()
    source.close()
    assert (source.consumed, source.expected, source.files, source.unfinished()) == (7, 9, ("f",), 3)
    assert child.said == ["interrupt", "close"]


@pytest.fixture
def stdin() -> Iterator[int]:
    """Put a pipe in the place of standard input; give its other end."""
    read, write = os.pipe()
    kept = os.dup(0)
    os.dup2(read, 0)
    os.close(read)
    yield write
    os.dup2(kept, 0)
    os.close(kept)
    try:
        os.close(write)
    except OSError:
        pass  # the test has closed it


def test_standard_input_is_read_as_it_comes_to_its_end(stdin: int) -> None:
    source = open_source(StdinInput())
    os.write(stdin, b"one\ntw")
    assert texts(source.read(None) or []) == [[b"one"]]
    os.write(stdin, b"o\nthree")
    assert source.unfinished() == 2
    assert texts(source.read(None) or []) == [[b"two"]]
    os.close(stdin)
    assert drained(source) == [[b"three"]]
    assert (source.consumed, source.expected) == (13, None)


def test_a_read_of_standard_input_waits_no_longer_than_it_is_told(stdin: int) -> None:
    source = open_source(StdinInput())
    assert source.read(0.01) == []
    source.interrupt()
    assert source.read(1e9) == []  # more than poll(2) can wait
    source.close()


def test_a_read_that_waits_for_standard_input_can_be_interrupted(stdin: int) -> None:
    source = open_source(StdinInput())
    answers: list[list[Parcel] | None] = []
    thread = threading.Thread(target=lambda: answers.append(source.read(None)))
    thread.start()
    source.interrupt()
    thread.join(10)
    assert answers == [[]]
    source.close()


def test_a_line_of_standard_input_that_is_too_long_is_named(stdin: int) -> None:
    source = open_source(StdinInput(lines=Lines(max_size=4)))
    os.write(stdin, b"1\n23456\n")
    assert texts(source.read(None) or []) == [[b"1"]]
    with pytest.raises(MachineFault, match="standard input: line 2 is longer than 4 bytes"):
        source.read(None)
    source.close()


def test_an_interrupt_that_comes_after_the_end_of_standard_input_reaches_nobody(stdin: int) -> None:
    source = open_source(StdinInput())
    source.close()
    with open(os.devnull, "rb"), open(os.devnull, "rb"):  # whoever has the descriptors now
        source.interrupt()


def test_standard_input_that_is_closed_is_refused_at_once() -> None:
    program = (
        "from goplugin.batch._source import open_source\n"
        "from goplugin.batch._components import StdinInput\n"
        "open_source(StdinInput(), lambda _: None)"
    )
    done = subprocess.run(
        ["sh", "-c", 'exec "$0" -c "$1" <&-', sys.executable, program], capture_output=True, text=True, timeout=60
    )
    assert "MachineFault: cannot read standard input: it is closed" in done.stderr


def test_no_descriptor_is_left_open(tree: Path, stdin: int) -> None:
    before = len(os.listdir("/dev/fd"))
    specs: list[InputSettings] = [
        StdinInput(),
        files(tree / "b.txt"),
        Batched(child=StdinInput(), policy=Policy(count=1)),
    ]
    for spec in specs:
        source = open_source(spec)
        source.interrupt()
        source.read(None)
        source.close()
    assert len(os.listdir("/dev/fd")) == before
