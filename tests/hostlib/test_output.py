"""What a plugin writes, on its way to the log and to the caller's sinks."""

import io
import json
import logging
from pathlib import Path

import pytest

from goplugin.handshake import Misuse
from goplugin.hostlib._output import Output, Tap

LOGGER = logging.getLogger("test.output")


class Halves(io.RawIOBase):
    """An unbuffered file that takes half of what it is given."""

    def __init__(self) -> None:
        self.data = b""

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]
        part = data[: max(1, len(data) // 2)]
        self.data += part
        return len(part)


class Silent:
    """Writes like a file but does not say how much."""

    def __init__(self) -> None:
        self.data = b""

    def write(self, data: bytes) -> None:
        self.data += data


def test_a_callable_gets_the_bytes() -> None:
    taken: list[bytes] = []
    Tap(taken.append, "sink", LOGGER)(b"hello")
    assert taken == [b"hello"]


def test_a_file_gets_them_at_once(tmp_path: Path) -> None:
    path = tmp_path / "out"
    with path.open("wb") as file:
        Tap(file, "sink", LOGGER)(b"hello")
        assert path.read_bytes() == b"hello"


@pytest.mark.parametrize("file", [Halves(), Silent()])
def test_a_file_of_any_manner_gets_all_of_them(file: Halves | Silent) -> None:
    Tap(file, "sink", LOGGER)(b"hello world")
    assert file.data == b"hello world"


def test_no_sink_is_fine() -> None:
    Tap(None, "sink", LOGGER)(b"hello")


@pytest.mark.parametrize("sink", [7, "path"])
def test_what_can_take_no_bytes_is_refused(sink: object) -> None:
    with pytest.raises(Misuse, match="writable binary file"):
        Tap(sink, "sink", LOGGER)  # type: ignore[arg-type]


def test_a_text_file_is_refused_and_its_buffer_named() -> None:
    with pytest.raises(Misuse, match=r"sys\.stdout\.buffer"):
        Tap(io.StringIO(), "sink", LOGGER)  # type: ignore[arg-type]


def test_a_sink_that_fails_is_not_called_again(caplog: pytest.LogCaptureFixture) -> None:
    calls: list[bytes] = []

    def broken(data: bytes) -> None:
        calls.append(data)
        raise OSError("disk full")

    tap = Tap(broken, "the sink for stderr", LOGGER)
    tap(b"one")
    tap(b"two")
    assert calls == [b"one"]
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert record.getMessage().startswith("the sink for stderr failed")
    assert record.exc_info is not None


def test_the_logger_is_named_for_the_plugin() -> None:
    assert Output("kv", LOGGER, None).logger.name == "test.output.kv"
    assert Output("kv", None, None).logger.name == "goplugin.hostlib.kv"


def test_trace_has_its_name() -> None:
    assert logging.getLevelName(5) == "TRACE"


def test_stdout_after_the_line_is_shown_in_part_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    output = Output("kv", LOGGER, None)
    output.stdout(b"\x1b[2J" + b"x" * 10_000)
    output.stdout(b"")
    output.ended()
    first, last = [record.getMessage() for record in caplog.records]
    assert first.startswith(r"10004 bytes on stdout: \x1b[2Jxxx")
    assert len(first) < 300
    assert last == "10004 bytes on stdout after its handshake line, in all"


@pytest.mark.fault(13)
def test_a_flood_on_stdout_does_not_flood_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    output = Output("kv", LOGGER, None)
    for _ in range(5000):
        output.stdout(b"x")
    assert len(caplog.records) <= 3000


def test_what_the_logger_drops_is_not_formatted(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "test.output")
    output = Output("kv", LOGGER, None)
    output.stderr(b"[INFO] no\n[WARN] yes\n")
    assert [record.getMessage() for record in caplog.records] == ["[WARN] yes"]


def test_a_plugin_cannot_format_into_the_log(caplog: pytest.LogCaptureFixture) -> None:
    Output("kv", LOGGER, None).stderr(b'[WARN] 100%s %(name)s\n{"@level":"warn","@message":"%d","name":"x"}\n')
    assert [record.getMessage() for record in caplog.records] == ["[WARN] 100%s %(name)s", "%d"]
    assert caplog.records[1].__dict__["hclog"] == {"name": "x"}


def test_a_line_longer_than_the_buffer_is_logged_in_pieces_of_its_size(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    Output("kv", LOGGER, None, 4).stderr(b"[WARN] 6789\n")
    pieces = [(record.levelno, record.getMessage()) for record in caplog.records]
    assert pieces == [(logging.DEBUG, "[WAR"), (logging.DEBUG, "N] 6"), (logging.DEBUG, "789")]


def test_any_formatter_shows_the_traceback_that_a_plugin_logged_and_no_line_of_it_passes_for_a_record() -> None:
    shown = io.StringIO()
    handler = logging.StreamHandler(shown)
    output = Output("plugin", LOGGER, None)
    output.logger.addHandler(handler)
    told = {"@level": "error", "@message": "failed", "@exception": "Traceback:\n\x1b[2J\nERROR a forged record"}
    try:
        output.stderr(json.dumps(told).encode() + b"\n")
    finally:
        output.logger.removeHandler(handler)
    assert shown.getvalue() == "failed\n    Traceback:\n    \\x1b[2J\n    ERROR a forged record\n"


def test_a_log_handler_that_fails_does_not_end_the_reading(capfd: pytest.CaptureFixture[str]) -> None:
    class Failing(logging.Handler):
        def handle(self, record: logging.LogRecord) -> bool:
            raise RuntimeError("the log is full")

    copy, parent = io.BytesIO(), logging.getLogger("test.output.failing")
    parent.addHandler(Failing())
    parent.propagate = False
    output = Output("p", parent, copy)
    for _ in range(2):
        output.stderr(b"[ERROR] one\n")
    output.ended()
    assert copy.getvalue() == b"[ERROR] one\n" * 2
    assert capfd.readouterr().err.count("RuntimeError: the log is full") == 1
