"""Values cross the wire and come back equal; what cannot cross is refused with its path."""

import enum
from datetime import UTC, datetime, timedelta, timezone
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goplugin.batch import BadValue, Value
from goplugin.batch._value import DEPTH_MAX, read_fields, read_value, write_fields, write_value
from goplugin.proto import redpanda

LEAVES: st.SearchStrategy[Value] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.text(),
    st.binary(),
    st.datetimes(timezones=st.just(UTC)),
)
VALUES: st.SearchStrategy[Value] = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4), max_leaves=20
)


def over_the_wire(value: Value) -> Value:
    sent = redpanda.Value()
    write_value(sent, value)
    return read_value(redpanda.Value.FromString(sent.SerializeToString()))


def typed(value: Value) -> object:
    """Return what tells True from 1 and 1 from 1.0, at every level."""
    if isinstance(value, dict):
        return {key: typed(item) for key, item in value.items()}
    if isinstance(value, list):
        return [typed(item) for item in value]
    return type(value), value


@given(VALUES)
def test_a_value_comes_back_equal_and_of_the_same_type(value: Value) -> None:
    assert typed(over_the_wire(value)) == typed(value)


@given(st.dictionaries(st.text(), VALUES, max_size=5))
def test_fields_come_back_equal(fields: dict[str, Value]) -> None:
    sent = redpanda.StructValue()
    write_fields(sent, fields)
    assert read_fields(redpanda.StructValue.FromString(sent.SerializeToString())) == fields


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (None, "null_value"), (True, "bool_value"), (0, "integer_value"), (0.0, "double_value"), ("", "string_value"),
        (b"", "bytes_value"), ({}, "struct_value"), ([], "list_value"),
        (datetime(1970, 1, 1, tzinfo=UTC), "timestamp_value"),
    ],
)  # fmt: skip
def test_an_empty_value_keeps_its_kind(value: Value, kind: str) -> None:
    sent = redpanda.Value()
    write_value(sent, value)
    assert redpanda.Value.FromString(sent.SerializeToString()).WhichOneof("kind") == kind


def test_nan_and_the_infinities_cross() -> None:
    assert repr(over_the_wire([float("nan"), float("inf"), float("-inf"), -0.0])) == "[nan, inf, -inf, -0.0]"


def test_a_time_in_any_zone_goes_out_as_the_same_instant() -> None:
    there = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=timezone(timedelta(hours=-7, minutes=-30)))
    back = over_the_wire(there)
    assert back == there
    assert isinstance(back, datetime)
    assert back.tzinfo is UTC


def test_nanoseconds_below_a_microsecond_are_cut_off() -> None:
    sent = redpanda.Value()
    sent.timestamp_value.seconds, sent.timestamp_value.nanos = -1, 999_999_999
    assert read_value(sent) == datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)


class Colour(enum.IntEnum):
    RED = 7


def test_a_subclass_goes_out_as_its_base() -> None:
    assert over_the_wire(Colour.RED) == 7


class Ordered(dict[str, Value]):
    pass


@pytest.mark.parametrize(
    ("value", "path", "got"),
    [
        (2**63, (), "an integer of 64 bits"),
        (-(2**63) - 1, (), "an integer of 64 bits"),
        ({"a": [1, {"b c": 10**5000}]}, ("a", 1, "b c"), "an integer of 16610 bits"),
        ([datetime(2026, 1, 1)], (0,), "the naive datetime 2026-01-01T00:00:00"),  # noqa: DTZ001
        (Ordered(x=cast("Value", object())), ("x",), "a object"),
        ({"x": cast("Value", (1, 2))}, ("x",), "a tuple"),
        (["\ud800"], (0,), "a str with a lone surrogate"),
        ({"x": cast("Value", {1: 2})}, ("x",), "a key of type int"),
        ({"\ud800": 1}, (), "the key '\\ud800', which is not Unicode text"),
    ],
)
def test_what_cannot_cross_is_refused_with_its_path(value: Value, path: tuple[str | int, ...], got: str) -> None:
    with pytest.raises(BadValue) as caught:
        write_value(redpanda.Value(), value)
    assert (caught.value.path, caught.value.got) == (path, got)


def test_the_message_of_an_error_spells_the_path_as_people_do() -> None:
    with pytest.raises(BadValue) as caught:
        write_value(redpanda.Value(), {"a": [1, {"b c": 2**64}]})
    text = 'a[1]."b c": got an integer of 65 bits, want an integer from -2**63 to 2**63 - 1'
    assert str(caught.value) == text


def nested(levels: int, *, in_lists: bool) -> Value:
    value: Value = 1
    for _ in range(levels):
        value = [value] if in_lists else {"k": value}
    return value


@pytest.mark.parametrize("in_lists", [True, False])
def test_the_deepest_value_allowed_still_parses_inside_a_request_and_inside_metadata(in_lists: bool) -> None:
    deepest = nested(DEPTH_MAX, in_lists=in_lists)
    request = redpanda.BatchProcessorProcessBatchRequest()
    message = request.batch.messages.add()
    write_value(message.structured, deepest)
    write_fields(message.metadata, {"deep": deepest})
    parsed = redpanda.BatchProcessorProcessBatchRequest.FromString(request.SerializeToString()).batch.messages[0]
    assert read_value(parsed.structured) == deepest
    assert read_fields(parsed.metadata) == {"deep": deepest}


@pytest.mark.parametrize("in_lists", [True, False])
def test_a_deeper_value_is_refused_here_rather_than_by_the_other_sides_parser(in_lists: bool) -> None:
    with pytest.raises(BadValue, match=f"{DEPTH_MAX + 1} levels deep") as caught:
        write_value(redpanda.Value(), nested(DEPTH_MAX + 1, in_lists=in_lists))
    assert len(caught.value.path) == DEPTH_MAX


def test_a_value_that_holds_itself_is_refused() -> None:
    loop: list[Value] = []
    loop.append(loop)
    with pytest.raises(BadValue, match="levels deep"):
        write_value(redpanda.Value(), loop)


def test_a_kind_that_this_version_does_not_know_is_refused_with_its_path() -> None:
    sent = redpanda.Value()
    sent.struct_value.fields["a"].list_value.values.add()
    with pytest.raises(BadValue) as caught:
        read_value(sent)
    assert caught.value.path == ("a", 0)


@pytest.mark.parametrize("seconds", [2**62, -(2**62), 253402300800])
def test_a_timestamp_that_python_cannot_hold_is_refused(seconds: int) -> None:
    sent = redpanda.Value()
    sent.timestamp_value.seconds = seconds
    with pytest.raises(BadValue, match="years 1 to 9999"):
        read_value(sent)
