"""A YAML file reads as Redpanda Connect reads it, and every error knows its line and its path of keys."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goplugin.batch import BadFile, Value
from goplugin.batch._document import Located, choose, locate, nearest, parse_document
from goplugin.batch._value import DEPTH_MAX


def root(text: str) -> Located:
    return parse_document(text, "f.yaml")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True), ("False", False), ("yes", "yes"), ("on", "on"), ("NO", "NO"),
        ("12", 12), ("-12", -12), ("+3", 3), ("0", 0), ("0x1F", 31), ("0o17", 15), ("0b101", 5), ("100_000", 100000),
        ("12:30:45", "12:30:45"), ("2026-01-02", "2026-01-02"), ("2026-01-02T03:04:05Z", "2026-01-02T03:04:05Z"),
        ("1.5", 1.5), ("1e3", 1000.0), (".5", 0.5), ("-.inf", float("-inf")), ("1.2.3", "1.2.3"),
        ("null", None), ("~", None), ("'null'", "null"), ('"12"', "12"), ("!!str 12", "12"), ("!!binary aGk=", b"hi"),
        ("<<", "<<"), ("=", "="), ("9223372036854775807", 2**63 - 1),
        ("[1, [a]]", [1, ["a"]]), ("{a: {1: b}}", {"a": {"1": "b"}}), ("{on: 1}", {"on": 1}),
        ("a: &x [1]\nb: *x", {"a": [1], "b": [1]}),
    ],
)  # fmt: skip
def test_a_value_reads_as_yaml_1_2(text: str, value: Value) -> None:
    found = root(f"v: {text}" if "\n" not in text else f"v:\n  {text.replace(chr(10), chr(10) + '  ')}").mapping()["v"]
    assert found.value() == value
    assert type(found.value()) is type(value)


@pytest.mark.parametrize(
    ("text", "line", "got"),
    [
        ("", None, "an empty file"),
        ("# nothing\n", None, "an empty file"),
        ("a: [1\nb: 2", 2, "no YAML"),
        ("a: b: c", 1, "no YAML"),
        ("a: \x01", None, "no YAML"),
        ("a: 1\n---\nb: 2", 2, "no YAML"),
        ("a: *x", 1, "no YAML"),
        ("[" * 100_000, None, "too many levels within each other"),
        ("&x [*x]", None, "aliases that multiply"),
        (
            "- &a 1\n" + "".join(f"- &{'bcdefghi'[n]} [{', '.join(10 * ['*' + 'abcdefgh'[n]])}]\n" for n in range(8)),
            None,
            "aliases that multiply",
        ),
    ],
)
def test_what_is_no_yaml_document_is_refused(text: str, line: int | None, got: str) -> None:
    with pytest.raises(BadFile) as caught:
        root(text)
    assert caught.value.line == line
    assert caught.value.got.startswith(got)


READS: dict[str, Callable[[Located], object]] = {
    "string": lambda found: found.string(),
    "boolean": lambda found: found.boolean(),
    "integer": lambda found: found.integer(least=1, want="one or more"),
    "number": lambda found: found.number(),
    "items": lambda found: found.items(),
    "mapping": lambda found: found.mapping(),
    "entries": lambda found: found.entries(("paths", "codec"), required=("paths",)),
    "value": lambda found: found.value(),
}


@pytest.mark.parametrize(
    ("text", "read", "message"),
    [
        ("12", "string", "f.yaml:2: a.b: got int 12, want a string"),
        ("", "string", "f.yaml:2: a.b: got nothing, want a string"),
        ("[x]", "string", "f.yaml:2: a.b: got a list, want a string"),
        ("yes", "boolean", "f.yaml:2: a.b: got string 'yes', want true or false"),
        ("1", "boolean", "f.yaml:2: a.b: got int 1, want true or false"),
        ("true", "integer", "f.yaml:2: a.b: got bool True, want one or more"),
        ("0", "integer", "f.yaml:2: a.b: got int 0, want one or more"),
        ("1.5", "integer", "f.yaml:2: a.b: got float 1.5, want one or more"),
        ("9223372036854775808", "integer", "f.yaml:2: a.b: got int 9223372036854775808, want one or more"),
        ("9223372036854775808", "value", "f.yaml:2: a.b: got int 9223372036854775808, want an integer of 64 bits"),
        ("true", "number", "f.yaml:2: a.b: got bool True, want a number"),
        ("1" + "0" * 400, "number", "f.yaml:2: a.b: got int 1" + "0" * 76 + "..., want a number that a float can ho"),
        ("x", "items", "f.yaml:2: a.b: got string 'x', want a list"),
        ("[1]", "mapping", "f.yaml:2: a.b: got a list, want a mapping"),
        ("{x: 1, x: 2}", "mapping", "f.yaml:2: a.b.x: got the key a second time, want each key once"),
        ("{[1]: 2}", "mapping", "f.yaml:2: a.b: got a key that is no plain text, want text"),
        ("{path: 1}", "entries", "f.yaml:2: a.b.path: got an unknown key, want 'paths'? Known: codec, paths"),
        ("{zzz: 1}", "entries", "f.yaml:2: a.b.zzz: got an unknown key, want one of codec, paths"),
        ("{codec: 1}", "entries", "f.yaml:2: a.b.paths: got nothing, want a value"),
        ("", "entries", "f.yaml:2: a.b.paths: got nothing, want a value"),
        ("!!timestamp 2026-01-01", "value", "f.yaml:2: a.b: got '2026-01-01', want what the tag"),
        ("!!int x", "value", "f.yaml:2: a.b: got 'x', want what the tag"),
        ("!mine x", "value", "f.yaml:2: a.b: got 'x', want what the tag !mine says, or no tag"),
    ],
)
def test_a_wrong_value_says_where_it_is_what_is_there_and_what_was_wanted(text: str, read: str, message: str) -> None:
    found = root(f"a:\n  b: {text}\n").mapping()["a"].mapping()["b"]
    with pytest.raises(BadFile) as caught:
        READS[read](found)
    assert message in str(caught.value)
    assert caught.value.line == 2


def test_an_item_of_a_list_is_named_by_its_index_and_its_own_line() -> None:
    item = root("a:\n  - x\n  - y\n").mapping()["a"].items()[1]
    assert (item.line, item.spelled()) == (3, "a[1]")


def test_as_many_levels_as_can_cross_the_wire_are_read() -> None:
    def nested(levels: int) -> Located:
        return root("v: " + "[" * levels + "]" * levels).mapping()["v"]

    assert nested(DEPTH_MAX - 1).value()
    with pytest.raises(BadFile):
        nested(DEPTH_MAX + 1).value()


def test_one_component_is_chosen_by_its_name_and_a_label_names_it() -> None:
    table: dict[str, Callable[[Located], object]] = {"file": lambda found: found.value(), "stdin": lambda _: 0}
    assert choose(root("file: 1"), table, "input") == ("file", 1)
    assert choose(root("label: mine\nfile: 1"), table, "input") == ("mine", 1)
    assert choose(root('label: ""\nfile: 1'), table, "input") == ("file", 1)


@pytest.mark.parametrize("label", ["A", "a b", "_a", "-a", "ä", "a\n"])
def test_a_label_is_one_that_redpanda_connect_takes(label: str) -> None:
    want = r"want a label of a-z, 0-9, _ and - that begins with a letter or a digit$"
    with pytest.raises(BadFile, match=want) as caught:
        locate(label, "f.yaml").label()
    assert caught.value.got == f"string {label!r}"
    assert locate("0a_-", "f.yaml").label() == "0a_-"


def test_each_label_is_there_once() -> None:
    first, second = root("[{label: a}, {label: a}]").items()
    for _ in range(2):
        assert first.mapping()["label"].label() == "a"
        with pytest.raises(BadFile, match=r"\[1\]\.label: got 'a', the label in line 1, want another label"):
            second.mapping()["label"].label()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("fle: 1", "f.yaml:1: fle: got an unknown input, want 'file'? Known: file, stdin"),
        ("file: 1\nstdin: 2", "f.yaml:1: got file and stdin, want one input: file, stdin"),
        ("label: x", "f.yaml:1: got none, want one input: file, stdin"),
        ("{}", "f.yaml:1: got none, want one input: file, stdin"),
        ("file", "f.yaml:1: got string 'file', want one input, as a mapping of its name to its settings"),
        ("label: 1\nfile: 1", "f.yaml:1: label: got int 1, want a string"),
    ],
)
def test_a_component_that_is_not_there_is_refused(text: str, message: str) -> None:
    table: dict[str, Callable[[Located], object]] = {"file": lambda _: 1, "stdin": lambda _: 0}
    with pytest.raises(BadFile) as caught:
        choose(root(text), table, "input")
    assert str(caught.value) == message


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(2**63), 2**63 - 1)
        | st.floats(allow_nan=False)
        | st.text()
        | st.binary(),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
        max_leaves=10,
    )
)
def test_a_plain_value_is_located_as_itself(value: Value) -> None:
    found = locate(value, "here")
    assert repr(found.value()) == repr(value) or found.value() == value
    assert found.line is None


def test_where_nothing_is_known_nothing_is_suggested() -> None:
    assert nearest("x", []) == "no key at all"


@given(st.text())
def test_any_text_reads_or_is_refused_as_a_bad_file(text: str) -> None:
    try:
        root(text).value()
    except BadFile as error:
        assert error.file == "f.yaml"  # noqa: PT017 - either outcome is right
