"""The book-keeping of brokered connections, the same for host and plugin. Never listens, dials or sends."""

import itertools
import threading
from collections.abc import Callable
from time import monotonic
from typing import NamedTuple

from ..handshake import Address

KEPT_FOR = 5.0  # seconds for which an announced address waits to be dialled (grpc_broker.go:386)
PENDING_MAX = 10_000  # announcements kept at once: a flood of them must not fill the memory


class Announcement(NamedTuple):
    """The other side serves the brokered connection ``id`` at ``address``."""

    id: int
    address: Address


class Broker:
    """What the two sides of one plugin know of each other's brokered connections. Safe to use from any thread."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._ids = itertools.count(1)
        self._lock = threading.Lock()
        # In the order of arrival, so the oldest are always first.
        self._pending: dict[int, tuple[Announcement, float]] = {}

    def next_id(self) -> int:
        """Return an id that this side has not used; ids start at 1 (grpc_broker.go:462)."""
        return next(self._ids)

    def announced(self, announcement: Announcement) -> None:
        """Remember an announcement of the other side until it is taken, or for five seconds."""
        now = self._clock()
        with self._lock:
            self._forget(now)
            self._pending.pop(announcement.id, None)
            self._pending[announcement.id] = announcement, now + KEPT_FOR
            if len(self._pending) > PENDING_MAX:
                del self._pending[next(iter(self._pending))]

    def take(self, id: int) -> Announcement | None:
        """Return what was announced for ``id``, once, or None."""
        with self._lock:
            self._forget(self._clock())
            found = self._pending.pop(id, None)
        return found[0] if found is not None else None

    def _forget(self, now: float) -> None:
        while self._pending and next(iter(self._pending.values()))[1] <= now:
            del self._pending[next(iter(self._pending))]
