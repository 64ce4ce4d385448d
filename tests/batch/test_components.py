"""The settings of the built-in inputs and outputs mean what they mean to Redpanda Connect; the rest is refused."""

import pytest

from goplugin.batch import BadFile
from goplugin.batch._components import (
    BUILT_IN,
    Batched,
    FileInput,
    FileOutput,
    InputSettings,
    Lines,
    OutputSettings,
    PluginInput,
    PluginOutput,
    Policy,
    StdinInput,
    StdoutOutput,
    parse_input,
    parse_output,
)
from goplugin.batch._descriptor import Descriptor, Kind
from goplugin.batch._document import parse_document

FILES = FileInput(paths=("a/*.py", "b"), where="f.yaml:1: file.paths")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("stdin: {}", StdinInput()),
        ("stdin:", StdinInput()),
        ("label: x\nstdin: {scanner: {lines: {}}}", StdinInput()),
        ('stdin: {scanner: {lines: {custom_delimiter: "é", max_buffer_size: 1_000, omit_empty: true}}}',
         StdinInput(lines=Lines(delimiter="é".encode(), max_size=1000, omit_empty=True))),
        ('stdin: {scanner: {lines: {custom_delimiter: ""}}}', StdinInput()),
        ('file: {paths: ["a/*.py", b]}', FILES),
        ("batched: {child: {file: {paths: ['a/*.py', b]}}, policy: {count: 5}}",
         Batched(child=FileInput(paths=("a/*.py", "b"), where="f.yaml:1: batched.child.file.paths"),
                 policy=Policy(count=5))),
        ("batched: {child: {stdin: {}}, policy: {count: 0, byte_size: 9, period: 1m0.5s}}",
         Batched(child=StdinInput(), policy=Policy(byte_size=9, period=60.5))),
        ('batched: {child: {stdin: {}}, policy: {byte_size: 9, period: ""}}',
         Batched(child=StdinInput(), policy=Policy(byte_size=9))),
    ],
)  # fmt: skip
def test_an_input_is_read_with_its_defaults(text: str, found: InputSettings) -> None:
    assert parse_input(parse_document(text, "f.yaml"), {}) == found


def test_inputs_are_nested_ten_deep_and_no_deeper() -> None:
    def nested(levels: int) -> str:
        return "{batched: {policy: {count: 1}, child: " * levels + "{stdin: {}}" + "}}" * levels

    assert isinstance(parse_input(parse_document(nested(10), "f.yaml"), {}), Batched)
    for levels in (11, 200):
        with pytest.raises(BadFile) as caught:
            parse_input(parse_document(nested(levels), "f.yaml"), {})
        assert str(caught.value).endswith("child.batched: got a batched input within 10 others, want at most 10 levels")
        assert caught.value.others == ()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("file: {path: out.txt}", FileOutput(path="out.txt", suffix=b"\n")),
        ("file: {path: out.txt, codec: lines}", FileOutput(path="out.txt", suffix=b"\n")),
        ("file: {path: out.txt, codec: append}", FileOutput(path="out.txt", suffix=b"")),
        ('file: {path: out.txt, codec: "delim:é\\t"}', FileOutput(path="out.txt", suffix=b"\xc3\xa9\t")),
        ("stdout: {}", StdoutOutput()),
        ("stdout:", StdoutOutput()),
        ("stdout: {codec: append}", StdoutOutput(suffix=b"")),
    ],
)
def test_an_output_is_read_with_its_defaults(text: str, found: OutputSettings) -> None:
    assert parse_output(parse_document(text, "f.yaml"), {}) == found


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("kafka: {}", "f.yaml:1: kafka: got an unknown input, want one of batched, file, generate, stdin"),
        ("file:", "f.yaml:1: file.paths: got nothing, want a value"),
        ("file: {paths: a}", "f.yaml:1: file.paths: got string 'a', want a list of paths"),
        ("file: {paths: []}", "f.yaml:1: file.paths: got an empty list, want a list of paths"),
        ("file: {paths: [1]}", "f.yaml:1: file.paths[0]: got int 1, want a path"),
        ("file: {paths: ['']}", "f.yaml:1: file.paths[0]: got string '', want a path"),
        ('file: {paths: ["a\\0"]}', "f.yaml:1: file.paths[0]: got string 'a\\x00', want a path"),
        ("file: {path: [a]}", "f.yaml:1: file.path: got an unknown key, want 'paths'? Known: auto_replay_nacks, paths"),
        ("file: {paths: [a], delete_on_finish: true}", "file.delete_on_finish: got an unknown key, want one of auto"),
        ("stdin: {scanner: lines}", "f.yaml:1: stdin.scanner: got string 'lines', want one scanner, as a mapping"),
        ("stdin: {scanner: {csv: {}}}", "f.yaml:1: stdin.scanner.csv: got an unknown scanner, want one of lines"),
        ("stdin: {scanner: {lines: {max_buffer_size: 0}}}", "max_buffer_size: got int 0, want a number of bytes ove"),
        ("stdin: {scanner: {lines: {omit_empty: 1}}}", "stdin.scanner.lines.omit_empty: got int 1, want true or fal"),
        ("stdin: {scanner: {lines: {custom_delimiter: 1}}}", "custom_delimiter: got int 1, want a string"),
        ("batched: {policy: {count: 1}}", "f.yaml:1: batched.child: got nothing, want a value"),
        ("batched: {child: {stdin: {}}}", "f.yaml:1: batched.policy: got nothing, want a value"),
        ("batched: {child: {stdin: {}}, policy: {}}", "batched.policy: got no limit, want at least one of count"),
        ("batched: {child: {stdin: {}}, policy: {period: 0s}}", "batched.policy: got no limit, want at least one of"),
        ("batched: {child: {stdin: {}}, policy: {count: -1}}", "batched.policy.count: got int -1, want a number"),
        ("batched: {child: {stdin: {}}, policy: {byte_size: 1k}}", "policy.byte_size: got string '1k', want a number"),
        ("batched: {child: {stdin: {}}, policy: {period: 5}}", 'period: got int 5, want a duration such as "500ms"'),
        ("batched: {child: {stdin: {}}, policy: {period: 5 s}}", "batched.policy.period: got string '5 s', want a d"),
        ("batched: {child: {stdin: {}}, policy: {check: x}}", "batched.policy.check: got an unknown key, want one o"),
        ("batched: {child: {nope: {}}, policy: {count: 1}}", "f.yaml:1: batched.child.nope: got an unknown input"),
    ],
)  # fmt: skip
def test_wrong_settings_of_an_input_name_field_got_and_want(text: str, message: str) -> None:
    with pytest.raises(BadFile) as caught:
        parse_input(parse_document(text, "f.yaml"), {})
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("stdot: {}", "f.yaml:1: stdot: got an unknown output, want 'stdout'? Known: drop, file, stdout"),
        ("file: {}", "f.yaml:1: file.path: got nothing, want a value"),
        ("file: {path: [a]}", "f.yaml:1: file.path: got a list, want a path"),
        ("file: {path: 'a/${! count() }'}", "want a path without interpolation functions, which only Redpanda Conne"),
        (
            "file: {path: a, codec: all-bytes}",
            "file.codec: got string 'all-bytes', want lines, append, or delim: and a ",
        ),
        ("stdout: {codec: 'delim:'}", "stdout.codec: got string 'delim:', want lines, append, or delim: and a delim"),
        ("stdout: {codec: 1}", "stdout.codec: got int 1, want a string"),
        ("stdout: {path: a}", "f.yaml:1: stdout.path: got an unknown key, want one of codec"),
    ],
)
def test_wrong_settings_of_an_output_name_field_got_and_want(text: str, message: str) -> None:
    with pytest.raises(BadFile) as caught:
        parse_output(parse_document(text, "f.yaml"), {})
    assert message in str(caught.value)


def plugin(name: str, kind: Kind) -> dict[str, Descriptor]:
    return {name: Descriptor(name=name, kind=kind, command=("x",), file="plugin.yaml", cwd="/")}


def test_a_plugin_takes_the_place_of_the_built_in_input_whose_name_it_has() -> None:
    for name in BUILT_IN[Kind.INPUT]:
        plugins = plugin(name, Kind.INPUT)
        found = parse_input(parse_document(f"{name}: {{}}", "f.yaml"), plugins)
        assert found == PluginInput(name=name, descriptor=plugins[name], config={})
    batched = parse_document("batched: {child: {stdin: {}}, policy: {count: 1}}", "f.yaml")
    inner = parse_input(batched, plugin("stdin", Kind.INPUT))
    assert isinstance(inner, Batched)
    assert isinstance(inner.child, PluginInput)


def test_a_plugin_takes_the_place_of_the_built_in_output_whose_name_it_has() -> None:
    for name in BUILT_IN[Kind.OUTPUT]:
        plugins = plugin(name, Kind.OUTPUT)
        found = parse_output(parse_document(f"{name}: {{}}", "f.yaml"), plugins)
        assert found == PluginOutput(name=name, descriptor=plugins[name], config={})


def test_a_plugin_of_another_kind_takes_no_built_in_ones_place() -> None:
    assert parse_output(parse_document("stdout: {}", "f.yaml"), plugin("stdout", Kind.PROCESSOR)) == StdoutOutput()


def test_the_names_of_what_is_built_in_are_all_that_are_known_without_plugins() -> None:
    for kind, parse in ((Kind.INPUT, parse_input), (Kind.OUTPUT, parse_output)):
        with pytest.raises(BadFile) as caught:
            parse(parse_document("zz: {}", "f.yaml"), {})
        assert caught.value.want == f"one of {', '.join(sorted(BUILT_IN[kind]))}"
    assert BUILT_IN[Kind.PROCESSOR] == frozenset()
