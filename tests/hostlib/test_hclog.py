"""One line of a plugin's log, and what it means."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goplugin.hostlib._hclog import DEBUG, ERROR, INFO, TRACE, WARNING, Entry, in_json, legible, parse, prefixed


def line(**pairs: object) -> bytes:
    return json.dumps({name.replace("at_", "@"): value for name, value in pairs.items()}).encode()


@pytest.mark.parametrize(
    ("name", "level"),
    [("trace", TRACE), ("debug", DEBUG), ("info", INFO), ("warn", WARNING), ("error", ERROR), (" WARN ", WARNING)],
)
def test_an_hclog_line_has_its_level(name: str, level: int) -> None:
    assert parse(line(at_level=name, at_message="hello")) == Entry(level, "hello")


def test_the_other_keys_are_its_pairs_just_as_they_were_sent() -> None:
    raw = line(at_level="info", at_message="m", at_module="kv", at_timestamp="then", n=[1, {"a": None}], text="x\ny")
    entry = parse(raw)
    assert entry is not None
    assert entry.fields == {
        "@module": "kv",
        "@timestamp": "then",
        "n": [1, {"a": None}],
        "text": "x\ny",
    }


@pytest.mark.parametrize(("message", "text"), [(7, "7"), (None, "null"), ({"a": [1]}, '{"a": [1]}'), (True, "true")])
def test_a_message_that_is_no_text_is_shown_where_go_plugin_panics(message: object, text: str) -> None:
    assert parse(line(at_level="info", at_message=message)) == Entry(INFO, text)


def test_a_missing_message_is_an_empty_one() -> None:
    assert parse(b'{"@level": "warn"}') == Entry(WARNING, "")


@pytest.mark.parametrize(
    "raw",
    [
        b'{"@message": "no level"}',
        b'{"@level": "loud", "@message": "m"}',
        b'{"@level": 3, "@message": "m"}',
        b'{"level": "info", "msg": "another library"}',
        b"[1, 2]",
        b'"@level"',
        b"{",
        b'{"@level": "info"} and more',
        b'{"a": "\xff"}',
        b'{"a": ' + b"[" * 50_000,
        b'{"a": ' + b"1" * 5_000 + b"}",
        b"plain",
        b"",
    ],
    ids=range(13),
)
def test_what_is_not_hclog_is_left_to_be_logged_as_it_is(raw: bytes) -> None:
    assert parse(raw) is None


@pytest.mark.parametrize(
    ("raw", "level"),
    [
        (b"[TRACE] x", TRACE),
        (b"[DEBUG] x", DEBUG),
        (b"[INFO] x", INFO),
        (b"[WARN] x", WARNING),
        (b"[ERROR]x", ERROR),
        (b" [ERROR] x", None),
        (b"[warn] x", None),
        (b"[", None),
        (b"", None),
    ],
)
def test_a_prefix_gives_the_level_as_in_go(raw: bytes, level: int | None) -> None:
    assert prefixed(raw) == level


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"caf\xc3\xa9 \xe6\x97\xa5\xe6\x9c\xac", "café 日本"),
        (b"tab\tstays", "tab\tstays"),
        (b"\x1b[31mred\x00", r"\x1b[31mred\x00"),
        (b"\xff\xfe", r"\xff\xfe"),
        ("two\nlines\r", r"two\nlines\r"),
        ("left\u202eright", r"left\u202eright"),
        ("\ud800", r"\ud800"),
        (b"", ""),
    ],
)
def test_text_of_a_plugin_cannot_act_on_a_terminal(raw: bytes | str, text: str) -> None:
    assert legible(raw) == text


@given(st.one_of(st.binary(), st.text()))
def test_any_text_becomes_one_printable_line(raw: bytes | str) -> None:
    assert legible(raw).replace("\t", "").isprintable()


def object_around(inside: bytes) -> bytes:
    return b'{"@level":"info",' + inside + b"}"


@given(st.one_of(st.binary(), st.builds(object_around, st.binary())))
def test_any_line_is_an_entry_or_none(raw: bytes) -> None:
    entry = parse(raw)
    assert entry is None or entry.message.replace("\t", "").isprintable()


def test_a_value_that_is_nested_too_deeply_is_named_as_that() -> None:
    value: object = 1
    for _ in range(100_000):
        value = [value]
    assert in_json(value) == "(nested too deeply to be shown)"
