"""Gathers messages into batches by a policy, as Redpanda Connect does. Pure: time is an argument, nothing waits."""

from typing import TYPE_CHECKING

from ._errors import BadValue
from ._message import Batch, Message

if TYPE_CHECKING:
    from ._components import Policy


class Batcher:
    """The batch that is being gathered.

    A batch is full with the message that reaches the count or the bytes, and when a period has passed since the last
    batch, whether or not that held anything.
    """

    def __init__(self, policy: "Policy", now: float) -> None:
        self._policy, self._last = policy, now
        self._batch: Batch = []
        self._size = 0

    @property
    def due(self) -> float | None:
        """When the batch is full if nothing more comes, or None without a period."""
        return self._last + self._policy.period if self._policy.period else None

    def add(self, message: Message, now: float) -> Batch | None:
        """Add a message; return the batch if that fills it."""
        self._batch.append(message)
        policy = self._policy
        full = 0 < policy.count <= len(self._batch)
        if policy.byte_size:
            self._size += _size(message)
            full = full or self._size >= policy.byte_size
        return self.flush(now) if full else self.tick(now)

    def tick(self, now: float) -> Batch | None:
        """Return the batch if its time has come and there is something in it."""
        due = self.due
        return self.flush(now) if due is not None and now >= due else None

    def flush(self, now: float) -> Batch | None:
        """Return the batch, full or not, unless it is empty."""
        batch, self._batch, self._size, self._last = self._batch, [], 0, now
        return batch or None


def _size(message: Message) -> int:
    try:
        return len(message.payload)
    except (ValueError, BadValue):  # it has no bytes, as whoever writes it will say
        return 0
