"""Reads numbers and booleans just as Go's strconv does. Never guesses: what Go refuses is None."""

import re

_INT = re.compile(r"[+-]?[0-9]+", re.ASCII)
_INT64 = 2**63
_TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_FALSE = frozenset({"0", "f", "F", "FALSE", "false", "False"})


def go_int(text: str) -> int | None:
    """Return what Go's ``strconv.Atoi`` makes of ``text``, or None where it fails."""
    # Twenty characters hold every int64; longer digit strings would also trip CPython's own conversion limit.
    digits = text.lstrip("+-").lstrip("0")
    if not _INT.fullmatch(text) or len(digits) > 19:
        return None
    value = int(digits or "0") * (-1 if text[0] == "-" else 1)
    return value if -_INT64 <= value < _INT64 else None


def go_bool(text: str) -> bool | None:
    """Return what Go's ``strconv.ParseBool`` makes of ``text``, or None where it fails."""
    if text in _TRUE:
        return True
    return False if text in _FALSE else None
