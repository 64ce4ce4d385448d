"""Stops at the interpreter's exit what nobody stopped before. Never touches a plugin of another process.

It keeps its clients alive: one that was forgotten while its plugin runs is stopped all the same.
"""

import atexit
import os
from collections.abc import Callable
from time import monotonic

from ._ladder import StopBudget

Stop = Callable[[StopBudget], object]
"""Stops a plugin within a budget. It starts no thread: at this time of its life Python starts no more."""

_owners: dict[Stop, int] = {}


def keep(stop: Stop) -> None:
    """See to it that ``stop`` is called in the end."""
    _owners[stop] = os.getpid()


def forget(stop: Stop) -> None:
    """The plugin has stopped."""
    _owners.pop(stop, None)


@atexit.register
def _stop_all() -> None:
    # A fork inherits this list, but the plugins are its parent's.
    mine = [stop for stop, owner in _owners.items() if owner == os.getpid()]
    budget = StopBudget()
    limit = monotonic() + budget.shutdown + budget.terminate
    for stop in mine:
        # One limit for all of them: a hundred stuck plugins take hardly longer than one.
        left = max(0.0, limit - monotonic())
        shutdown = min(budget.shutdown, left)
        stop(StopBudget(shutdown=shutdown, terminate=min(budget.terminate, left - shutdown)))
