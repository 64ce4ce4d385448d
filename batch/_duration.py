"""Durations as Go writes them, such as ``1m30s``. Pure."""

import re

_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_MAX = 2**63 // 10**9  # seconds: Go counts nanoseconds in 64 bits, and so do Python's threads
_PART = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)")


def parse_duration(text: str) -> float | None:
    """Return the seconds of a duration as Go writes it, such as ``1m30s`` or ``500ms``, or None if it is none.

    Negative durations are none: nothing here waits that long. Nor are those over 292 years, as in Go.
    """
    rest = text.removeprefix("+")
    if rest == "0":
        return 0.0
    total, end = 0.0, 0
    for part in _PART.finditer(rest):
        if part.start() != end:
            return None
        total, end = total + float(part.group(1)) * _UNITS[part.group(2)], part.end()
    return total if end and end == len(rest) and total <= _MAX else None
