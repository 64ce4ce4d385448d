"""Reads one line that a plugin logged, as go-plugin's host does, but kind where that one panics or gives up.

Decides level, text and key-value pairs. Never logs.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import cast

TRACE, DEBUG, INFO, WARNING, ERROR = 5, 10, 20, 30, 40  # as logging has them; TRACE is hclog's, below its DEBUG

_LEVELS = {"trace": TRACE, "debug": DEBUG, "info": INFO, "warn": WARNING, "error": ERROR}
LEVELS = {level: name for name, level in _LEVELS.items()}
_PREFIXES = tuple((f"[{name.upper()}]".encode(), level) for name, level in _LEVELS.items())


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing to log.

    Attributes:
        level: as ``logging`` numbers it.
        message: harmless text: one line, without control characters.
        fields: the key-value pairs of an hclog line, as the plugin sent them.
    """

    level: int
    message: str
    fields: Mapping[str, object] = field(default_factory=dict[str, object])


def legible(raw: bytes | str) -> str:
    """Return what a plugin wrote as text that cannot act on a terminal or pass for another line of a log.

    Letters of any language stay, control characters and what is no UTF-8 become escapes. Its length is the
    caller's to bound.
    """
    text = raw.decode("utf-8", "backslashreplace") if isinstance(raw, bytes) else raw
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\t" else c.encode("unicode_escape").decode("ascii") for c in text)


def parse(line: bytes) -> Entry | None:
    """Return the entry that an hclog line in JSON holds, or None where the line is something else.

    JSON with no level of hclog's is something else, too, and go-plugin logs it as it came (client.go:1270).
    """
    if not line.startswith(b"{"):
        return None
    try:
        found: object = json.loads(line)
    except (ValueError, RecursionError):  # a RecursionError for brackets nested by the thousand
        return None
    if not isinstance(found, dict):
        return None
    pairs = cast("dict[str, object]", found)
    level = pairs.get("@level")
    known = _LEVELS.get(level.strip().lower()) if isinstance(level, str) else None
    if known is None:
        return None
    message = pairs.get("@message", "")
    text = message if isinstance(message, str) else in_json(message)
    rest = {key: value for key, value in pairs.items() if key not in ("@level", "@message")}
    return Entry(known, legible(text), rest)


def in_json(value: object) -> str:
    """Return a value that came as JSON as such a text again."""
    try:
        return json.dumps(value)
    except RecursionError:  # since Python 3.12 what is read may be nested one deeper than what is written
        return "(nested too deeply to be shown)"


def prefixed(line: bytes) -> int | None:
    """Return the level that a prefix such as ``[WARN]`` gives the line, or None (client.go:1230)."""
    return next((level for prefix, level in _PREFIXES if line.startswith(prefix)), None) if line[:1] == b"[" else None
