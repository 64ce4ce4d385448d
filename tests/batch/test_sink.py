"""Outputs write whole messages, create nothing before they must, and say at once when they cannot write."""

import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from goplugin.batch._components import FileOutput, StdoutOutput
from goplugin.batch._sink import open_sink
from goplugin.handshake import MachineFault, Misuse


def test_messages_are_appended_with_their_suffix_unless_they_end_so_already(tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.write_bytes(b"before\n")
    sink = open_sink(FileOutput(path=str(path)))
    assert sink.write([b"a", b"b\n", b"", b"c\nd"]) == 9
    sink.close()
    assert path.read_bytes() == b"before\na\nb\n\nc\nd\n"


@pytest.mark.parametrize(("suffix", "written"), [(b"", b"ab--"), (b"--", b"a--b--"), (b"\n", b"a\nb--\n")])
def test_the_suffix_is_the_codecs(tmp_path: Path, suffix: bytes, written: bytes) -> None:
    sink = open_sink(FileOutput(path=str(tmp_path / "out"), suffix=suffix))
    assert sink.write([b"a", b"b--"]) == len(written)
    sink.close()
    assert (tmp_path / "out").read_bytes() == written


def test_nothing_is_created_before_the_first_write(tmp_path: Path) -> None:
    sink = open_sink(FileOutput(path=str(tmp_path / "new" / "er" / "out")))
    assert list(tmp_path.iterdir()) == []
    sink.write([b"a"])
    sink.close()
    assert (tmp_path / "new" / "er" / "out").read_bytes() == b"a\n"


def test_a_path_in_the_working_directory_needs_no_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    sink = open_sink(FileOutput(path="out"))
    sink.write([b"a"])
    sink.close()
    assert (tmp_path / "out").read_bytes() == b"a\n"


def test_what_cannot_be_a_file_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(MachineFault, match=f"cannot write '{tmp_path}': Is a directory"):
        open_sink(FileOutput(path=str(tmp_path)))
    with pytest.raises(MachineFault, match=f"out': '{tmp_path}/file' is not a directory"):
        open_sink(FileOutput(path=str(tmp_path / "file" / "out")))


def test_what_may_not_be_written_is_refused_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    asked: list[str] = []

    def refuse(path: str, _mode: int) -> bool:  # root may write everywhere
        asked.append(path)
        return False

    monkeypatch.setattr(os, "access", refuse)
    for path in (tmp_path / "file", tmp_path / "out", tmp_path / "new" / "out"):
        with pytest.raises(MachineFault, match="Permission denied"):
            open_sink(FileOutput(path=str(path)))
    assert asked == [str(tmp_path / "file"), str(tmp_path), str(tmp_path)]


def test_an_output_that_is_an_input_is_refused(tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(b"a\n")
    (tmp_path / "link").symlink_to(tmp_path / "in")
    with pytest.raises(Misuse, match="is one of the input files"):
        open_sink(FileOutput(path=str(tmp_path / "link")), [str(tmp_path / "in")])
    open_sink(FileOutput(path=str(tmp_path / "out")), [str(tmp_path / "in")])


def test_a_file_that_cannot_be_created_after_all_is_an_error(tmp_path: Path) -> None:
    sink = open_sink(FileOutput(path=str(tmp_path / "a" / "out")))
    (tmp_path / "a").write_bytes(b"in the way")
    with pytest.raises(MachineFault, match=r"cannot write .*: (File exists|Not a directory)"):
        sink.write([b"a"])


def test_a_full_disk_is_an_error() -> None:
    sink = open_sink(FileOutput(path="/dev/full"))
    with pytest.raises(MachineFault, match="cannot write '/dev/full': No space left on device"):
        sink.write([b"a"])
    sink.close()


def test_a_write_that_fails_half_way_leaves_no_half_of_a_message(tmp_path: Path) -> None:
    sink = open_sink(FileOutput(path=str(tmp_path / "out")))
    sink.write([b"x" * 99])
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (150, before[1]))
    try:
        with pytest.raises(MachineFault, match="File too large"):
            sink.write([b"y" * 99])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    sink.write([b"z"])
    sink.close()
    assert (tmp_path / "out").read_bytes() == b"x" * 99 + b"\nz\n"


PROGRAM = """
from goplugin.batch._sink import open_sink
from goplugin.batch._components import StdoutOutput
sink = open_sink(StdoutOutput(suffix=b"|"))
assert sink.write([b"a", b"b|"]) == 4
sink.close()
sink.write([b"c"])
"""


def test_standard_output_is_written_and_left_open() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, timeout=60)
    assert (done.stdout, done.stderr) == (b"a|b|c|", b"")


@pytest.mark.parametrize(
    ("redirection", "message"),
    [(">&-", "it is closed"), (">/dev/full", "No space left on device")],
)
def test_standard_output_that_cannot_be_written_is_an_error(redirection: str, message: str) -> None:
    shell = ["sh", "-c", f'exec "$0" -c "$1" {redirection}', sys.executable, PROGRAM]
    done = subprocess.run(shell, capture_output=True, text=True, timeout=60)
    assert f"MachineFault: cannot write to standard output: {message}" in done.stderr


def test_standard_output_takes_the_messages_of_any_input() -> None:
    open_sink(StdoutOutput(), ["/etc/hostname"]).close()
