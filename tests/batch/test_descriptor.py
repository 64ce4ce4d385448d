"""A descriptor is read whole or refused with file, line and field; a configuration is checked against it."""

from pathlib import Path

import pytest

from goplugin.batch import BadFile, Config
from goplugin.batch._descriptor import Descriptor, Field, FieldKind, FieldType, Kind, load_descriptors, parse_descriptor
from goplugin.batch._document import parse_document
from goplugin.handshake import MachineFault

FULL = """\
name: shout_2
summary: Says it louder
description: |
  Upper case.
command: ["./shout", "-v", "1"]
cwd: bin
type: processor
fields:
  - name: suffix
    description: what to add
    type: string
    default: "!"
  - name: times
    type: int
  - name: words
    type: string
    kind: list
    default: [a, b]
  - name: weights
    type: float
    kind: map
    default: {x: 1}
    advanced: true
  - name: extra
    default: {a: [1]}
  - name: loud
    type: bool
    default: false
"""
LEAST = "name: a\ncommand: [x]\ntype: input\n"


def test_a_full_descriptor_is_read_whole() -> None:
    assert parse_descriptor(FULL, "/plugins/shout/plugin.yaml") == Descriptor(
        name="shout_2",
        kind=Kind.PROCESSOR,
        command=("./shout", "-v", "1"),
        file="/plugins/shout/plugin.yaml",
        cwd="/plugins/shout/bin",
        summary="Says it louder",
        description="Upper case.\n",
        fields=(
            Field(name="suffix", description="what to add", type=FieldType.STRING, default="!"),
            Field(name="times", type=FieldType.INT),
            Field(name="words", type=FieldType.STRING, kind=FieldKind.LIST, default=["a", "b"]),
            Field(name="weights", type=FieldType.FLOAT, kind=FieldKind.MAP, default={"x": 1.0}, advanced=True),
            Field(name="extra", default={"a": [1]}),
            Field(name="loud", type=FieldType.BOOL, default=False),
        ),
    )


@pytest.mark.parametrize(
    ("cwd", "directory"), [("", "/p/q"), ("cwd: ..", "/p"), ("cwd: /abs/./x", "/abs/x"), ("cwd:", "/p/q")]
)
def test_the_working_directory_is_relative_to_the_file_and_by_default_its_own(cwd: str, directory: str) -> None:
    assert parse_descriptor(LEAST + cwd, "/p/q/plugin.yaml").cwd == directory


def test_null_where_nothing_is_needed_is_nothing() -> None:
    found = parse_descriptor(LEAST + "summary:\nfields:\n", "f.yaml")
    assert (found.summary, found.fields) == ("", ())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- a", "f.yaml:1: got a list, want a mapping"),
        ("command: [x]\ntype: input", "f.yaml:1: name: got nothing, want a value"),
        ("name: a\ntype: input", "f.yaml:1: command: got nothing, want a value"),
        ("name: a\ncommand: [x]", "f.yaml:1: type: got nothing, want a value"),
        (LEAST + "comand: [x]", "f.yaml:4: comand: got an unknown key, want 'command'? Known: command, cwd, descr"),
        (LEAST + "name: b", "f.yaml:4: name: got the key a second time, want each key once"),
        (LEAST.replace(": a", ": A-b"), "f.yaml:1: name: got string 'A-b', want a name of small letters and digits"),
        (LEAST.replace(": a", ": a__b"), "f.yaml:1: name: got string 'a__b', want a name"),
        (LEAST.replace(": a", ': "a\\n"'), "f.yaml:1: name: got string 'a\\n', want a name"),
        (LEAST.replace("[x]", "x y"), "f.yaml:2: command: got string 'x y', want a list: the program and its argume"),
        (LEAST.replace("[x]", "[]"), "f.yaml:2: command: got an empty list, want a list: the program"),
        (LEAST.replace("[x]", "[x, 1]"), "f.yaml:2: command[1]: got int 1, want a string"),
        (LEAST.replace("[x]", '[""]'), "f.yaml:2: command[0]: got string '', want the path or name of a program"),
        (LEAST.replace("input", "inputs"), "f.yaml:3: type: got string 'inputs', want 'input'? Known: input, output, "),
        (LEAST.replace("input", "7"), "f.yaml:3: type: got int 7, want one of input, output, processor"),
        (LEAST + "summary: 1", "f.yaml:4: summary: got int 1, want a string"),
        (LEAST + "cwd: [a]", "f.yaml:4: cwd: got a list, want a string"),
        (LEAST + "fields: {}", "f.yaml:4: fields: got a mapping, want a list"),
        (LEAST + "fields:\n  - nam: a", "f.yaml:5: fields[0].nam: got an unknown key, want 'name'? Known:"),
        (LEAST + "fields:\n  - type: int", "f.yaml:5: fields[0].name: got nothing, want a value"),
        (LEAST + "fields:\n  - name: ''", "f.yaml:5: fields[0].name: got string '', want a name"),
        (LEAST + "fields: [{name: a}, {name: a}]", "fields[1].name: got the field 'a' a second time, want each fiel"),
        (LEAST + "fields: [{name: a, type: integer}]", "f.yaml:4: fields[0].type: got string 'integer', want 'int'? "),
        (LEAST + "fields: [{name: a, kind: array}]", "f.yaml:4: fields[0].kind: got string 'array', want one of"),
        (LEAST + "fields: [{name: a, type: int, default: x}]", "fields[0].default: got string 'x', want an integer"),
        (LEAST + "fields: [{name: a, type: int, kind: list, default: 1}]", "got int 1, want a list of ints"),
        (LEAST + "fields: [{name: a, advanced: maybe}]", "fields[0].advanced: got string 'maybe', want true or fals"),
    ],
)  # fmt: skip
def test_a_wrong_descriptor_names_file_line_field_got_and_want(text: str, message: str) -> None:
    with pytest.raises(BadFile) as caught:
        parse_descriptor(text, "f.yaml")
    assert message in str(caught.value)


def configured(text: str) -> Config:
    return parse_descriptor(FULL, "f.yaml").config(parse_document(f"shout:\n{text}", "p.yaml").mapping()["shout"])


def test_a_configuration_gets_the_defaults_of_what_it_leaves_out() -> None:
    assert configured("  times: 3\n  weights: {a: 2, b: 0.5}\n") == {
        "suffix": "!",
        "times": 3,
        "words": ["a", "b"],
        "weights": {"a": 2.0, "b": 0.5},
        "extra": {"a": [1]},
        "loud": False,
    }


def test_a_plugin_without_fields_takes_no_configuration_or_an_empty_one() -> None:
    plain = parse_descriptor(LEAST, "f.yaml")
    assert plain.config(parse_document("{}", "p.yaml")) == {}
    assert plain.config(parse_document("a:", "p.yaml").mapping()["a"]) == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "p.yaml:1: shout.times: got nothing, want int: the field is required"),
        ("  times: 1\n  suffx: x", "p.yaml:3: shout.suffx: got an unknown key, want 'suffix'? Known: extra, loud, s"),
        ("  times: '1'", "p.yaml:2: shout.times: got string '1', want an integer of 64 bits"),
        ("  times: 1\n  suffix: 1", "p.yaml:3: shout.suffix: got int 1, want a string"),
        ("  times: 1\n  words: [a, 1]", "p.yaml:3: shout.words[1]: got int 1, want a string"),
        ("  times: 1\n  words: a", "p.yaml:3: shout.words: got string 'a', want a list of strings"),
        ("  times: 1\n  weights: [1]", "p.yaml:3: shout.weights: got a list, want a map of floats"),
        ("  times: 1\n  weights: {a: x}", "p.yaml:3: shout.weights.a: got string 'x', want a number"),
        ("  times: 1\n  loud: yes", "p.yaml:3: shout.loud: got string 'yes', want true or false"),
        ("  [1]", "p.yaml:2: shout: got a list, want a mapping"),
    ],
)
def test_a_configuration_that_does_not_fit_names_file_field_got_and_want(text: str, message: str) -> None:
    with pytest.raises(BadFile) as caught:
        configured(text)
    assert message in str(caught.value)


def test_a_default_of_null_makes_a_field_required_as_in_redpanda_connect() -> None:
    found = parse_descriptor(LEAST + "fields: [{name: a, kind: map, type: bool, default: null}]", "f.yaml")
    with pytest.raises(BadFile, match="a: got nothing, want map of bools: the field is required"):
        found.config(parse_document("{}", "p.yaml"))


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_descriptors_are_found_by_globs_in_a_steady_order(tmp_path: Path) -> None:
    for name in ("b", "a", "c"):
        write(tmp_path / name / "deep" / "plugin.yaml", LEAST.replace(": a", f": {name}"))
    found = load_descriptors([f"{tmp_path}/c/*/plugin.yaml", f"{tmp_path}/**/plugin.yaml"])
    assert list(found) == ["c", "a", "b"]
    assert found["a"].file == f"{tmp_path}/a/deep/plugin.yaml"
    assert found["a"].cwd == f"{tmp_path}/a/deep"


def test_a_file_that_two_patterns_or_a_link_name_counts_once(tmp_path: Path) -> None:
    write(tmp_path / "plugin.yaml", LEAST)
    (tmp_path / "link.yaml").symlink_to(tmp_path / "plugin.yaml")
    assert list(load_descriptors([f"{tmp_path}/*.yaml", f"{tmp_path}/plugin.yaml"])) == ["a"]


def test_two_files_that_describe_one_name_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "1.yaml", LEAST)
    write(tmp_path / "2.yaml", LEAST)
    with pytest.raises(BadFile) as caught:
        load_descriptors([f"{tmp_path}/*.yaml"])
    assert (caught.value.file, caught.value.field) == (f"{tmp_path}/2.yaml", "name")
    assert f"{tmp_path}/1.yaml" in str(caught.value)


def test_a_pattern_that_matches_nothing_is_refused_unless_it_is_optional(tmp_path: Path) -> None:
    with pytest.raises(MachineFault, match="no plugin descriptor matches"):
        load_descriptors([f"{tmp_path}/*.yaml"])
    assert load_descriptors([f"{tmp_path}/*.yaml"], optional=True) == {}


@pytest.mark.parametrize("content", [None, b"\xff\xfe\xfa"])
def test_a_file_that_cannot_be_read_is_refused_with_its_path(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "plugin.yaml"
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)
    with pytest.raises(MachineFault, match=f"cannot read the plugin descriptor {path}: "):
        load_descriptors([str(path)])
