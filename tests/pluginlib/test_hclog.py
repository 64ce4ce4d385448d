"""Python's logging as hclog's lines: whatever a record holds, the line is one, parses, and is not too long."""

import enum
import json
import logging
import os
import re
import subprocess
import sys
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goplugin.pluginlib import hclog


def parsed(line: bytes) -> dict[str, Any]:
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    assert len(line) <= hclog.LINE_MAX

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    found: dict[str, Any] = json.loads(line, parse_constant=refuse)
    return found


def record(message: object = "m", *args: object, level: int = logging.INFO, **fields: Any) -> logging.LogRecord:
    made = logging.LogRecord("my.logger", level, "file.py", 1, message, args, None)
    made.__dict__.update(fields)
    return made


def formatted(*args: Any, **more: Any) -> dict[str, Any]:
    return parsed(hclog.format_record(record(*args, **more)))


@pytest.mark.parametrize(
    ("number", "name"),
    [
        (1, "trace"),
        (5, "trace"),
        (10, "debug"),
        (15, "debug"),
        (20, "info"),
        (30, "warn"),
        (40, "error"),
        (50, "error"),
    ],
)
def test_levels_are_hclogs(number: int, name: str) -> None:
    assert formatted(level=number)["@level"] == name


def test_the_message_the_logger_and_the_extra_fields_are_there() -> None:
    found = formatted("%s and %d", "this", 2, who="me", many=[1, {"a": None}], ratio=0.5)
    del found["@timestamp"]
    assert found == {
        "@level": "info",
        "@message": "this and 2",
        "@module": "my.logger",
        "who": "me",
        "many": [1, {"a": None}],
        "ratio": 0.5,
    }


def test_the_root_logger_is_no_module() -> None:
    made = record()
    made.name = "root"
    assert "@module" not in parsed(hclog.format_record(made))


@given(st.floats(min_value=0, max_value=4e9))
def test_the_timestamp_is_one_that_the_host_parses(created: float) -> None:
    stamp = parsed(hclog.line("info", "m", created=created))["@timestamp"]
    # log_entry.go:60: "2006-01-02T15:04:05.000000Z07:00"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", stamp)
    assert datetime.fromisoformat(stamp) == datetime.fromtimestamp(created, UTC)


def test_a_field_cannot_pretend_to_be_hclogs() -> None:
    found = formatted("true message", **{"@message": "false", "@level": "error"})
    assert (found["@message"], found["@level"]) == ("true message", "info")
    assert (found["extra.@message"], found["extra.@level"]) == ("false", "error")


class Colour(enum.Enum):
    RED = 1


class Mute:
    def __str__(self) -> str:
        raise RuntimeError("no")


LOOP: list[object] = []
LOOP.append(LOOP)


def test_a_field_whose_name_is_no_text_has_one() -> None:
    nameless = record()
    numbered: dict[Any, Any] = nameless.__dict__
    numbered |= {1: "one", ("a", 2): "two"}
    shown = parsed(hclog.format_record(nameless))
    assert (shown["1"], shown["('a', 2)"]) == ("one", "two")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (b"raw", "b'raw'"),
        (Colour.RED, "Colour.RED"),
        (float("nan"), "nan"),
        (float("inf"), "inf"),
        ({"inner": {1}}, {"inner": "{1}"}),
        ((1, 2), [1, 2]),
        ({(1, 2): 3}, "{(1, 2): 3}"),
        (LOOP, "[[...]]"),
        (10**5000, "<int without text: ValueError>"),
        (Mute(), "<Mute without text: RuntimeError>"),
        ({"deep": Mute()}, {"deep": "<Mute without text: RuntimeError>"}),
        ("\ud800", "\ud800"),
        ("line\n\u2028\x00", "line\n\u2028\x00"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_every_value_has_a_form(value: object, shown: object) -> None:
    assert formatted(field=value)["field"] == shown


def test_arguments_that_do_not_fit_do_not_lose_the_message() -> None:
    found = formatted("%d apples", "three")
    assert (found["@message"], found["@args"]) == ("%d apples", "('three',)")
    assert found["@format_error"].startswith("TypeError: ")


def test_an_exception_is_a_field_with_its_traceback() -> None:
    try:
        raise ValueError("as told")
    except ValueError:
        made = record()
        made.exc_info = sys.exc_info()
    found = parsed(hclog.format_record(made))["@exception"]
    assert found.startswith("Traceback (most recent call last):\n")
    assert found.endswith("ValueError: as told")


def test_a_stack_is_a_field() -> None:
    assert formatted(stack_info="Stack (most recent call last):\n  here")["@stack"].endswith("here")


@pytest.mark.parametrize("character", ["x", "\n", "é", "\U0001f600"])
@pytest.mark.parametrize("where", ["message", "field", "both", "nested"])
def test_a_long_line_is_clipped_and_says_by_how_much(character: str, where: str) -> None:
    long = character * 100_000
    fields: dict[str, object] = {"field": long} if where in ("field", "both") else {}
    if where == "nested":
        fields["field"] = {"deep": [long]}
    found = parsed(hclog.line("info", long if where in ("message", "both") else "m", fields))
    for key in {"message": ["@message"], "both": ["@message", "field"]}.get(where, ["field"]):
        kept, _, count = found[key].rpartition("… (+")
        total = len(long) if where != "nested" else len(json.dumps(fields["field"]))
        assert len(kept) + int(count.removesuffix(" characters)")) == total


def test_what_is_short_survives_beside_what_is_long() -> None:
    assert parsed(hclog.line("info", "m", {"long": "x" * 100_000, "short": 7}))["short"] == 7


def test_thousands_of_fields_still_make_a_line() -> None:
    found = parsed(hclog.line("info", "m", {f"field{number}": "x" * 100 for number in range(5000)}))
    assert (found["@message"], found["@fields_dropped"]) == ("m", 5000)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text() | st.integers(), inner, max_size=4),
    max_leaves=12,
)


@given(st.text(), st.dictionaries(st.text(), JSON, max_size=4))
def test_any_record_is_one_line_of_json(message: str, fields: dict[str, object]) -> None:
    assert parsed(hclog.line("info", message, fields))


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    read, write = os.pipe()
    yield read, write
    for descriptor in (read, write):
        try:
            os.close(descriptor)
        except OSError:
            pass  # closed by the test


def test_the_handler_writes_lines_to_its_descriptor(pipe: tuple[int, int]) -> None:
    read, write = pipe
    hclog.Handler(write).handle(record("first"))
    hclog.Handler(write).handle(record("second"))
    assert [json.loads(line)["@message"] for line in os.read(read, 65536).splitlines()] == ["first", "second"]


def test_a_host_that_is_gone_does_not_hurt(pipe: tuple[int, int]) -> None:
    read, write = pipe
    os.close(read)
    hclog.Handler(write).handle(record())
    os.close(write)
    hclog.Handler(write).handle(record())


FORK_WHILE_A_THREAD_WRITES = """
import os, signal, sys, threading
from goplugin.pluginlib import hclog
read, write = os.pipe()
stuck = threading.Thread(target=hclog.write, args=(bytes(1024 * 1024), write), daemon=True)
stuck.start()
os.read(read, 1)
child = os.fork()
if child == 0:
    signal.alarm(10)
    hclog.write(b"the child logs", sys.stdout.fileno())
    os._exit(0)
os._exit(os.waitpid(child, 0)[1])
"""


def test_a_child_that_is_forked_while_a_thread_writes_can_write() -> None:
    program = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", FORK_WHILE_A_THREAD_WRITES]
    done = subprocess.run(program, capture_output=True, timeout=60)
    assert (done.stdout, done.stderr, done.returncode) == (b"the child logs", b"", 0)


def test_lines_of_many_threads_do_not_mix(pipe: tuple[int, int]) -> None:
    read, write = pipe
    handler = hclog.Handler(write)

    def log(name: str) -> None:
        for number in range(50):
            handler.handle(record(f"{name}{number}", field="x" * 3000))

    threads = [threading.Thread(target=log, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    with os.fdopen(os.dup(read), "rb") as lines:
        messages = [json.loads(lines.readline())["@message"] for _ in range(200)]
    for thread in threads:
        thread.join()
    assert sorted(messages) == sorted(f"{name}{number}" for name in "abcd" for number in range(50))


@contextmanager
def fresh_root() -> Generator[logging.Logger]:
    """Yield the root logger as the interpreter makes it; pytest has its own handlers there while a test runs."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    levels = {name: logging.getLogger(name).level for name in ("grpc", "asyncio")}
    root.handlers[:] = []
    root.setLevel(logging.WARNING)
    try:
        yield root
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        for name, former in levels.items():
            logging.getLogger(name).setLevel(former)


def test_install_opens_the_root_logger_for_everything() -> None:
    with fresh_root() as root:
        assert hclog.install()
        assert [type(handler) for handler in root.handlers] == [hclog.Handler]
        assert logging.getLogger("any").isEnabledFor(hclog.TRACE)
        assert not logging.getLogger("grpc.any").isEnabledFor(logging.DEBUG)
        assert logging.getLevelName(hclog.TRACE) == "TRACE"


def test_install_leaves_a_level_that_was_chosen() -> None:
    with fresh_root() as root:
        root.setLevel(logging.ERROR)
        assert hclog.install()
        assert root.level == logging.ERROR


def test_install_leaves_logging_that_is_configured() -> None:
    with fresh_root() as root:
        own = logging.NullHandler()
        root.addHandler(own)
        assert not hclog.install()
        assert (root.handlers, root.level) == ([own], logging.WARNING)
