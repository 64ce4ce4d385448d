"""The part of Bloblang that the generate input knows; what it does not know is refused, with what was found."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goplugin.batch import BadFile, BadValue, Value
from goplugin.batch._document import locate
from goplugin.batch._mapping import Function, parse_mapping
from goplugin.batch._value import write_value
from goplugin.proto import redpanda


def made(text: str) -> tuple[Value, dict[str, Value]]:
    numbers = itertools.count(1)
    functions: dict[str, Function] = {
        "counter": lambda _: next(numbers),
        "uuid_v4": lambda _: "u",
        "now": lambda _: "n",
        "timestamp_unix": lambda _: 7,
    }
    return parse_mapping(locate(text, "p.yaml")).make(functions)


@pytest.mark.parametrize(
    ("text", "payload", "metadata"),
    [
        ('root = "hello"', "hello", {}),
        ("root = counter()", 1, {}),
        ("# numbers\nroot.id = counter()\nroot.at.unix = timestamp_unix()", {"id": 1, "at": {"unix": 7}}, {}),
        ('root = {"a": [1, -2.5e1, true, null, uuid_v4()], "b": {}, "c": []}',
         {"a": [1, -25.0, True, None, "u"], "b": {}, "c": []}, {}),
        ('root = {}\nroot.a = 1\nmeta key = "v"\nmeta n = counter()', {"a": 1}, {"key": "v", "n": 1}),
        ('root = "a"\nroot.b = now()', {"b": "n"}, {}),
        ('root = {\n  "a": "\\u00e9\\n",\n  "b": 2\n}\n', {"a": "é\n", "b": 2}, {}),
    ],
)  # fmt: skip
def test_a_mapping_makes_a_payload_and_metadata(text: str, payload: Value, metadata: dict[str, Value]) -> None:
    assert made(text) == (payload, metadata)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "got nothing that is assigned to root, want a line such as"),
        ("meta a = 1", "got nothing that is assigned to root"),
        ("root = this.a", "got 'this.a', want a value of JSON, or one of the functions counter, uuid_v4"),
        ("root = counter", "got the end, want '('"),
        ("root = 1 + 2", "got '+ 2', want a line such as"),
        ("root = {a: 1}", "got 'a: 1}', want a key in quotes"),
        ('root = {"a" 1}', "got '1}', want ':'"),
        ("root = [1 2]", "got '2]', want ','"),
        ("root = [", "got the end, want a value"),
        ('root = "\\x"', "want a value of JSON"),
        ("let a = 1", "got 'let a = 1', want a line such as"),
    ],
)
def test_what_only_redpanda_connect_understands_is_refused(text: str, message: str) -> None:
    with pytest.raises(BadFile) as caught:
        made(text)
    assert message in str(caught.value)


@pytest.mark.parametrize(("opens", "closes"), [("[", "]"), ('{"a":', "}")])
def test_a_value_is_nested_as_deep_as_one_may_be_on_the_wire_and_no_deeper(opens: str, closes: str) -> None:
    payload, _ = made(f"root = {opens * 30}1{closes * 30}")
    write_value(redpanda.Value(), payload)
    for levels in (31, 900):
        with pytest.raises(BadFile, match="got a value nested deeper than that, want at most 30 levels"):
            made(f"root = {opens * levels}1{closes * levels}")
    with pytest.raises(BadValue, match="at most 30 levels"):
        write_value(redpanda.Value(), [payload])


@given(st.text(alphabet='root.ab =(){}[]",:1-counter\n#\\', max_size=40))
def test_any_text_is_a_mapping_or_a_bad_file(text: str) -> None:
    try:
        made(text)
    except BadFile:
        pass
