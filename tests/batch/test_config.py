"""A configuration becomes its dataclass, or an error names the field, what it got and what it wanted."""

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

import pytest

from goplugin.batch import BadConfig, Value
from goplugin.batch._config import is_dataclass, read_config
from goplugin.handshake import Misuse


class Level(enum.Enum):
    LOW = "low"
    HIGH = "high"


@dataclass
class Inner:
    port: int
    host: str = "localhost"


@dataclass(frozen=True)
class Everything:
    text: str
    count: int = 1
    ratio: float = 0.5
    on: bool = False
    raw: bytes = b""
    when: datetime | None = None
    names: list[str] = field(default_factory=list[str])
    ports: Mapping[str, int] = field(default_factory=dict[str, int])
    mode: Literal["a", "b"] = "a"
    level: Level = Level.LOW
    inner: Inner | None = None
    many: Sequence[Inner] = ()
    either: int | str = 0
    any: Any = None
    made: int = field(default=0, init=False)


def test_a_missing_field_has_its_default_and_a_given_one_its_value() -> None:
    assert read_config(Everything, {"text": "x"}) == Everything("x")
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    values: dict[str, Value] = {
        "text": "x", "count": 2, "ratio": 3, "on": True, "raw": b"y", "when": moment, "names": ["a"],
        "ports": {"http": 80}, "mode": "b", "level": "high", "inner": {"port": 1}, "many": [{"port": 2, "host": "h"}],
        "either": "s", "any": {"k": [1]},
    }  # fmt: skip
    found = read_config(Everything, values)
    assert found == Everything(
        "x",
        2,
        3.0,
        True,
        b"y",
        moment,
        ["a"],
        {"http": 80},
        "b",
        Level.HIGH,
        Inner(1),
        [Inner(2, "h")],
        "s",
        {"k": [1]},
    )
    assert type(found.ratio) is float


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "text: got nothing, want a string"),
        ({"text": 7}, "text: got int 7, want a string"),
        ({"text": "x", "count": "7"}, 'count: got the string "7", want an integer'),
        ({"text": "x", "count": True}, "count: got bool True, want an integer"),
        ({"text": "x", "count": 1.0}, "count: got float 1.0, want an integer"),
        ({"text": "x", "ratio": True}, "ratio: got bool True, want a number"),
        ({"text": "x", "on": 1}, "on: got int 1, want true or false"),
        ({"text": "x", "when": "today"}, 'when: got the string "today", want a timestamp or null'),
        ({"text": "x", "names": "a"}, 'names: got the string "a", want a list'),
        ({"text": "x", "names": ["a", 1]}, "names[1]: got int 1, want a string"),
        ({"text": "x", "ports": {"http": None}}, "ports.http: got null, want an integer"),
        ({"text": "x", "ports": []}, "ports: got a list, want a map"),
        ({"text": "x", "mode": "c"}, "mode: got the string \"c\", want one of 'a', 'b'"),
        ({"text": "x", "level": "mid"}, "level: got the string \"mid\", want one of 'low', 'high'"),
        ({"text": "x", "inner": {}}, "inner.port: got nothing, want an integer"),
        ({"text": "x", "inner": 7}, "inner: got int 7, want a map or null"),
        ({"text": "x", "many": [{"port": 1}, {"port": "2"}]}, 'many[1].port: got the string "2", want an integer'),
        ({"text": "x", "either": 1.5}, "either: got float 1.5, want an integer or a string"),
        ({"text": "x", "txet": "y"}, "txet: got an unknown field, want one of text, count"),
        ({"text": "x", "made": 1}, "made: got an unknown field"),
        ({"text": "x", "inner": {"port": 1, "prot": 2}}, "inner.prot: got an unknown field, want one of port, host"),
    ],
)
def test_an_error_names_the_field_what_it_got_and_what_it_wanted(values: dict[str, Value], message: str) -> None:
    with pytest.raises(BadConfig) as caught:
        read_config(Everything, values)
    assert str(caught.value).startswith(message)
    assert caught.value.field == message.partition(":")[0]


def test_a_dataclass_may_refuse_what_does_not_go_together() -> None:
    @dataclass
    class Range:
        low: int
        high: int

        def __post_init__(self) -> None:
            if self.low > self.high:
                raise ValueError("low below high")

    @dataclass
    class Outer:
        within: Range | None

    values: dict[str, Value] = {"low": 2, "high": 1}
    with pytest.raises(BadConfig, match="the configuration: got values that do not go together, want low below high"):
        read_config(Range, values)
    with pytest.raises(BadConfig, match="within: got values that do not go together, want low below high"):
        read_config(Outer, {"within": values})


def test_a_field_of_a_type_that_no_configuration_has_is_the_authors_mistake() -> None:
    @dataclass
    class Odd:
        names: set[str]

    with pytest.raises(Misuse, match=r"names is of type set\[str\], which no configuration can have"):
        read_config(Odd, {"names": []})


def test_a_dataclass_without_fields_takes_nothing() -> None:
    @dataclass
    class Empty: ...

    assert is_dataclass(Empty)
    assert not is_dataclass(Empty())
    assert not is_dataclass(dict[str, int])
    with pytest.raises(BadConfig, match="a: got an unknown field, want no fields at all"):
        read_config(Empty, {"a": 1})
