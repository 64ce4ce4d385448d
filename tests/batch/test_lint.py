"""Everything that is wrong is found at once, where the parsers stop at the first fault."""

from pathlib import Path

import pytest

from goplugin.batch.host import lint

GOOD = "name: good\ncommand: [x]\ntype: processor\nfields: [{name: n, type: int}]\n"


def faults(here: Path, pipeline: str, **files: str) -> list[str]:
    for name, text in {"good": GOOD, **files}.items():
        (here / f"{name}.plugin.yaml").write_text(text)
    (here / "p.yaml").write_text(pipeline)
    found = lint([str(here / "p.yaml")], [str(here / "*.plugin.yaml")], {})
    return [str(fault).replace(f"{here}/", "") for fault in found]


def test_where_all_is_well_there_is_nothing(tmp_path: Path) -> None:
    text = "input: {stdin: {}}\npipeline: {processors: [good: {n: 1}]}\noutput: {drop: {}}\n"
    assert faults(tmp_path, text) == []


def test_each_component_of_a_pipeline_is_looked_at_whatever_the_others_are(tmp_path: Path) -> None:
    text = """
inptu: 1
input: {fiel: {}}
pipeline:
  threads: 0
  processors:
    - good: {}
    - bad: {}
    - good: {n: x}
output: {file: {path: 1}}
"""
    starts = [fault.partition(", want")[0] for fault in faults(tmp_path, text)]
    assert starts == [
        "p.yaml:2: inptu: got an unknown key",
        "p.yaml:3: input.fiel: got an unknown input",
        "p.yaml:5: pipeline.threads: got int 0",
        "p.yaml:7: pipeline.processors[0].good.n: got nothing",
        "p.yaml:8: pipeline.processors[1].bad: got an unknown processor",
        "p.yaml:9: pipeline.processors[2].good.n: got string 'x'",
        "p.yaml:10: output.file.path: got int 1",
    ]


def test_each_descriptor_is_looked_at_whatever_the_others_are(tmp_path: Path) -> None:
    found = faults(tmp_path, "input: {stdin: {}}\n", a="name: A", twin=GOOD, z="type: [")
    assert found[0] == "a.plugin.yaml:1: command: got nothing, want a value"
    assert found[1].startswith("a.plugin.yaml:1: type: got nothing")
    assert found[2].startswith("a.plugin.yaml:1: name: got string 'A'")
    assert found[3].startswith("twin.plugin.yaml: name: got 'good', the name in good.plugin.yaml")
    assert found[4].startswith("z.plugin.yaml:1: got no YAML")
    assert found[5:] == ["p.yaml:1: output: got nothing, want a value"]


def test_each_field_of_a_configuration_is_looked_at(tmp_path: Path) -> None:
    descriptor = """name: many
command: [x]
type: output
fields:
  - {name: n, type: int}
  - {name: hosts, type: string, kind: list}
  - {name: sizes, type: int, kind: map}
  - {name: must, type: bool}
"""
    pipeline = """input: {stdin: {}}
output:
  many:
    m: 1
    n: x
    hosts:
      - 1
      - good
      - 2
    sizes: {a: 1, b: b}
pipeline: {processors: [good: {}]}
"""
    starts = [fault.partition(", want")[0] for fault in faults(tmp_path, pipeline, many=descriptor)]
    assert starts == [
        "p.yaml:4: output.many.m: got an unknown key",
        "p.yaml:4: output.many.must: got nothing",
        "p.yaml:5: output.many.n: got string 'x'",
        "p.yaml:7: output.many.hosts[0]: got int 1",
        "p.yaml:9: output.many.hosts[2]: got int 2",
        "p.yaml:10: output.many.sizes.b: got string 'b'",
        "p.yaml:11: pipeline.processors[0].good.n: got nothing",
    ]


@pytest.mark.parametrize(
    ("end", "settings", "starts"),
    [
        (
            "input",
            "{label: 7, file: {pth: [x], paths: ['', ok, 3], scanner: {lines: {max_buffer_size: 0, omit_empty: 1}},"
            " auto_replay_nacks: maybe}}",
            [
                "label: got int 7",
                "file.pth: got an unknown key",
                "file.paths[0]: got string ''",
                "file.paths[2]: got int 3",
                "file.scanner.lines.max_buffer_size: got int 0",
                "file.scanner.lines.omit_empty: got int 1",
                "file.auto_replay_nacks: got string 'maybe'",
            ],
        ),
        ("input", "{file: {scanner: {csv: {}}}}", ["file.paths: got nothing", "file.scanner.csv: got an unknown"]),
        (
            "input",
            "{stdin: {scanner: {lines: {custom_delimiter: 1}}, auto_replay_nacks: 0}}",
            ["stdin.scanner.lines.custom_delimiter: got int 1", "stdin.auto_replay_nacks: got int 0"],
        ),
        (
            "input",
            "{generate: {interval: soon, count: -1, batch_size: 0}}",
            [
                "generate.mapping: got nothing",
                "generate.interval: got string 'soon'",
                "generate.count: got int -1",
                "generate.batch_size: got int 0",
            ],
        ),
        (
            "input",
            "{batched: {child: {stdin: {auto_replay_nacks: 0}}, policy: {count: -1, byte_size: x, period: 1}}}",
            [
                "batched.child.stdin.auto_replay_nacks: got int 0",
                "batched.policy.count: got int -1",
                "batched.policy.byte_size: got string 'x'",
                "batched.policy.period: got int 1",
            ],
        ),
        ("input", "{batched: {policy: {}}}", ["batched.child: got nothing", "batched.policy: got no limit"]),
        ("input", "{label: 7, stdin: {}, file: {}}", ["label: got int 7", "file and stdin"]),
        ("output", "{file: {codec: zip}}", ["file.path: got nothing", "file.codec: got string 'zip'"]),
        ("output", "{stdout: {codec: 1, x: 2}}", ["stdout.x: got an unknown key", "stdout.codec: got int 1"]),
        ("output", "{drop: {a: 1, b: 2}}", ["drop.a: got an unknown key", "drop.b: got an unknown key"]),
    ],
)
def test_each_setting_of_a_built_in_component_is_looked_at(
    tmp_path: Path, end: str, settings: str, starts: list[str]
) -> None:
    ends = {"input": "{stdin: {}}", "output": "{drop: {}}"} | {end: settings}
    found = faults(tmp_path, f"input: {ends['input']}\noutput: {ends['output']}\n")
    assert len(found) == len(starts)
    for fault, start in zip(found, starts, strict=True):
        assert start in fault


def test_each_field_of_a_descriptor_is_looked_at(tmp_path: Path) -> None:
    descriptor = """nam: x
command: []
type: inputt
fields:
  - {name: a, type: text, default: 1, advanced: perhaps}
  - {name: b, type: int, default: x}
  - {kind: set}
  - {name: b}
"""
    (tmp_path / "plugin.yaml").write_text(descriptor)
    found = [str(fault).removeprefix(f"{tmp_path}/") for fault in lint([], [str(tmp_path / "plugin.yaml")], {})]
    assert [fault.partition(", want")[0] for fault in found] == [
        "plugin.yaml:1: nam: got an unknown key",
        "plugin.yaml:1: name: got nothing",
        "plugin.yaml:2: command: got an empty list",
        "plugin.yaml:3: type: got string 'inputt'",
        "plugin.yaml:5: fields[0].type: got string 'text'",
        "plugin.yaml:5: fields[0].advanced: got string 'perhaps'",
        "plugin.yaml:6: fields[1].default: got string 'x'",
        "plugin.yaml:7: fields[2].name: got nothing",
        "plugin.yaml:7: fields[2].kind: got string 'set'",
    ]


def test_each_label_is_looked_at(tmp_path: Path) -> None:
    found = faults(tmp_path, "input: {label: a, stdin: {}}\noutput: {label: a, drop: {x: 1}}\n")
    assert "output.label: got 'a', the label in line 1" in found[0]
    assert "output.drop.x: got an unknown key" in found[1]
    (fault,) = faults(tmp_path, 'input: {stdin: {}}\noutput: {label: "A B", drop: {}}\n')
    assert "output.label: got string 'A B'" in fault


@pytest.mark.parametrize("text", ["", "- 1", "a: [", "input: ${NOT_SET}"])
def test_what_is_no_pipeline_at_all_is_one_fault(tmp_path: Path, text: str) -> None:
    assert len(faults(tmp_path, text)) == 1


def test_what_cannot_be_read_is_a_fault(tmp_path: Path) -> None:
    found = [str(fault) for fault in lint([str(tmp_path / "no")], [str(tmp_path / "*.yaml")], {})]
    assert found[0].startswith("no plugin descriptor matches")
    assert found[1].startswith("cannot read the pipeline file")
    assert lint([], [str(tmp_path / "*.yaml")], {}, optional=True) == []
