"""What is owed for a batch on its way: its origin hears once what became of it, when all that came of it is settled.

Decides only. Safe for several threads; the callback runs in the thread that settles last.
"""

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from ._batcher import Batcher
from ._message import Batch, Message

if TYPE_CHECKING:
    from ._components import Policy  # a pipeline's, with YAML, which plugins start without


class Receipt:
    """The shares of one batch that are still to be settled; the batch failed if any of them did.

    Args:
        settled: called once, with the first error or with nothing.
    """

    __slots__ = ("_error", "_lock", "_settled", "_shares")

    def __init__(self, settled: Callable[[str], object]) -> None:
        self._settled = settled
        self._shares, self._error = 1, ""
        self._lock = threading.Lock()

    def split(self, shares: int) -> None:
        """One share became so many: none where all of it was dropped on purpose."""
        if shares == 0:
            self.settle()
        else:
            with self._lock:
                self._shares += shares - 1

    def settle(self, error: str = "") -> None:
        """Settle one share: delivered, or failed for the reason given."""
        with self._lock:
            self._error = self._error or error
            self._shares -= 1
            over = self._shares == 0
        if over:
            self._settled(self._error)


class Parcel(NamedTuple):
    """A batch on its way, and whom it is owed to; None where nobody wants to know."""

    messages: Batch
    receipt: Receipt | None = None

    def settle(self, error: str = "") -> None:
        """Settle this share of what is owed."""
        if self.receipt is not None:
            self.receipt.settle(error)


class Gatherer:
    """Gathers parcels into those that a policy wants; each has a share of every parcel that is partly in it."""

    def __init__(self, policy: "Policy", now: float) -> None:
        self._batcher = Batcher(policy, now)
        self._owed: list[Receipt] = []

    @property
    def due(self) -> float | None:
        """When a parcel is full if nothing more comes, or None if that is never."""
        return self._batcher.due

    def add(self, parcel: Parcel, now: float) -> list[Parcel]:
        """Add a parcel; return those that are full."""
        full: list[Parcel] = []
        receipt, first = parcel.receipt, True
        for message in parcel.messages:
            if receipt is not None and (first or not self._owed):
                if not first:
                    receipt.split(2)  # the rest of it goes with the next parcel
                first = False
                self._owed.append(receipt)
            full += self._sealed(self._batcher.add(message, now))
        if not parcel.messages:
            parcel.settle()
        return full

    def tick(self, now: float) -> list[Parcel]:
        """Return what is full because its time has come."""
        return self._sealed(self._batcher.tick(now))

    def flush(self, now: float) -> list[Parcel]:
        """Return what is there, full or not."""
        return self._sealed(self._batcher.flush(now))

    def _sealed(self, batch: list[Message] | None) -> list[Parcel]:
        if batch is None:
            return []
        owed, self._owed = self._owed, []
        return [Parcel(batch, _joined(owed))]


def _joined(owed: list[Receipt]) -> Receipt | None:
    if len(owed) < 2:
        return owed[0] if owed else None

    def settled(error: str) -> None:
        for receipt in owed:
            receipt.settle(error)

    return Receipt(settled)
