"""A fuzz target for plugin.yaml: any text is a descriptor, or is refused with one line that says where and why."""

import os

from fuzzing import fuzz, spelled

from goplugin.batch._descriptor import Descriptor, parse_descriptor
from goplugin.batch._document import Located, locate, parse_document
from goplugin.batch._errors import BadFile
from goplugin.batch._value import Value

WORDS = (
    b"name: shout\n", b"type: processor\n", b"command: [python3, p.py]\n", b"fields:\n", b"  - name: f\n",
    b"    type: ", b"    kind: ", b"    default: ", b"string\n", b"int\n", b"float\n", b"bool\n", b"unknown\n",
    b"list\n", b"map\n", b"scalar\n", b"cwd: ..\n", b"summary: |\n  s\n", b"&a ", b"*a ", b"<<: ", b"!!python/none ",
    b"!!binary ", b"!!int ", b"!t ", b"{", b"}", b"[" * 20, b"]", b": ", b"- ", b"? ", b"---\n", b"...\n",
    b"%YAML 1.1\n", b"~", b"yes", b"0o7", b"1_0", b".nan", b"2001-01-01", b"9" * 400, b"\xc3\xa9", b"\xef\xbb\xbf",
    b"\x00", b"\t", b"\n", b"# ", b"'", b'"', b"\\x0a", b"advanced: true\n",
    b"name: s\ntype: input\ncommand: [p]\nfields:\n  - name: f\n    default: ",
)  # fmt: skip
CONFIGS: tuple[Value, ...] = ({}, {"f": 1}, {"f": ["a"]}, {"f": {"k": None}}, {"g": "x"})


def refused(error: BadFile) -> None:
    """Hold an error to what a person needs of it."""
    assert str(error).startswith("plugin.yaml") or str(error).startswith("pipeline.yaml")
    assert error.got
    assert error.want


def walk(found: Located) -> None:
    """Read a document in each way that there is."""
    for read in (found.string, found.boolean, found.number, found.value, found.mapping, found.items, found.is_null):
        try:
            read()
        except BadFile as error:
            refused(error)


def one_input(data: bytes) -> None:
    """Parse one file; an AssertionError, or any error but ``BadFile``, is a finding."""
    text = spelled(data, WORDS).decode("utf-8", "replace")
    try:
        walk(parse_document(text, "plugin.yaml"))
    except BadFile as error:
        refused(error)
    try:
        descriptor = parse_descriptor(text, "plugin.yaml")
    except BadFile as error:
        refused(error)
        return
    assert isinstance(descriptor, Descriptor)
    assert descriptor.command
    assert os.path.isabs(descriptor.cwd)
    for config in CONFIGS:
        try:
            read = descriptor.config(locate(config, "pipeline.yaml"))
        except BadFile as error:
            refused(error)
        else:
            assert set(read) == {field.name for field in descriptor.fields}


if __name__ == "__main__":
    fuzz(one_input)
