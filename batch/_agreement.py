"""Whether a plugin and its `plugin.yaml` say the same: the kind, and the configuration's fields. Starts nothing."""

import dataclasses
import os
import types
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from ._component import component_of
from ._config import is_dataclass, read_field, wanted
from ._errors import BadConfig, BadFile

_TYPES: dict[str, Any] = {"string": str, "int": int, "float": float, "bool": bool}


def check_descriptor(plugin: object, file: str | os.PathLike[str]) -> None:
    """Check that a descriptor describes a decorated function or class; for the tests of its author.

    Its type is the plugin's kind. Where the configuration is a dataclass, both have the same fields, a field's type is
    one that the dataclass takes, a default in the descriptor, too, and what the dataclass needs, the descriptor
    requires or has a default for.

    Raises:
        BadFile: they differ, or the descriptor is wrong by itself.
        MachineFault: the file cannot be read.
        Misuse: ``plugin`` was not decorated.
    """
    from ._descriptor import FieldKind, load_descriptors  # PyYAML is not for plugins that serve

    component = component_of(plugin)
    (descriptor,) = load_descriptors([os.fspath(file)]).values()
    path = descriptor.file
    if descriptor.kind.value != component.kind:
        raise BadFile(file=path, field="type", got=descriptor.kind.value, want=f"{component.kind}, as {component.name}")
    kind: Any = component.config_type
    if kind is None:
        return
    hints = get_type_hints(kind)
    known = {field.name: field for field in dataclasses.fields(kind) if field.init}
    described = {field.name: field for field in descriptor.fields}
    for missing in (name for name in known if name not in described):
        raise BadFile(file=path, field="fields", got=f"none called {missing!r}", want=f"all of {kind.__name__}")
    for field in descriptor.fields:
        where = f"fields.{field.name}"
        if field.name not in known:
            raise BadFile(file=path, field=where, got="an unknown field", want=f"one of {', '.join(known)}")
        hint = hints[field.name]
        item: Any = _TYPES.get(field.type.value, Any)
        given: Any = item
        if field.kind is not FieldKind.SCALAR:
            is_list = field.kind is FieldKind.LIST
            given = types.GenericAlias(list, item) if is_list else types.GenericAlias(dict, (str, item))
        if not _takes(hint, given):
            raise BadFile(file=path, field=where, got=_named(given), want=wanted(hint))
        if field.default is not None:
            try:
                read_field(hint, field.default, (field.name,))
            except BadConfig as error:
                raise BadFile(file=path, field=f"{where}.default", got=error.got, want=error.want) from None


def _takes(hint: Any, given: Any) -> bool:
    """Return whether some value of the type ``given`` is one of ``hint``."""
    if Any in (hint, given) or hint is object:
        return True
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return any(_takes(one, given) for one in arguments)
    if origin is Literal:
        return any(type(one) is given for one in arguments)
    if is_dataclass(hint):
        return get_origin(given) is dict
    if get_origin(given) is not None:
        same = (origin or hint) in ((list, Sequence) if get_origin(given) is list else (dict, Mapping))
        return same and (not arguments or _takes(arguments[-1], get_args(given)[-1]))
    if isinstance(hint, type) and hasattr(hint, "__members__"):
        return any(type(one.value) is given for one in hint)  # type: ignore[attr-defined]
    return hint is given or (hint is float and given is int)


def _named(given: Any) -> str:
    return wanted(given).removeprefix("a ").removeprefix("an ")
