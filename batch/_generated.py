"""The `generate` input: messages that a mapping makes, at an interval."""

import itertools
import threading
import uuid
from collections import defaultdict
from datetime import UTC, datetime
from time import monotonic, time

from ._components import GenerateInput
from ._mapping import Call, Function
from ._message import Batch, Message
from ._receipt import Parcel


class Generated:
    """A source of messages that are made up."""

    expected = None
    files = ()
    consumed = 0

    def __init__(self, spec: GenerateInput) -> None:
        self._spec = spec
        self._left = spec.count
        self._next: float | None = None  # the first batch is due at once
        self._interrupted = threading.Event()
        numbers: dict[Call, itertools.count[int]] = defaultdict(lambda: itertools.count(1))
        self._functions: dict[str, Function] = {
            "counter": lambda call: next(numbers[call]),  # each counts for itself, as in Redpanda Connect
            "uuid_v4": lambda _: str(uuid.uuid4()),
            "now": lambda _: datetime.now(UTC).isoformat().replace("+00:00", "Z"),
            "timestamp_unix": lambda _: int(time()),
        }

    def read(self, timeout: float | None) -> list[Parcel] | None:
        if self._spec.count and not self._left:
            return None
        if self._spec.interval:
            due = monotonic() if self._next is None else self._next
            left = max(0.0, due - monotonic())
            if self._interrupted.wait(left if timeout is None else min(left, timeout)) or monotonic() < due:
                return []
            self._next = max(due + self._spec.interval, monotonic())  # what was missed is not made up for
        size = min(self._spec.batch_size, self._left) if self._spec.count else self._spec.batch_size
        self._left -= size
        return [Parcel(self._batch(size))]

    def _batch(self, size: int) -> Batch:
        batch: Batch = []
        for _ in range(size):
            payload, metadata = self._spec.mapping.make(self._functions)
            # A string is the payload itself, as in Redpanda Connect.
            if isinstance(payload, str):
                batch.append(Message(payload.encode(), metadata=metadata))
            else:
                batch.append(Message(structured=payload, metadata=metadata))
        return batch

    def rest(self) -> list[Parcel]:
        return []

    def unfinished(self) -> int:
        return 0

    def interrupt(self) -> None:
        self._interrupted.set()

    def close(self) -> None:
        """Nothing is open."""
