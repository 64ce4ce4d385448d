"""Turns the bytes of a plugin's stderr into things to log, and keeps the last lines for errors. Never logs or reads.

The same bytes give the same entries however they were cut on their way, and memory stays bounded whatever comes.
"""

from collections import deque
from collections.abc import Iterator

from ._hclog import DEBUG, ERROR, LEVELS, WARNING, Entry, in_json, legible, parse, prefixed

LINE_PIECE = 64 * 1024  # go-plugin's PluginLogBufferSize: a longer line arrives in pieces, at debug
TAIL_LINES = 64  # what an error can quote: enough for a traceback or the top of a Go panic
TAIL_LINE_MAX = 4 * 1024
LINES_PER_SECOND = 1000  # of each kind, errors and the rest; what a flood has beyond is counted, not logged

_GO_DIES = (b"panic: ", b"fatal error: ", b"Fatal Python error: ")
_TRACEBACK = b"Traceback (most recent call last):"
_AROUND_A_TRACEBACK = (
    b"Exception in thread ",
    b"Exception ignored in",
    b"During handling of the above exception,",
    b"The above exception was the direct cause",
)


class _Trouble:
    """Whether the untagged line at hand belongs to the report of a crash."""

    def __init__(self) -> None:
        self._dying = False
        self._in_traceback = False

    def covers(self, line: bytes) -> bool:
        if line.startswith(_GO_DIES):
            self._dying = True  # and so is all that follows, as in go-plugin (client.go:1242)
        if self._dying:
            return True
        if line.lstrip(b" +").startswith((_TRACEBACK, b"Exception Group " + _TRACEBACK)):
            self._in_traceback = True
            return True
        if self._in_traceback:
            # Indented lines are frames; the first that is not names the exception and ends the report. In the
            # report of a group every line is indented, and a rule of dashes ends it.
            self._in_traceback = line.startswith(b" ") and not line.endswith(b"+------------------------------------")
            return True
        return line.startswith(_AROUND_A_TRACEBACK)


class Window:
    """Admits so many a second and counts the rest."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._since = float("-inf")
        self._admitted = 0
        self._refused = 0

    def admits(self, now: float) -> bool:
        """Return whether one more is within the limit."""
        if now >= self._since + 1.0:
            self._since, self._admitted = now, 0
        if self._admitted < self._limit:
            self._admitted += 1
            return True
        self._refused += 1
        return False

    def refused(self) -> int:
        """Return how many were refused since this was last asked."""
        count, self._refused = self._refused, 0
        return count


class StderrLog:
    """The stderr of one plugin. A line of more than ``piece`` bytes arrives in pieces of that size."""

    def __init__(self, piece: int = LINE_PIECE) -> None:
        self._piece = piece
        self._pending = bytearray()
        self._continued = False
        self._trouble = _Trouble()
        self._tail: deque[bytes] = deque(maxlen=TAIL_LINES)
        self._errors, self._others = Window(LINES_PER_SECOND), Window(LINES_PER_SECOND)

    def feed(self, data: bytes, now: float, threshold: int = 0) -> list[Entry]:
        """Return what is to be logged of ``data``, leaving out what is below ``threshold``."""
        return [entry for piece, whole in self._split(data) for entry in self._entries(piece, whole, now, threshold)]

    def end(self, now: float, threshold: int = 0) -> list[Entry]:
        """Return what is left once the stream has ended: a last line without its end, and what a flood held back."""
        rest = bytes(self._pending)
        self._pending.clear()
        entries = self._entries(rest, not self._continued, now, threshold) if rest else []
        notes = [_left_out(count) for window in (self._errors, self._others) if (count := window.refused())]
        return entries + notes

    def tail(self) -> tuple[bytes, ...]:
        """Return the last lines, oldest first, each clipped, hclog's ``readable``, and what has no end yet."""
        pending = () if self._continued or not self._pending else (bytes(self._pending[:TAIL_LINE_MAX]),)
        return (*self._tail, *pending)[-TAIL_LINES:]

    def _split(self, data: bytes) -> Iterator[tuple[bytes, bool]]:
        *ended, last = data.split(b"\n")
        for part in ended:
            self._pending += part
            yield from self._too_long()
            yield bytes(self._pending), not self._continued
            self._pending.clear()
            self._continued = False
        self._pending += last
        yield from self._too_long()

    def _too_long(self) -> Iterator[tuple[bytes, bool]]:
        while len(self._pending) > self._piece:
            piece = bytes(self._pending[: self._piece])
            if not self._continued:
                self._tail.append(piece[:TAIL_LINE_MAX])
            del self._pending[: self._piece]
            self._continued = True
            yield piece, False

    def _entries(self, piece: bytes, whole: bool, now: float, threshold: int) -> list[Entry]:
        line = piece.removesuffix(b"\r")
        if not line:
            return []
        if whole:
            logged = parse(line)
            self._tail += (text[:TAIL_LINE_MAX] for text in (readable(logged) if logged else [line]))
            entry = logged or Entry(self._level(line), legible(line))
        else:
            entry = Entry(DEBUG, legible(line))
        if entry.level < threshold:
            return []
        window = self._errors if entry.level >= ERROR else self._others
        if not window.admits(now):
            return []
        count = window.refused()
        return [_left_out(count), entry] if count else [entry]

    def _level(self, line: bytes) -> int:
        tagged = prefixed(line)
        if tagged is not None:
            return tagged
        return ERROR if self._trouble.covers(line) else DEBUG


def readable(entry: Entry) -> list[bytes]:
    """Return what a plugin logged as lines for people: level, message and pairs, then a traceback, where it has one."""
    # What begins with @ is hclog's own, such as the time.
    pairs = (
        f"{key}={value if isinstance(value, str) else in_json(value)}"
        for key, value in entry.fields.items()
        if key[:1] != "@"
    )
    first = " ".join([f"{LEVELS[entry.level]}: {entry.message}", *pairs])
    traceback = str(entry.fields.get("@exception", "")).splitlines()
    return [text.encode("utf-8", "backslashreplace") for text in (first, *traceback)]


def _left_out(count: int) -> Entry:
    return Entry(WARNING, f"{count} lines are left out here: the plugin logs more than {LINES_PER_SECOND} a second")
