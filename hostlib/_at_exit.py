"""Stops at the interpreter's exit what nobody stopped before. Never touches a plugin of another process.

It keeps its clients alive: one that was forgotten while its plugin runs is stopped all the same.
"""

import atexit
import logging
import os
from collections.abc import Callable
from functools import partial
from time import monotonic

from ._ladder import StopBudget

Stop = Callable[[StopBudget], object]
"""Stops a plugin within a budget. It starts no thread: at this time of its life Python starts no more."""
Ask = Callable[[], object]
"""Asks a plugin to end, and hardly waits. It starts no thread either."""

_LOGGER = logging.getLogger("goplugin.hostlib")
_kept: dict[Stop, tuple[int, Ask]] = {}


def keep(stop: Stop, ask: Ask) -> None:
    """See to it that a plugin is asked to end, and stopped, in the end."""
    _kept[stop] = os.getpid(), ask


def forget(stop: Stop) -> None:
    """The plugin has stopped."""
    _kept.pop(stop, None)


@atexit.register
def _stop_all() -> None:
    # A fork inherits this list, but the plugins are its parent's.
    mine = [(stop, ask) for stop, (owner, ask) in list(_kept.items()) if owner == os.getpid()]
    # One limit for all: a hundred plugins that resist take hardly longer than one, and one does not cost the others
    # their chance to end in order.
    for _, ask in mine:
        _try(ask)
    budget = StopBudget()
    limit = monotonic() + budget.shutdown + budget.terminate
    for stop, _ in mine:
        left = max(0.0, limit - monotonic())
        shutdown = min(budget.shutdown, left)
        rest = StopBudget(shutdown=shutdown, terminate=min(budget.terminate, left - shutdown))
        _try(partial(stop, rest))


def _try(step: Callable[[], object]) -> None:
    try:
        step()
    except Exception:
        _LOGGER.exception("a plugin could not be stopped at the interpreter's exit")  # the others still are
