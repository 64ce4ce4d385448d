"""What the `generate` input makes: the small part of Bloblang that says what a message is. Parses; calls no clock.

A mapping is lines such as ``root = "hello"``, ``root.id = counter()``, ``root = {"id": uuid_v4(), "tags": [1, true]}``
and ``meta key = "value"``. Values are JSON, and the functions are ``counter()`` (from 1), ``uuid_v4()``, ``now()`` and
``timestamp_unix()``. Anything else is refused, never guessed.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from ._document import Located
from ._value import DEPTH_MAX, Value

Function: TypeAlias = Callable[["Call"], Value]
FUNCTIONS = ("counter", "uuid_v4", "now", "timestamp_unix")
_TOKEN = re.compile(
    r"""\s*(?:(?P<string>"(?:[^"\\\n]|\\.)*")|(?P<number>-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)"""
    r"""|(?P<word>[A-Za-z_]\w*)|(?P<mark>[{}\[\]:,()]))"""
)
_LINE = re.compile(r"(?P<root>root(?P<path>(?:\.[A-Za-z_]\w*)*))\s*=|meta\s+(?P<meta>[A-Za-z_]\w*)\s*=")
_CONSTANTS: dict[str, Value] = {"true": True, "false": False, "null": None}


@dataclass(frozen=True, slots=True, eq=False)
class Call:
    """A function whose value is asked for with each message; equal to no other, for each counts for itself."""

    name: str


Expression: TypeAlias = "Call | Value | list[Expression] | dict[str, Expression]"


@dataclass(frozen=True, slots=True)
class Mapping:
    """The assignments of a mapping, in their order.

    Attributes:
        root: what is assigned to which path of the payload; the empty one is all of it.
        meta: what is assigned to which key of the metadata.
    """

    root: "tuple[tuple[tuple[str, ...], Expression], ...]"
    meta: "tuple[tuple[str, Expression], ...]" = ()

    def make(self, functions: dict[str, Function]) -> tuple[Value, dict[str, Value]]:
        """Return the payload and the metadata of one message."""
        payload: Value = None
        for path, expression in self.root:
            value = _evaluated(expression, functions)
            if not path:
                payload = value
                continue
            payload = inner = payload if isinstance(payload, dict) else {}
            for step in path[:-1]:
                found = inner.get(step)
                inner[step] = inner = found if isinstance(found, dict) else {}
            inner[path[-1]] = value
        return payload, {key: _evaluated(expression, functions) for key, expression in self.meta}


def parse_mapping(found: Located) -> Mapping:
    """Return the mapping that a string holds.

    Raises:
        BadFile: it says what only Redpanda Connect understands.
    """
    text = found.string(want="a mapping")
    root: list[tuple[tuple[str, ...], Expression]] = []
    meta: list[tuple[str, Expression]] = []
    reader = _Reader(text, found)
    while not reader.over():
        line = reader.line()
        expression = reader.expression()
        if line["meta"]:
            meta.append((line["meta"], expression))
        else:
            root.append((tuple(line["path"].split(".")[1:]), expression))
    if not root:
        raise found.error(got="nothing that is assigned to root", want='a line such as root = "hello"')
    return Mapping(tuple(root), tuple(meta))


class _Reader:
    """Reads a mapping from its beginning to its end."""

    def __init__(self, text: str, found: Located) -> None:
        self._text = re.sub(r"^\s*#.*$", "", text, flags=re.MULTILINE)
        self._found, self._at = found, 0

    def over(self) -> bool:
        return not self._text[self._at :].strip()

    def line(self) -> "re.Match[str]":
        self._at += len(self._text[self._at :]) - len(self._text[self._at :].lstrip())
        match = _LINE.match(self._text, self._at)
        if match is None:
            raise self._wrong('a line such as root = "hello", root.key = counter() or meta key = 1')
        self._at = match.end()
        return match

    def expression(self, levels: int = DEPTH_MAX) -> "Expression":
        kind, word = self._next()
        if kind == "string" or kind == "number":
            return self._json(word)
        if kind == "word" and word in _CONSTANTS:
            return _CONSTANTS[word]
        if kind == "word" and word in FUNCTIONS:
            for mark in "()":
                self._expect(mark)
            return Call(word)
        if word in ("[", "{") and not levels:
            raise self._found.error(got="a value nested deeper than that", want=f"at most {DEPTH_MAX} levels")
        if word == "[":
            return self._list(levels - 1)
        if word == "{":
            return self._dict(levels - 1)
        raise self._wrong(f"a value of JSON, or one of the functions {', '.join(FUNCTIONS)}", back=len(word))

    def _list(self, levels: int) -> "Expression":
        items: list[Expression] = []
        while not self._taken("]"):
            if items:
                self._expect(",")
            items.append(self.expression(levels))
        return items

    def _dict(self, levels: int) -> "Expression":
        entries: dict[str, Expression] = {}
        while not self._taken("}"):
            if entries:
                self._expect(",")
            kind, word = self._next()
            if kind != "string":
                raise self._wrong("a key in quotes", back=len(word))
            self._expect(":")
            entries[str(self._json(word))] = self.expression(levels)
        return entries

    def _json(self, word: str) -> Value:
        import json

        try:
            value: Value = json.loads(word)
        except ValueError:
            raise self._wrong("a value of JSON", back=len(word)) from None
        return value

    def _next(self) -> tuple[str, str]:
        match = _TOKEN.match(self._text, self._at)
        if match is None or match.lastgroup is None:
            raise self._wrong("a value")
        self._at = match.end()
        return match.lastgroup, match[match.lastgroup]

    def _taken(self, mark: str) -> bool:
        match = _TOKEN.match(self._text, self._at)
        if match is None or match["mark"] != mark:
            return False
        self._at = match.end()
        return True

    def _expect(self, mark: str) -> None:
        if not self._taken(mark):
            raise self._wrong(repr(mark))

    def _wrong(self, want: str, back: int = 0) -> Exception:
        rest = self._text[max(0, self._at - back) :].strip().partition("\n")[0]
        return self._found.error(got=repr(rest[:60]) if rest else "the end", want=want)


def _evaluated(expression: "Expression", functions: dict[str, Function]) -> Value:
    if isinstance(expression, Call):
        return functions[expression.name](expression)
    if isinstance(expression, list):
        return [_evaluated(item, functions) for item in expression]
    if isinstance(expression, dict):
        return {key: _evaluated(item, functions) for key, item in expression.items()}
    return expression
