"""What the program printed, on its way to the host's reader: bounded, and counted where it is cut.

Decides what is kept, what is dropped and whether a writer should wait. Never locks, waits or looks at a clock.
"""

import enum
from collections import deque

CHUNK = 32 * 1024  # in one message: far below every message limit, large enough that its framing costs nothing
PIECE = 64 * 1024  # what a writer adds at once: a full pipe
LIMIT = 1024 * 1024  # for an absent reader: as much as a log viewer shows, and no burden on an idle plugin
EXPECTED = 5.0  # seconds after the line in which the first reader may come; hosts open StreamStdio as they connect
STALL = 5.0  # seconds without progress after which a present reader counts as absent; a busy host takes far less


class Channel(enum.IntEnum):
    """Which of the program's streams; the numbers are those of StdioData."""

    STDOUT = 1
    STDERR = 2


Chunk = tuple[Channel, bytes]
"""A piece of one stream, at most CHUNK bytes, cut anywhere."""


class Spool:
    """A queue of output with at most one reader, the latest that came.

    Over its limit it drops the oldest bytes: a reader that comes late wants to know what the program says now, and
    the end of a log explains its state better than the beginning. What was dropped is counted, and the reader is
    told in its place, on STDERR, for STDOUT may be data.

    The latest reader takes over: after a host died, its successor may be here before the dead one's stream is.
    """

    def __init__(self, limit: int = LIMIT, present_limit: int = LIMIT, stall: float = STALL) -> None:
        self._absent_limit, self._present_limit, self._stall = limit, present_limit, stall
        self._queue: deque[tuple[Channel, bytearray]] = deque()
        self._size = 0
        self._dropped = 0
        self._reader = 0  # the number of the latest reader
        self._present = False
        self._expected_until = 0.0
        self._moved = 0.0  # when the reader last took something, or was last given something after it had all
        self.finished = False

    def expect(self, until: float) -> None:
        """Let writers wait for the first reader, too, which will come before that time: what a plugin says at its start
        is not to be lost because its host is slow to connect."""
        self._expected_until = until

    def attach(self, now: float) -> int:
        """Return the number of a new reader, which replaces the one before."""
        self._reader += 1
        self._present, self._expected_until, self._moved = True, 0.0, now
        return self._reader

    def detach(self, reader: int) -> None:
        """Forget a reader, unless another has replaced it."""
        if reader == self._reader:
            self._present = False
            self._drop_surplus(self._absent_limit)

    def is_current(self, reader: int) -> bool:
        """Return whether this reader is still the one that is served."""
        return self._present and reader == self._reader

    def append(self, channel: Channel, data: bytes | memoryview, now: float) -> bool:
        """Add at most PIECE bytes, dropping the oldest over the limit; return whether a waiting reader must be told."""
        was_empty = not self._queue and not self._dropped
        if was_empty:
            self._moved = now
        view = memoryview(data)
        self._size += len(view)
        while view:
            last = self._queue[-1] if self._queue else None
            if last is None or last[0] is not channel or len(last[1]) >= CHUNK:
                last = channel, bytearray()
                self._queue.append(last)
            piece = view[: CHUNK - len(last[1])]
            last[1].extend(piece)
            view = view[len(piece) :]
        self._drop_surplus(self._limit(now))
        return was_empty

    def _limit(self, now: float) -> int:
        return self._present_limit if self._present or now < self._expected_until else self._absent_limit

    def _drop_surplus(self, limit: int) -> None:
        # A writer that waited its turn may pass the limit by one piece, so nothing is lost to a reader that reads.
        while self._size > limit + PIECE:
            _, oldest = self._queue.popleft()
            self._size -= len(oldest)
            self._dropped += len(oldest)

    def crowded(self, now: float) -> bool:
        """Return whether a writer should wait: the queue is full, and a reader takes from it or is expected."""
        return self._size >= self._limit(now) and now < self.patience

    @property
    def patience(self) -> float:
        """The time at which a crowded spool stops being one, if the reader takes nothing."""
        return self._moved + self._stall if self._present else self._expected_until

    def take(self, reader: int, now: float) -> Chunk | None:
        """Return the next chunk for this reader, or None where there is none yet or another reader took over."""
        if not self.is_current(reader):
            return None
        self._moved = now
        if self._dropped:
            told = f"goplugin: {self._dropped} bytes of output were dropped, nobody read them\n"
            self._dropped = 0
            return Channel.STDERR, told.encode()
        if not self._queue:
            return None
        channel, data = self._queue.popleft()
        self._size -= len(data)
        return channel, bytes(data)

    def is_over(self, reader: int) -> bool:
        """Return whether this reader has had all there will ever be for it."""
        return not self.is_current(reader) or (self.finished and not self._queue and not self._dropped)
