"""Records behave as the frozen dataclasses that they replace."""

import copy
import pickle
from typing import Any

import pytest

from goplugin.handshake._record import record


@record()
class Point:
    x: int
    y: int = 0


@record(kw_only=False)
class Positive:
    number: int

    def __post_init__(self) -> None:
        if self.number < 1:
            raise ValueError(f"not positive: {self.number}")

    def __str__(self) -> str:
        return "positive"


anything: Any = Point
positional: Any = Positive


def test_a_record_has_its_fields_and_their_defaults() -> None:
    point = Point(x=1)
    assert (point.x, point.y) == (1, 0)
    assert repr(point) == "Point(x=1, y=0)"
    match Positive(3):
        case Positive(number):
            assert number == 3


def test_records_are_equal_by_class_and_value_and_hash_alike() -> None:
    assert Point(x=1, y=0) == Point(x=1)
    assert Point(x=1) != Point(x=2)
    one: object = Positive(1)
    assert one != Point(x=1)
    assert len({Point(x=1), Point(y=0, x=1), Point(x=2)}) == 2


def test_a_record_cannot_be_changed() -> None:
    point: Any = Point(x=1)
    with pytest.raises(AttributeError, match="Point is frozen: x cannot be set"):
        point.x = 2
    with pytest.raises(AttributeError, match="Point is frozen: y cannot be deleted"):
        del point.y
    with pytest.raises(AttributeError, match="frozen"):
        point.z = 3
    assert point == Point(x=1)


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda: anything(), "Point needs x"),
        (lambda: anything(x=1, z=2), r"Point takes x, y: got 0 values and \['x', 'z'\]"),
        (lambda: anything(1), "Point takes its fields by name: x=, y="),
        (lambda: positional(1, 2), r"Positive takes number: got 2 values and \[\]"),
        (lambda: positional(1, number=2), r"Positive takes number: got 1 values and \['number'\]"),
    ],
)
def test_a_record_takes_its_fields_and_nothing_else(make: Any, complaint: str) -> None:
    with pytest.raises(TypeError, match=complaint):
        make()


def test_a_class_may_judge_its_fields_and_bring_methods_of_its_own() -> None:
    with pytest.raises(ValueError, match="not positive: 0"):
        Positive(0)
    assert str(Positive(1)) == "positive"


def test_a_record_survives_copying_and_pickling() -> None:
    point = Point(x=1, y=2)
    assert copy.deepcopy(point) == pickle.loads(pickle.dumps(point)) == point
