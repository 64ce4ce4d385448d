"""Writes `_generated/` from `definitions/`: run it as `python proto/generate.py` after changing a definition.

protoc's Python is taken as it is but for three things: it registers in the room's private pool, it imports its
neighbours relatively, and all modules lie in one package, named for the path of their definition. Never writes
gRPC stubs: the tables in `plugin.py`, `redpanda.py`, `health.py` and `reflection.py` stand in for them.
"""

import argparse
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

ROOM = Path(__file__).resolve().parent


def generated(definitions: Path) -> dict[str, str]:
    """Return the text of every generated file by its name.

    Raises `subprocess.CalledProcessError` when protoc refuses a definition, and `ValueError` when its output has
    changed so much that a rewriting no longer fits.
    """
    sources = sorted(path.relative_to(definitions).as_posix() for path in definitions.rglob("*.proto"))
    with tempfile.TemporaryDirectory() as out:
        protoc = [sys.executable, "-m", "grpc_tools.protoc", f"-I{definitions}"]
        subprocess.run([*protoc, f"--python_out={out}", f"--pyi_out={out}", *sources], check=True)
        files: dict[str, str] = {}
        for source in sources:
            written = Path(out) / source.removesuffix(".proto")
            files[_module(source) + ".py"] = code(Path(f"{written}_pb2.py").read_text())
            files[_module(source) + ".pyi"] = types(Path(f"{written}_pb2.pyi").read_text())
    return files


def _module(source: str) -> str:
    return source.removesuffix(".proto").replace("/", "_") + "_pb2"


def code(text: str) -> str:
    """Return protoc's module as one of this room's; raises `ValueError` when it does not look as expected."""
    text = _once(
        r"^from google\.protobuf import descriptor_pool as _descriptor_pool$",
        "from .._pool import POOL as _POOL, adopt as _adopt, publish as _publish",
        text,
    )
    text = _once(
        r"^DESCRIPTOR = _descriptor_pool\.Default\(\)\.AddSerializedFile\(",
        "DESCRIPTOR = _POOL.AddSerializedFile(",
        text,
    )
    text = _once(
        r"^_builder\.BuildTopDescriptorsAndMessages\(DESCRIPTOR, '[\w.]+', _globals\)$",
        "_publish(DESCRIPTOR, _globals)",
        text,
    )
    text = re.sub(r"^(from google\.protobuf import \w+_pb2 as (\w+))$", r"\1\n_adopt(\2.DESCRIPTOR)", text, flags=re.M)
    return _neighbours(text)


def types(text: str) -> str:
    """Return protoc's stub file as strict type checkers take it."""
    # protoc writes `bytes: bytes` for a field of that name, which then stands for itself wherever the type is meant.
    if re.search(r"^ +bytes: bytes$", text, flags=re.M):
        text = re.sub(r"(?<=: )bytes$|(?<=\[)bytes(?=\])", "_builtins.bytes", text, flags=re.M)
        text = "import builtins as _builtins\n" + text
    # A bare Mapping is an error to strict type checkers.
    text = re.sub(r"\b_Mapping\]", "_Mapping[str, object]]", text)
    # protoc imports more than it needs, which a strict type checker reports.
    return "# pyright: reportUnusedImport=false\n" + _neighbours(text)


def _neighbours(text: str) -> str:
    def relative(match: re.Match[str]) -> str:
        return f"from . import {match['folder'].replace('.', '_')}_{match['module']} as {match['alias']}"

    return re.sub(
        r"^from (?!google\.)(?P<folder>[\w.]+) import (?P<module>\w+_pb2) as (?P<alias>\w+)$",
        relative,
        text,
        flags=re.M,
    )


def _once(pattern: str, replacement: str, text: str) -> str:
    text, count = re.subn(pattern, replacement, text, flags=re.M)
    if count != 1:
        raise ValueError(f"protoc's output has {count} places that match {pattern!r}, not 1")
    return text


def main(argv: Sequence[str] | None = None) -> None:
    """Replace the generated files in the room, or in the folder that `--into` names."""
    parser = argparse.ArgumentParser(description="Generate the protobuf modules of goplugin.proto.")
    parser.add_argument("--into", type=Path, default=ROOM / "_generated", metavar="FOLDER")
    into: Path = parser.parse_args(argv).into
    files = generated(ROOM / "definitions")
    for old in into.glob("*_pb2.py*"):
        old.unlink()
    for name, text in files.items():
        (into / name).write_text(text)


if __name__ == "__main__":
    main()
