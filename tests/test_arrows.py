"""The house: each room imports only the rooms below it, and the contract looks at nothing."""

import ast
import importlib.util
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MAY_IMPORT = {
    "handshake": set[str](),
    "proto": set[str](),
    "transport": {"handshake", "proto"},
    "hostlib": {"handshake", "proto", "transport"},
    "pluginlib": {"handshake", "proto", "transport"},
    "batch": {"handshake", "proto", "transport", "hostlib", "pluginlib"},
    "cli": {"handshake", "proto", "transport", "hostlib", "pluginlib", "batch"},
}
PURE = {"base64", "binascii", "collections", "dataclasses", "enum", "json", "re", "typing"}


def modules(room: str) -> list[Path]:
    return [path for path in sorted((ROOT / room).rglob("*.py")) if path.name != "generate.py"]


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Yield each import of a file as (leading dots, dotted name), wherever in the file it stands."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((0, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is None:
            yield from ((node.level, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.level, node.module or ""


def rooms_that(path: Path) -> set[str]:
    """Return the other rooms that a file imports, by whatever spelling."""
    depth = len(path.relative_to(ROOT).parts)
    here = path.relative_to(ROOT).parts[0]
    found = {name.split(".")[0] for dots, name in imports(path) if dots == depth}
    found |= {name.split(".")[1] for dots, name in imports(path) if dots == 0 and name.startswith("goplugin.")}
    found |= {name for dots, name in imports(path) if dots == 0 and name.split(".")[0] in MAY_IMPORT}
    return found - {here}


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_a_room_imports_only_the_rooms_below_it(room: str) -> None:
    assert modules(room)
    wrong = {path.name: extra for path in modules(room) if (extra := rooms_that(path) - MAY_IMPORT[room])}
    assert not wrong


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_rooms_speak_to_each_other_by_relative_imports(room: str) -> None:
    absolute = [
        (path.name, name)
        for path in modules(room)
        for dots, name in imports(path)
        if dots == 0 and name.split(".")[0] == "goplugin"
    ]
    assert not absolute


def test_the_handshake_is_pure() -> None:
    named = {name.split(".")[0] for path in modules("handshake") for dots, name in imports(path) if dots == 0}
    assert named <= PURE


def test_every_room_is_typed_and_installed() -> None:
    setup = (ROOT / "setup.cfg").read_text()
    for room in MAY_IMPORT:
        assert (ROOT / room / "py.typed").exists()
        for package in {path.parent for path in modules(room)}:
            dotted = ".".join(package.relative_to(ROOT).parts)
            assert f"\n    goplugin.{dotted}\n" in setup, f"setup.cfg does not list goplugin.{dotted}"


def test_the_page_about_the_rooms_is_true() -> None:
    spec = importlib.util.spec_from_file_location("rooms", ROOT / "docs" / "rooms.py")
    assert spec
    assert spec.loader
    rooms = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(rooms)
    assert rooms.page() == rooms.PAGE.read_text(), "run: python docs/rooms.py"
    for room in MAY_IMPORT:
        assert f"<!-- modules of {room} -->" in rooms.PAGE.read_text()
