"""The committed modules are what the generator makes of the definitions, byte for byte."""

from pathlib import Path

import pytest

from goplugin.proto import generate

ROOM = Path(__file__).parents[2] / "proto"


def contents(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.glob("*_pb2.py*")}


def test_generating_again_changes_nothing(tmp_path: Path) -> None:
    generate.main(["--into", str(tmp_path)])
    assert contents(tmp_path) == contents(ROOM / "_generated")


def test_every_definition_has_a_module_and_its_types() -> None:
    sources = [path.relative_to(ROOM / "definitions") for path in (ROOM / "definitions").rglob("*.proto")]
    stems = {"_".join(source.with_suffix("").parts) for source in sources}
    assert stems
    assert set(contents(ROOM / "_generated")) == {f"{s}_pb2.{end}" for s in stems for end in ("py", "pyi")}


def test_a_module_whose_definition_is_gone_goes_too(tmp_path: Path) -> None:
    (tmp_path / "gone_pb2.py").touch()
    generate.main(["--into", str(tmp_path)])
    assert not (tmp_path / "gone_pb2.py").exists()


def test_output_that_would_register_elsewhere_is_refused() -> None:
    with pytest.raises(ValueError, match="0 places"):
        generate.code("DESCRIPTOR = some_other_way_to_register(b'')\n")


def test_a_field_called_bytes_hides_no_type() -> None:
    text = "class Message:\n    bytes: bytes\n    def __init__(self, bytes: _Optional[bytes] = ...) -> None: ...\n"
    assert "    bytes: _builtins.bytes\n    def __init__(self, bytes: _Optional[_builtins.bytes]" in generate.types(
        text
    )
