"""`plugin.yaml`: what a plugin is called, how it is started and which configuration it takes.

The same file serves Redpanda Connect's dynamic plugins (connect, internal/rpcplugin/config.go). Decides what a
descriptor says and whether a configuration fits it; `load_descriptors` also reads files, and nothing here starts one.
"""

import glob
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import TypeVar, assert_never

from ..handshake import MachineFault
from ._component import Config
from ._document import Gathering, Located, nearest, parse_document
from ._errors import BadFile
from ._value import Value

_E = TypeVar("_E", bound=Enum)

# What Redpanda Connect demands of a component's name (benthos, internal/bundle).
_NAME = re.compile(r"[a-z0-9]+(_[a-z0-9]+)*\Z")


class Kind(Enum):
    """What a plugin is in a pipeline."""

    INPUT = "input"
    PROCESSOR = "processor"
    OUTPUT = "output"


class FieldType(Enum):
    """The type of a configuration field, or of its items."""

    STRING = "string"
    INT = "int"
    FLOAT = "float"
    BOOL = "bool"
    UNKNOWN = "unknown"


class FieldKind(Enum):
    """Whether a field is one value, a list or a map of them."""

    SCALAR = "scalar"
    LIST = "list"
    MAP = "map"


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One field of a plugin's configuration.

    Attributes:
        default: its value where the configuration has none; None means that the field is required.
        advanced: whether documentation should keep it from beginners.
    """

    name: str
    description: str = ""
    type: FieldType = FieldType.UNKNOWN
    kind: FieldKind = FieldKind.SCALAR
    default: Value = None
    advanced: bool = False

    def read(self, found: Located) -> Value:
        """Return the value of this field.

        Raises:
            BadFile: it has another type.
        """
        match self.kind:
            case FieldKind.SCALAR:
                return _typed(found, self.type)
            case FieldKind.LIST:
                items = found.items(want=f"a list of {_plural(self.type)}")
                with Gathering() as faults:
                    return [faults.tried(partial(_typed, item, self.type), None) for item in items]
            case FieldKind.MAP:
                entries = found.mapping(want=f"a map of {_plural(self.type)}")
                with Gathering() as faults:
                    return {
                        name: faults.tried(partial(_typed, entry, self.type), None) for name, entry in entries.items()
                    }
            case _:
                assert_never(self.kind)


@dataclass(frozen=True, slots=True, kw_only=True)
class Descriptor:
    """A plugin as its `plugin.yaml` describes it.

    Attributes:
        file: the path of that file.
        command: the program and its arguments; a program without a slash is looked up on the plugin's PATH.
        cwd: the absolute directory that it runs in.
    """

    name: str
    kind: Kind
    command: tuple[str, ...]
    file: str
    cwd: str
    summary: str = ""
    description: str = ""
    fields: tuple[Field, ...] = ()

    def config(self, found: Located) -> Config:
        """Return the configuration written at ``found``, with its defaults filled in.

        Raises:
            BadFile: a field is missing, unknown or of another type; its ``others`` are the other faults.
        """
        config: Config = {}
        with Gathering() as faults:
            entries = found.entries([field.name for field in self.fields], faults=faults)
            for field in self.fields:
                if field.name in entries:
                    config[field.name] = faults.tried(partial(field.read, entries[field.name]), None)
                elif field.default is None:
                    faults.note(found.missing(field.name, f"{_named(field)}: the field is required"))
                else:
                    config[field.name] = field.default
        return config


def parse_descriptor(text: str, file: str) -> Descriptor:
    """Return the descriptor that ``text``, the content of ``file``, holds.

    Raises:
        BadFile: anything in it is missing, unknown or wrong; its ``others`` are the other faults.
    """
    known = ("name", "summary", "description", "command", "cwd", "type", "fields")
    directory = os.path.dirname(os.path.abspath(file))
    with Gathering() as faults:
        entries = parse_document(text, file).entries(known, required=("name", "command", "type"), faults=faults)

        return Descriptor(
            name=faults.read(entries, "name", _name, ""),
            kind=faults.read(entries, "type", partial(_one_of, Kind), Kind.INPUT),
            command=faults.read(entries, "command", _command, ()),
            file=file,
            cwd=os.path.normpath(os.path.join(directory, faults.read(entries, "cwd", _text, ""))),
            summary=faults.read(entries, "summary", _text, ""),
            description=faults.read(entries, "description", _text, ""),
            fields=faults.read(entries, "fields", _fields, ()),
        )


def load_descriptors(patterns: Iterable[str], *, optional: bool = False) -> dict[str, Descriptor]:
    """Return the descriptors of all files that match the globs, by name; ``**`` crosses directories.

    Args:
        patterns: paths or globs.
        optional: whether a pattern may match nothing.

    Raises:
        BadFile: a file is wrong, or two of them describe the same name.
        MachineFault: a file cannot be read, or a pattern that is not optional matches nothing.
    """
    found: dict[str, Descriptor] = {}
    for path in descriptor_paths(patterns, optional=optional):
        descriptor = read_descriptor(path)
        if descriptor.name in found:
            other = found[descriptor.name].file
            raise BadFile(file=path, field="name", got=f"{descriptor.name!r}, the name in {other}", want="another name")
        found[descriptor.name] = descriptor
    return found


def read_descriptor(path: str) -> Descriptor:
    """Return the descriptor in one file; raises as `load_descriptors`."""
    return parse_descriptor(read_text(path, "the plugin descriptor"), path)


def read_text(path: str, what: str) -> str:
    """Return the content of a file.

    Raises:
        MachineFault: it cannot be read, or is no text; the message says ``what`` it was to be.
    """
    try:
        with open(path, encoding="utf-8") as stream:
            return stream.read()
    except (OSError, UnicodeDecodeError) as error:
        raise MachineFault(f"cannot read {what} {path}: {_reason(error)}") from None


def descriptor_paths(patterns: Iterable[str], *, optional: bool) -> list[str]:
    """Return the files that match the globs, each once; raises as `load_descriptors`."""
    paths: dict[str, str] = {}
    for pattern in patterns:
        matched = sorted(glob.glob(pattern, recursive=True))
        if not matched and not optional:
            raise MachineFault(f"no plugin descriptor matches {pattern}")
        for path in matched:
            paths.setdefault(os.path.realpath(path), path)
    return list(paths.values())


def _reason(error: OSError | UnicodeDecodeError) -> str:
    return (error.strerror or str(error)) if isinstance(error, OSError) else "it is not UTF-8 text"


def _name(found: Located) -> str:
    name = found.string()
    if not _NAME.match(name):
        raise found.wrong("a name of small letters and digits, with single underscores between")
    return name


def _command(found: Located) -> tuple[str, ...]:
    words = found.items(want="a list: the program and its arguments")
    if not words:
        raise found.error(got="an empty list", want="a list: the program and its arguments")
    command = tuple(word.string() for word in words)
    if not command[0]:
        raise words[0].wrong("the path or name of a program")
    return command


def _text(found: Located) -> str:
    return "" if found.is_null() else found.string()


def _one_of(kind: type[_E], found: Located) -> _E:
    allowed = [one.value for one in kind]
    value = found.string(want=nearest("", allowed))
    if value not in allowed:
        raise found.wrong(nearest(value, allowed))
    return kind(value)


def _fields(found: Located) -> tuple[Field, ...]:
    fields: dict[str, Field] = {}
    with Gathering() as faults:
        for item in () if found.is_null() else found.items():
            field = faults.tried(partial(_field, item), None)
            if field is not None and field.name in fields:
                name = item.mapping()["name"]
                faults.note(name.error(got=f"the field {field.name!r} a second time", want="each field once"))
            elif field is not None:
                fields[field.name] = field
    return tuple(fields.values())


def _field(item: Located) -> Field:
    known = ("name", "description", "type", "kind", "default", "advanced")
    with Gathering() as faults:
        entries = item.entries(known, required=("name",), faults=faults)

        of_type = faults.read(entries, "type", partial(_one_of, FieldType), FieldType.UNKNOWN)
        of_kind = faults.read(entries, "kind", partial(_one_of, FieldKind), FieldKind.SCALAR)
        plain = Field(name="", type=of_type, kind=of_kind)
        return Field(
            name=faults.read(entries, "name", _field_name, ""),
            description=faults.read(entries, "description", _text, ""),
            type=of_type,
            kind=of_kind,
            # A default of null is none to Redpanda Connect: its parser drops it.
            default=faults.read(entries, "default", lambda one: None if one.is_null() else plain.read(one), None),
            advanced=faults.read(entries, "advanced", Located.boolean, False),
        )


def _field_name(found: Located) -> str:
    name = found.string()
    if not name:
        raise found.wrong("a name")
    return name


def _typed(found: Located, of_type: FieldType) -> Value:
    match of_type:
        case FieldType.STRING:
            return found.string()
        case FieldType.BOOL:
            return found.boolean()
        case FieldType.INT:
            return found.integer(want="an integer of 64 bits")
        case FieldType.FLOAT:
            return found.number()
        case FieldType.UNKNOWN:
            return found.value()
        case _:
            assert_never(of_type)


def _plural(of_type: FieldType) -> str:
    return "values" if of_type is FieldType.UNKNOWN else f"{of_type.value}s"


def _named(field: Field) -> str:
    plural = _plural(field.type)
    return plural[:-1] if field.kind is FieldKind.SCALAR else f"{field.kind.value} of {plural}"
