"""A pipeline file is read whole or refused; its processors are the plugins that the descriptors name."""

import pytest

from goplugin.batch import BadFile
from goplugin.batch._components import FileOutput, StdinInput, StdoutOutput
from goplugin.batch._descriptor import parse_descriptor
from goplugin.batch._pipeline import Pipeline, Stage, parse_pipeline

SHOUT = parse_descriptor(
    "name: shout\ncommand: [x]\ntype: processor\nfields: [{name: suffix, type: string, default: '!'}]", "/p/shout.yaml"
)
COUNT = parse_descriptor("name: count\ncommand: [x]\ntype: processor", "/p/count.yaml")
FEED = parse_descriptor("name: feed\ncommand: [x]\ntype: input", "/p/feed.yaml")
DESCRIPTORS = {one.name: one for one in (SHOUT, COUNT, FEED)}


def parsed(text: str) -> Pipeline:
    return parse_pipeline(text, "p.yaml", {"OUT": "there.txt"}, DESCRIPTORS)


def test_a_pipeline_is_read_whole() -> None:
    text = """
input:
  stdin: {}
pipeline:
  threads: 1
  processors:
    - shout: {suffix: "?"}
    - label: again
      shout: {}
    - count:
output:
  file: {path: "${OUT}"}
"""
    assert parsed(text) == Pipeline(
        file="p.yaml",
        input=StdinInput(),
        stages=(
            Stage(name="shout", descriptor=SHOUT, config={"suffix": "?"}),
            Stage(name="again", descriptor=SHOUT, config={"suffix": "!"}),
            Stage(name="count", descriptor=COUNT, config={}),
        ),
        output=FileOutput(path="there.txt"),
    )


@pytest.mark.parametrize("middle", ["", "pipeline: {}\n", "pipeline:\n", "pipeline: {processors: []}\n"])
def test_a_pipeline_needs_no_processors(middle: str) -> None:
    found = parsed(f"input: {{stdin: {{}}}}\n{middle}output: {{stdout: {{}}}}\n")
    assert (found.stages, found.output) == ((), StdoutOutput())


def around(processors: str) -> str:
    return f"input: {{stdin: {{}}}}\noutput: {{stdout: {{}}}}\npipeline:\n  processors: {processors}\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "p.yaml: got an empty file, want a YAML mapping"),
        ("input: {stdin: {}}", "p.yaml:1: output: got nothing, want a value"),
        ("output: {stdout: {}}", "p.yaml:1: input: got nothing, want a value"),
        ("inptu: 1", "p.yaml:1: inptu: got an unknown key, want 'input'? Known: input, output, pipeline"),
        ("input: {stdin: {}}\noutput: {stdout: {}}\nlogger: {}", "p.yaml:3: logger: got an unknown key"),
        ("input: {stdin: {}}\noutput: {file: {path: '${NOPE}'}}", "p.yaml:2: got ${NOPE} which is not set, want a v"),
        ("input: {stdin: {}}\noutput: {stdout: {}}\npipeline: {threads: 0}", "p.yaml:3: pipeline.threads: got int 0, "),
        ("input: {stdin: {}}\noutput: {stdout: {}}\npipeline: {threads: 65}", "pipeline.threads: got int 65, want fr"),
        ("input: {stdin: {}}\noutput: {stdout: {}}\npipeline: {threads: true}", "pipeline.threads: got bool True, w"),
        ("input: {stdin: {}}\noutput: {stdout: {}}\npipeline: {procs: []}", "pipeline.procs: got an unknown key,"),
        (around("{}"), "p.yaml:4: pipeline.processors: got a mapping, want a list"),
        (around("[shuot: {}]"), "pipeline.processors[0].shuot: got an unknown processor, want 'shout'? Known: count, "),
        (around("[{shout: {}, count: {}}]"), "pipeline.processors[0]: got count and shout, want one processor: coun"),
        (around("[shout]"), "pipeline.processors[0]: got string 'shout', want one processor, as a mapping of its na"),
        (around("[feed: {}]"), "pipeline.processors[0].feed: got an unknown processor, want one of count, shout"),
        (around("[shout: {sufix: x}]"), "p.yaml:4: pipeline.processors[0].shout.sufix: got an unknown key, want 'su"),
        (around("[{label: a, count: {}}, {label: a, shout: {}}]"),
         "p.yaml:4: pipeline.processors[1].label: got 'a', the label in line 4, want another label"),
        (around("[{label: a, count: {}}]").replace("stdin", "label: a, stdin"),
         "p.yaml:4: pipeline.processors[0].label: got 'a', the label in line 1, want another label"),
        (around("[&a {label: a, count: {}}, *a]"), "pipeline.processors[1].label: got 'a', the label in line 4"),
        ("input: {batched: {child: {label: a, stdin: {}}, policy: {count: 1}}}\noutput: {label: a, drop: {}}",
         "p.yaml:2: output.label: got 'a', the label in line 1, want another label"),
        (around("[count: {x: 1}]"), "pipeline.processors[0].count.x: got an unknown key, want no key at all"),
        (around("[count: {}, shout: {suffix: 1}]"), "pipeline.processors[1].shout.suffix: got int 1, want a string"),
    ],
)  # fmt: skip
def test_a_wrong_pipeline_names_file_line_field_got_and_want(text: str, message: str) -> None:
    with pytest.raises(BadFile) as caught:
        parsed(text)
    assert message in str(caught.value)
    assert caught.value.file == "p.yaml"


def test_where_no_plugin_is_known_the_error_says_that_no_descriptor_was_found() -> None:
    with pytest.raises(BadFile, match=r"got an unknown processor, want a plugin, but no plugin\.yaml of type"):
        parse_pipeline(around("[shout: {}]"), "p.yaml", {}, {})
