"""A YAML file as located values: each knows its file, its line and its path of keys, so each error can name them.

Decides what the YAML means and what is refused; never opens a file. Scalars mean what they mean to Redpanda Connect,
whose parser follows YAML 1.2: ``yes`` and ``on`` are text, and so are dates and times of day.
"""

import difflib
import math
import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from types import TracebackType
from typing import Any, Self, TypeVar, cast

import yaml

from ._errors import BadFile, spelled
from ._value import DEPTH_MAX, Value

_T = TypeVar("_T")
_D = TypeVar("_D")
_INT = "an integer of 64 bits"
_LABEL = re.compile("[a-z0-9][a-z0-9_-]*")  # as benthos has it (internal/docs/config.go)
_VALUES_MAX = 1_000_000  # in one document, once its aliases are written out: seven lines of them can make ten million


class _Loader(yaml.SafeLoader):
    """YAML's scalars as YAML 1.2 has them, with the underscores and octals that Go's parser also reads."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - PyYAML's own attribute


for _tag, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?(?:0b[01_]+|0o?[0-7_]*|0x[0-9a-fA-F_]+|[1-9][0-9_]*)", "-+0123456789"),
    ("float", r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", "-+0123456789."),
    ("float", r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)", "-+."),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
):
    cast("Any", _Loader).add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(f"(?:{_pattern})$"), list(_first)
    )


class Gathering:
    """The faults of several values, none of which hides the next: the context ends in the first, the others with it.

    A fault that is raised within the context is the last of them.
    """

    def __init__(self) -> None:
        self._faults: list[BadFile] = []

    def note(self, fault: BadFile) -> None:
        """Take a fault, and those that came with it."""
        self._faults += (fault, *fault.others)
        fault.others = ()

    def tried(self, parse: Callable[[], _T], otherwise: _D) -> _T | _D:
        """Return what ``parse`` returns, or ``otherwise`` where it raises a fault, which is noted."""
        try:
            return parse()
        except BadFile as fault:
            self.note(fault)
            return otherwise

    def read(
        self, entries: "Mapping[str, Located]", name: str, parse: "Callable[[Located], _T]", otherwise: _D
    ) -> _T | _D:
        """Return what ``parse`` makes of the entry ``name``, or ``otherwise`` where there is none, or a wrong one."""
        return self.tried(lambda: parse(entries[name]), otherwise) if name in entries else otherwise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, BadFile):
            self.note(error)
        elif error is not None:
            return
        if self._faults:
            first, *others = self._faults
            first.others = tuple(others)
            if first is not error:
                raise first from None


class Located:
    """One value of a file, with what its errors need.

    Attributes:
        file: the path of the file.
        path: the keys and indexes that lead here.
        line: from 1, or None for a value that is in no file.
    """

    __slots__ = ("_labels", "_node", "file", "line", "path")

    def __init__(
        self,
        node: yaml.Node,
        file: str,
        path: tuple[str | int, ...] = (),
        labels: "dict[str, Located] | None" = None,
    ) -> None:
        self._node, self.file, self.path = node, file, path
        self._labels = {} if labels is None else labels  # of the whole file, as far as it was read
        mark = node.start_mark
        self.line: int | None = mark.line + 1 if mark is not None else None

    def spelled(self) -> str:
        """Return the path of keys as people write it."""
        return spelled(self.path)

    def error(self, *, got: str, want: str) -> BadFile:
        """Return an error about this value."""
        return BadFile(file=self.file, line=self.line, field=spelled(self.path), got=got, want=want)

    def wrong(self, want: str) -> BadFile:
        """Return the error that this value is not ``want``."""
        return self.error(got=self.shown(), want=want)

    def shown(self) -> str:
        """Return how an error shows this value: short."""
        if isinstance(self._node, yaml.MappingNode):
            return "a mapping"
        if isinstance(self._node, yaml.SequenceNode):
            return "a list"
        value = self._scalar()
        kind = "string" if isinstance(value, str) else type(value).__name__
        return "nothing" if value is None else f"{kind} {_short(value)}"

    def is_null(self) -> bool:
        """Return whether nothing is written here, or a null."""
        return self._scalar() is None

    def mapping(self, *, want: str = "a mapping") -> "dict[str, Located]":
        """Return the entries of a mapping; keys are text as written.

        Raises:
            BadFile: it is none, or a key appears twice or is no plain text.
        """
        if not isinstance(self._node, yaml.MappingNode):
            raise self.wrong(want)
        entries: dict[str, Located] = {}
        for key, node in self._node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise self.error(got="a key that is no plain text", want="text")
            name = str(key.value)
            entry = Located(node, self.file, (*self.path, name), self._labels)
            if name in entries:
                entry.line = Located(key, self.file).line
                raise entry.error(got="the key a second time", want="each key once")
            entries[name] = entry
        return entries

    def entries(
        self, known: Iterable[str], required: Iterable[str] = (), faults: Gathering | None = None
    ) -> "dict[str, Located]":
        """Return the entries of a mapping that has no other keys than ``known``, and all of ``required``.

        Nothing at all counts as an empty mapping. With ``faults``, an unknown or a missing key is noted there, and the
        known ones that are there are returned.

        Raises:
            BadFile: as `mapping`, or an unknown or a missing key; an unknown one with the nearest known name.
        """
        entries = {} if self.is_null() else self.mapping()
        with nullcontext(faults) if faults is not None else Gathering() as found:
            for name in [name for name in entries if name not in known]:
                found.note(entries.pop(name).error(got="an unknown key", want=nearest(name, known)))
            for name in required:
                if name not in entries:
                    found.note(self.missing(name, "a value"))
        return entries

    def missing(self, name: str, want: str) -> BadFile:
        """Return the error that this mapping lacks the key ``name``."""
        return BadFile(file=self.file, line=self.line, field=spelled((*self.path, name)), got="nothing", want=want)

    def items(self, *, want: str = "a list") -> "list[Located]":
        """Return the items of a list.

        Raises:
            BadFile: it is none.
        """
        if not isinstance(self._node, yaml.SequenceNode):
            raise self.wrong(want)
        return [
            Located(node, self.file, (*self.path, index), self._labels) for index, node in enumerate(self._node.value)
        ]

    def string(self, want: str = "a string") -> str:
        """Return a string; an error says that ``want`` was wanted."""
        value = self._scalar()
        if not isinstance(value, str):
            raise self.wrong(want)
        return value

    def label(self) -> str:
        """Return the label of a component, which may be empty.

        Raises:
            BadFile: it is none that Redpanda Connect takes, or another component of the file has it.
        """
        label = self.string()
        if not label:
            return label
        if not _LABEL.fullmatch(label):
            raise self.wrong("a label of a-z, 0-9, _ and - that begins with a letter or a digit")
        first = self._labels.setdefault(label, self)
        if first.path != self.path:
            raise self.error(got=f"{label!r}, the label in line {first.line}", want="another label")
        return label

    def boolean(self) -> bool:
        """Return a truth value."""
        value = self._scalar()
        if not isinstance(value, bool):
            raise self.wrong("true or false")
        return value

    def integer(self, *, least: int = -(2**63), want: str) -> int:
        """Return an integer of 64 bits, at least ``least``; an error says that ``want`` was wanted."""
        value = self._scalar()
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value < 2**63:
            raise self.wrong(want)
        return value

    def number(self) -> float:
        """Return a number, an integer too, as a float."""
        value = self._scalar()
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.wrong("a number")
        try:
            return float(value)
        except OverflowError:
            raise self.wrong("a number that a float can hold") from None

    def value(self, levels: int = DEPTH_MAX - 1) -> Value:
        """Return the whole value, plain.

        Raises:
            BadFile: a tag that no plain value has, an integer over 64 bits, or more ``levels`` of nesting.
        """
        if isinstance(self._node, yaml.ScalarNode):
            value = self._scalar()
            return value if isinstance(value, bool) or not isinstance(value, int) else self.integer(want=_INT)
        if not levels:
            raise self.error(got="a value nested deeper than that", want=f"at most {DEPTH_MAX} levels")
        if isinstance(self._node, yaml.MappingNode):
            return {name: entry.value(levels - 1) for name, entry in self.mapping().items()}
        return [item.value(levels - 1) for item in self.items()]

    def _scalar(self) -> str | bytes | bool | int | float | list[Value] | None:
        """Return the value of a scalar, and for anything else a list, which no scalar is."""
        if not isinstance(self._node, yaml.ScalarNode):
            return []
        try:
            # The constructor needs a loader, and the loader a text; the node is complete without it.
            value: object = cast("Any", _Loader("")).construct_object(self._node)
        except (yaml.YAMLError, ValueError, LookupError, AttributeError):  # PyYAML trusts a tag to fit its text
            value = self._node
        if value is None or isinstance(value, str | bytes | bool | int | float):
            return value
        raise self.error(got=_short(self._node.value), want=f"what the tag {self._node.tag} says, or no tag")


def parse_document(text: str, file: str) -> Located:
    """Return the root of a file of one document.

    Raises:
        BadFile: it is no YAML, empty, or several documents.
    """
    try:
        node = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line = None if mark is None else mark.line + 1
        raise BadFile(file=file, line=line, got=f"no YAML: {error.problem}", want="one YAML document") from None
    except yaml.YAMLError as error:
        first = str(error).partition("\n")[0]
        raise BadFile(file=file, got=f"no YAML: {first}", want="one YAML document") from None
    except RecursionError:
        raise BadFile(file=file, got="too many levels within each other", want="one YAML document") from None
    if node is None:
        raise BadFile(file=file, got="an empty file", want="a YAML mapping")
    if _written_out(node, {}) > _VALUES_MAX:
        want = f"at most {_VALUES_MAX} values, each alias written out"
        raise BadFile(file=file, got="aliases that multiply", want=want)
    return Located(node, file)


def _written_out(node: yaml.Node, counted: dict[yaml.Node, float]) -> float:
    """Return how many values ``node`` holds; one that holds an alias of itself has no end."""
    if isinstance(node, yaml.ScalarNode):
        return 1
    if node not in counted:
        counted[node] = math.inf  # as long as it is open
        held = node.value if isinstance(node, yaml.SequenceNode) else [value for _, value in node.value]
        counted[node] = 1 + sum(_written_out(value, counted) for value in held)
    return counted[node]


def locate(value: Value, name: str) -> Located:
    """Return a plain value as if it were in a file called ``name``, so that it can be checked as one."""
    return Located(cast("Any", yaml.representer.SafeRepresenter()).represent_data(value), name)


def nearest(name: str, known: Iterable[str]) -> str:
    """Return how to say what a wrong name should have been: the nearest known one, then all of them."""
    names = sorted(known)
    if not names:
        return "no key at all"
    close = difflib.get_close_matches(name, names, n=1)
    return (f"{close[0]!r}? Known: " if close else "one of ") + ", ".join(names)


def choose(entry: Located, table: Mapping[str, Callable[[Located], _T]], kind: str) -> tuple[str, _T]:
    """Return the name of the one component that ``entry`` holds, and what its settings parse to.

    A component is a mapping of its name to its settings, with a ``label`` beside it if one likes, which becomes the
    name returned.

    Raises:
        BadFile: no component, several, or an unknown one.
    """
    entries = entry.mapping(want=f"one {kind}, as a mapping of its name to its settings")
    with Gathering() as faults:
        label = faults.read(entries, "label", Located.label, "")
        entries.pop("label", None)
        if len(entries) != 1:
            got = " and ".join(sorted(entries)) or "none"
            raise entry.error(got=got, want=f"one {kind}: {', '.join(sorted(table))}")
        ((name, settings),) = entries.items()
        if name not in table:
            want = nearest(name, table) if table else f"a plugin, but no plugin.yaml of type {kind} was found"
            raise settings.error(got=f"an unknown {kind}", want=want)
        return label or name, table[name](settings)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
