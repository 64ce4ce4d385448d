"""A configuration as a dataclass: each field checked against its type. Never guesses: "7" is no int."""

import dataclasses
import enum
import types
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from ..handshake import Misuse, quoted
from ._errors import BadConfig, spelled
from ._value import Value

_T = TypeVar("_T")
_SHOWN = 80  # characters of a value in an error
_SIMPLE: dict[Any, str] = {
    str: "a string", bool: "true or false", int: "an integer", float: "a number", bytes: "bytes",
    datetime: "a timestamp", type(None): "null",
}  # fmt: skip


def is_dataclass(kind: object) -> bool:
    """Return whether ``kind`` is a dataclass, and not an instance of one."""
    return isinstance(kind, type) and dataclasses.is_dataclass(kind)


def read_config(kind: type[_T], values: Mapping[str, Value], path: tuple[str | int, ...] = ()) -> _T:
    """Return ``values`` as an instance of the dataclass ``kind``; a field without a default must be there.

    A field may be of type str, bool, int, float (which takes integers too), bytes, datetime, None, a list or dict of
    these, a Literal, an enum by value, another dataclass, a union, or anything (``object``, ``Any``).

    Raises:
        BadConfig: a field is missing, unknown or of another type, or the dataclass refuses with a ValueError
            or a Misuse.
        Misuse: a field has a type that no configuration can have.
    """
    hints = get_type_hints(kind)
    fields = {field.name: field for field in dataclasses.fields(cast("Any", kind)) if field.init}
    for name in values:
        if name not in fields:
            raise BadConfig(field=spelled((*path, name)), got="an unknown field", want=_one_of(fields))
    found: dict[str, Any] = {}
    for name, field in fields.items():
        if name in values:
            found[name] = read_field(hints[name], values[name], (*path, name))
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise BadConfig(field=spelled((*path, name)), got="nothing", want=wanted(hints[name]))
    try:
        return kind(**found)
    except (ValueError, Misuse) as error:  # of its __post_init__; a BatchPolicy raises Misuse
        raise BadConfig(field=spelled(path), got="values that do not go together", want=str(error)) from None


def wanted(hint: Any) -> str:
    """Return in words what a type takes."""
    origin, arguments = get_origin(hint), get_args(hint)
    if hint in _SIMPLE:
        return _SIMPLE[hint]
    if origin is Literal:
        return _one_of(map(repr, arguments))
    if origin in (Union, types.UnionType):
        return " or ".join(wanted(one) for one in arguments)
    if (origin or hint) in (list, Sequence):
        return "a list"
    if (origin or hint) in (dict, Mapping) or is_dataclass(hint):
        return "a map"
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return _one_of(repr(one.value) for one in hint)
    return "a value"


def read_field(hint: Any, value: Value, path: tuple[str | int, ...]) -> Any:
    origin, arguments = get_origin(hint), get_args(hint)
    kind = origin or hint
    if kind in (Any, object):
        return value
    if kind in (Union, types.UnionType):
        return _read_union(arguments, value, path)
    if kind is Literal:
        if any(value == one and type(value) is type(one) for one in arguments):
            return value
    elif kind in (list, Sequence) and isinstance(value, list):
        item = arguments[0] if arguments else Any
        return [read_field(item, one, (*path, index)) for index, one in enumerate(value)]
    elif kind in (dict, Mapping) and isinstance(value, dict):
        item = arguments[1] if arguments else Any
        return {key: read_field(item, one, (*path, key)) for key, one in value.items()}
    elif is_dataclass(kind) and isinstance(value, dict):
        return read_config(cast("type[Any]", kind), value, path)
    elif isinstance(kind, type) and issubclass(kind, enum.Enum):
        for one in kind:
            if one.value == value:
                return one
    elif kind is float and type(value) is int:
        return float(value)
    elif kind in _SIMPLE:
        if type(value) is kind:
            return value
    elif kind not in (list, Sequence, dict, Mapping) and not is_dataclass(kind):
        raise Misuse(f"{spelled(path)} is of type {hint}, which no configuration can have")
    raise BadConfig(field=spelled(path), got=described(value), want=wanted(hint))


def _read_union(kinds: tuple[Any, ...], value: Value, path: tuple[str | int, ...]) -> Any:
    for kind in sorted(kinds, key=lambda kind: kind is not type(value)):  # 1 is an int before it is a float
        try:
            return read_field(kind, value, path)
        except BadConfig as error:
            # What fails further in, or not by its type, was meant for this one, and says more.
            if error.field != spelled(path) or error.got != described(value):
                raise
    raise BadConfig(field=spelled(path), got=described(value), want=" or ".join(map(wanted, kinds)))


def described(value: Value) -> str:
    """Return a value in words, clipped."""
    match value:
        case None:
            return "null"
        case dict():
            return "a map"
        case list():
            return "a list"
        case str():
            return f"the string {quoted(value, _SHOWN)}"
        case _:
            return f"{type(value).__name__} {quoted(str(value), _SHOWN)[1:-1]}"


def _one_of(names: Any) -> str:
    known = list(names)
    return "one of " + ", ".join(known) if known else "no fields at all"
