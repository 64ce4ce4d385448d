"""`goplugin new`: writes a plugin that runs at once, with its descriptor, a pipeline, a test and a README."""

import builtins
import keyword
import os
import re
import sys
from enum import StrEnum
from importlib.metadata import packages_distributions
from typing import Annotated, NoReturn

import typer

from ..batch import host
from ._standard import lost

_CODE = {
    "processor": '''"""A processor: it gets one message at a time."""

from goplugin import batch


@batch.processor
def {name}(message: batch.Message, config: batch.Config) -> batch.Message:
    """Return the message in upper case, with the suffix that plugin.yaml describes."""
    message.text = message.text.upper() + str(config["suffix"])
    return message


if __name__ == "__main__":
    batch.serve({name})
''',
    "input": '''"""An input: it gives one message after the other."""

from collections.abc import Iterator

from goplugin import batch


@batch.input
def {name}(config: batch.Config) -> Iterator[batch.Message]:
    """Give the numbers from 1 to the count that plugin.yaml describes."""
    for number in range(1, int(str(config["count"])) + 1):
        yield batch.Message(b"%d" % number)


if __name__ == "__main__":
    batch.serve({name})
''',
    "output": '''"""An output: it gets one message at a time, and has delivered it once it returns."""

from goplugin import batch


@batch.output
def {name}(message: batch.Message, config: batch.Config) -> None:
    """Append the message, as a line, to the file that plugin.yaml describes."""
    with open(str(config["path"]), "ab") as lines:
        lines.write(message.payload + b"\\n")


if __name__ == "__main__":
    batch.serve({name})
''',
}
_FIELDS = {
    "processor": """  - name: suffix
    description: What each message ends with
    type: string
    default: "!"
""",
    "input": """  - name: count
    description: How many numbers to give
    type: int
    default: 3
""",
    "output": """  - name: path
    description: The file to append to
    type: string
    default: out.txt
""",
}
_DESCRIPTOR = """name: {name}
summary: {summary}
command: ["python3", "{name}.py"]
type: {kind}
fields:
{fields}"""
_SUMMARY = {
    "processor": "Upper case, and a suffix to each message",
    "input": "The numbers from 1",
    "output": "Lines of a file",
}
_GENERATE = """input:
  generate:
    mapping: root = "hello"
    interval: ""
    count: 3
"""
_PIPELINE = {
    "processor": _GENERATE + "\npipeline:\n  processors:\n    - {name}: {{}}\n\noutput:\n  stdout: {{}}\n",
    "input": "input:\n  {name}: {{}}\n\noutput:\n  stdout: {{}}\n",
    "output": _GENERATE + "\noutput:\n  {name}: {{}}\n",
}
_TEST = {
    "processor": '''"""Run it with: python3 -m pytest"""

from {name} import {name}

from goplugin import batch


def test_a_message_becomes_upper_case_with_the_suffix() -> None:
    assert {name}(batch.Message(b"hello"), {{"suffix": "?"}}) == batch.Message(b"HELLO?")
''',
    "input": '''"""Run it with: python3 -m pytest"""

from {name} import {name}


def test_it_counts() -> None:
    assert [message.payload for message in {name}({{"count": 2}})] == [b"1", b"2"]
''',
    "output": '''"""Run it with: python3 -m pytest"""

from pathlib import Path

from {name} import {name}

from goplugin import batch


def test_a_message_becomes_a_line(tmp_path: Path) -> None:
    {name}(batch.Message(b"hello"), {{"path": str(tmp_path / "out")}})
    assert (tmp_path / "out").read_bytes() == b"hello\\n"
''',
}
_README = """# {name}

A batch {kind} for goplugin and Redpanda Connect.

```console
$ goplugin run pipeline.yaml    # runs it
$ goplugin lint pipeline.yaml   # looks for what is wrong with the files
$ python3 -m pytest             # tests it, once pytest is installed
```

| file | is |
|---|---|
| `{name}.py` | the plugin |
| `plugin.yaml` | its name, how it is started, and the fields of its configuration |
| `pipeline.yaml` | a pipeline to try it with |
| `test_{name}.py` | its test |

Redpanda Connect loads the same `plugin.yaml`: `redpanda-connect run --rpc-plugins=plugin.yaml pipeline.yaml`, with
`python3` being one that goplugin is installed for.
"""
_USED = {"batch", "goplugin", "pytest", "tmp_path"}  # in the files above


class Kind(StrEnum):
    """What to write."""

    PROCESSOR = "processor"
    INPUT = "input"
    OUTPUT = "output"


def new(
    kind: Annotated[Kind, typer.Argument(help="What the plugin is.")],
    directory: Annotated[str, typer.Argument(metavar="DIR", help="Where to write it; made if it is not there.")],
) -> None:
    """Write a plugin that runs at once: the plugin, its plugin.yaml, a pipeline, a test and a README.

    The plugin is named for the directory. No file that is there is touched: then nothing is written, and the end is 2.
    """
    name = _name(directory, kind)
    files = {
        f"{name}.py": _CODE[kind.value],
        "plugin.yaml": _DESCRIPTOR,
        "pipeline.yaml": _PIPELINE[kind.value],
        f"test_{name}.py": _TEST[kind.value],
        "README.md": _README,
    }
    there = [file for file in files if os.path.lexists(os.path.join(directory, file))]
    if there:
        _refuse(f"{directory} has these already: {', '.join(there)}")
    words = {
        "name": name,
        "kind": kind.value,
        "summary": _SUMMARY[kind.value],
        "fields": _FIELDS[kind.value],
    }
    try:
        os.makedirs(directory, exist_ok=True)
        for file, text in files.items():
            with open(os.path.join(directory, file), "x", encoding="utf-8") as stream:
                stream.write(text.format(**words))
    except OSError as error:
        _refuse(f"cannot write {error.filename}: {error.strerror}", code=1)
    article = "a" if kind.value == "processor" else "an"
    typer.echo(
        f"{directory} has {article} {kind.value} named {name}. Try it: cd {directory} && goplugin run pipeline.yaml"
    )
    if (fault := lost()) is not None:
        typer.echo(f"warning: cannot write to standard output: {fault.strerror}", err=True)


def _name(directory: str, kind: Kind) -> str:
    """Return the name of a plugin in a directory: what both Python and Redpanda Connect accept."""
    base = os.path.basename(os.path.abspath(directory)).lower()
    name = re.sub(r"[^a-z0-9]+", "_", base).strip("_")
    if (why := _objection(name, kind)) is not None:
        _refuse(f"{base!r} is no name for a plugin: {why}")
    return name


def _objection(name: str, kind: Kind) -> str | None:
    """Return why a plugin, which is a function and a module of its name, cannot have it; None if it can."""
    if not name[:1].isalpha():
        return "want a letter first"
    if name in _USED:
        return "what is written uses that name for something else"
    if keyword.iskeyword(name) or name in sys.stdlib_module_names or hasattr(builtins, name):
        return "Python has a word, a function or a module that is called so"
    # A program's own directory comes first on its path: google.py there, and protobuf is not found.
    if name in packages_distributions():
        return "a module of that name is installed, and the plugin would hide it"
    if name.startswith("test"):
        return "pytest would take it for a test"
    if name in host.BUILT_IN[host.Kind(kind.value)]:
        return f"an {kind.value} of that name is built in"
    return None


def _refuse(what: str, code: int = 2) -> NoReturn:
    typer.echo(f"error: {what}", err=True)
    raise typer.Exit(code)
