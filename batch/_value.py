"""Values as Python has them and as the wire has them.

| on the wire | in Python |
|---|---|
| null, string, bool, bytes, double | None, str, bool, bytes, float (NaN and the infinities too) |
| int64 | int; one that does not fit is refused, never rounded |
| timestamp | datetime in UTC; any zone goes out, a naive one is refused; below a microsecond is cut off on the way in |
| struct, list | dict with str keys, list |

Nothing here copies a message into another: values are written where they belong.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TypeAlias, cast

from ..proto import redpanda
from ._errors import BadValue

Value: TypeAlias = str | bytes | bool | int | float | datetime | list["Value"] | dict[str, "Value"] | None
"""What metadata, structured payloads and configurations are made of."""

DEPTH_MAX = 30
"""Levels of dict and list in one value.

A level of dict is three messages deep on the wire, and protobuf's parser in Python gives up at 100."""

_KINDS = "null, str, bool, int, float, bytes, datetime, list or dict"
_INT64 = "an integer from -2**63 to 2**63 - 1"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def write_value(target: redpanda.Value, value: Value) -> None:
    """Set ``target``, which must be empty, to ``value``.

    Raises:
        BadValue: ``value`` holds something that the wire cannot; ``target`` may then be half written.
    """
    _write(target, value, DEPTH_MAX)


def read_value(source: redpanda.Value) -> Value:
    """Return the Python value of ``source``, sharing nothing with it.

    Raises:
        BadValue: a kind that this version does not know, or a timestamp outside the years 1 to 9999.
    """
    kind = source.WhichOneof("kind")
    if kind is None:
        raise BadValue(got="no kind that is known here", want=_KINDS)
    return _READERS[kind](source)


def read_fields(source: redpanda.StructValue) -> dict[str, Value]:
    """Return the Python values of a struct.

    Raises:
        BadValue: as `read_value`.
    """
    result: dict[str, Value] = {}
    for key, value in source.fields.items():
        try:
            result[key] = read_value(value)
        except BadValue as error:
            raise error.under(key) from None
    return result


def write_fields(target: redpanda.StructValue, values: dict[str, Value], depth: int = DEPTH_MAX) -> None:
    """Set the fields of ``target``, which must be empty, to ``values``.

    Raises:
        BadValue: as `write_value`.
    """
    fields = target.fields
    for key, value in values.items():
        # A key that is no str gets this far when the types are not checked.
        if not isinstance(cast(object, key), str):
            raise BadValue(got=f"a key of type {type(key).__name__}", want="keys of type str")
        try:
            _write(fields[key], value, depth)
        except BadValue as error:
            raise error.under(key) from None
        except UnicodeEncodeError:
            raise BadValue(got=f"the key {key!r}, which is not Unicode text", want="text") from None


def _write(target: redpanda.Value, value: Value, depth: int) -> None:
    writer = _WRITERS.get(type(value))
    if writer is None:
        # A subclass, such as an IntEnum; the order matters, for a bool is an int.
        writer = next((found for kind, found in _WRITERS.items() if isinstance(value, kind)), _refuse)
    writer(target, value, depth)


def _write_null(target: redpanda.Value, _value: None, _depth: int) -> None:
    target.null_value = cast(redpanda.NullValue, 0)


def _write_str(target: redpanda.Value, value: str, _depth: int) -> None:
    try:
        target.string_value = value
    except UnicodeEncodeError:
        raise BadValue(got="a str with a lone surrogate", want="Unicode text, or bytes") from None


def _write_bool(target: redpanda.Value, value: bool, _depth: int) -> None:
    target.bool_value = value


def _write_int(target: redpanda.Value, value: int, _depth: int) -> None:
    try:
        target.integer_value = value
    except ValueError:
        raise BadValue(got=f"an integer of {value.bit_length()} bits", want=_INT64) from None


def _write_float(target: redpanda.Value, value: float, _depth: int) -> None:
    target.double_value = value


def _write_bytes(target: redpanda.Value, value: bytes, _depth: int) -> None:
    target.bytes_value = value


def naive(value: datetime) -> BadValue:
    """Return the error for a datetime that could be any time zone's."""
    return BadValue(got=f"the naive datetime {value.isoformat()}", want="a datetime with a time zone")


def _write_datetime(target: redpanda.Value, value: datetime, _depth: int) -> None:
    if value.utcoffset() is None:
        raise naive(value)
    whole = (value - _EPOCH) // _MICROSECOND
    stamp = target.timestamp_value
    stamp.seconds, microseconds = divmod(whole, 1_000_000)
    stamp.nanos = microseconds * 1000


def _write_list(target: redpanda.Value, value: list[Value], depth: int) -> None:
    inner = target.list_value
    inner.SetInParent()
    depth = _deeper(depth, "a list")
    for index, item in enumerate(value):
        try:
            _write(inner.values.add(), item, depth)
        except BadValue as error:
            raise error.under(index) from None


def _write_dict(target: redpanda.Value, value: dict[str, Value], depth: int) -> None:
    inner = target.struct_value
    inner.SetInParent()
    write_fields(inner, value, _deeper(depth, "a dict"))


def _deeper(depth: int, what: str) -> int:
    if not depth:
        raise BadValue(got=f"{what} {DEPTH_MAX + 1} levels deep", want=f"at most {DEPTH_MAX} levels")
    return depth - 1


def _refuse(_target: redpanda.Value, value: object, _depth: int) -> None:
    raise BadValue(got=f"a {type(value).__name__}", want=_KINDS)


# Each takes the type that it is filed under, which a dict's type cannot say.
_WRITERS = cast(
    "dict[type, Callable[[redpanda.Value, Value, int], None]]",
    {
        str: _write_str,
        bool: _write_bool,
        int: _write_int,
        float: _write_float,
        type(None): _write_null,
        bytes: _write_bytes,
        datetime: _write_datetime,
        dict: _write_dict,
        list: _write_list,
    },
)


def _read_timestamp(source: redpanda.Value) -> datetime:
    stamp = source.timestamp_value
    try:
        return _EPOCH + timedelta(seconds=stamp.seconds, microseconds=stamp.nanos // 1000)
    except OverflowError:
        raise BadValue(got=f"a timestamp {stamp.seconds} s from 1970", want="one in the years 1 to 9999") from None


def _read_list(source: redpanda.Value) -> list[Value]:
    result: list[Value] = []
    for index, item in enumerate(source.list_value.values):
        try:
            result.append(read_value(item))
        except BadValue as error:
            raise error.under(index) from None
    return result


_READERS: dict[str, Callable[[redpanda.Value], Value]] = {
    "null_value": lambda _: None,
    "string_value": lambda source: source.string_value,
    "integer_value": lambda source: source.integer_value,
    "double_value": lambda source: source.double_value,
    "bool_value": lambda source: source.bool_value,
    "timestamp_value": _read_timestamp,
    "bytes_value": lambda source: source.bytes_value,
    "struct_value": lambda source: read_fields(source.struct_value),
    "list_value": _read_list,
}
