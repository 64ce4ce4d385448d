"""A descriptor that does not say what its plugin says is refused, with the place where they differ."""

import enum
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest

from goplugin import batch
from goplugin.batch import BadFile, Config, Message, check_descriptor
from goplugin.handshake import MachineFault, Misuse


class Level(enum.Enum):
    LOW = "low"


@dataclass
class Settings:
    url: str
    ratio: float = 0.5
    mode: Literal["a", "b"] = "a"
    level: Level = Level.LOW
    tags: list[str] = field(default_factory=list[str])
    ports: dict[str, int] | None = None
    any: Any = None


@batch.processor
def step(message: Message, config: Settings) -> Message:
    return message


FIELDS = {
    "url": "{type: string}",
    "ratio": "{type: int, default: 1}",
    "mode": "{type: string, default: b}",
    "level": "{type: string, default: low}",
    "tags": "{type: string, kind: list, default: []}",
    "ports": "{type: int, kind: map, default: {}}",
    "any": "{default: 1}",
}


def written(directory: Path, kind: str = "processor", **changed: str) -> Path:
    lines = [f"name: step\ncommand: [x]\ntype: {kind}\nfields:"]
    for name, text in (FIELDS | changed).items():
        if text:
            lines.append(f"  - {{name: {name}, " + text[1:])
    path = directory / "plugin.yaml"
    path.write_text("\n".join(lines))
    return path


def test_a_descriptor_that_agrees_is_taken(tmp_path: Path) -> None:
    check_descriptor(step, written(tmp_path))
    check_descriptor(step, str(written(tmp_path, ratio="{type: float, default: 0.1}")))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"kind": "output"}, "type: got output, want processor, as step"),
        ({"tags": ""}, "fields: got none called 'tags', want all of Settings"),
        ({"more": "{default: 1}"}, "fields.more: got an unknown field, want one of url, ratio"),
        ({"url": "{type: int}"}, "fields.url: got integer, want a string"),
        ({"tags": "{type: string, default: a}"}, "fields.tags: got string, want a list"),
        ({"tags": "{type: int, kind: list, default: []}"}, "fields.tags: got list, want a list"),
        ({"ports": "{type: string, kind: map, default: {}}"}, "fields.ports: got map, want a map or null"),
        ({"mode": "{type: string, default: c}"}, "fields.mode.default: got the string \"c\", want one of 'a', 'b'"),
        ({"mode": "{type: int, default: 1}"}, "fields.mode: got integer, want one of 'a', 'b'"),
        ({"level": "{type: string, default: high}"}, "fields.level.default: got the string"),
    ],
)
def test_a_difference_is_named(tmp_path: Path, changed: dict[str, str], message: str) -> None:
    with pytest.raises(BadFile) as caught:
        check_descriptor(step, written(tmp_path, **changed))
    assert message in str(caught.value)


def test_a_field_that_is_a_dataclass_itself_is_a_map(tmp_path: Path) -> None:
    @dataclass
    class Nested:
        batching: batch.BatchPolicy
        other: batch.BatchPolicy | None = None

    @batch.output
    def sink(message: Message, config: Nested) -> None: ...

    def check(batching: str) -> None:
        fields = dict.fromkeys(FIELDS, "") | {"batching": batching, "other": "{kind: map, default: {count: 1}}"}
        check_descriptor(sink, written(tmp_path, "output", **fields))

    check("{kind: map}")
    for wrong, got in (("{type: string}", "string"), ("{kind: list}", "list")):
        with pytest.raises(BadFile, match=f"fields.batching: got {got}, want a map"):
            check(wrong)


def test_without_a_dataclass_there_is_nothing_to_compare_but_the_kind(tmp_path: Path) -> None:
    @batch.processor
    def plain(message: Message, config: Config) -> Message:
        return message

    check_descriptor(plain, written(tmp_path))


def test_what_is_no_plugin_or_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Misuse):
        check_descriptor(7, written(tmp_path))
    with pytest.raises(MachineFault):
        check_descriptor(step, tmp_path / "none.yaml")
