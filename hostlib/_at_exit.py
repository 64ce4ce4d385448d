"""Stops at the interpreter's exit what nobody stopped before. Never touches a client of another process.

It keeps its clients alive: one that was forgotten while its plugin runs is stopped all the same.
"""

import atexit
import os
from time import monotonic
from typing import Protocol

from ._ladder import StopBudget


class Stoppable(Protocol):
    """A client as this module sees it."""

    def stop_at_exit(self, budget: StopBudget) -> None:
        """Stop the plugin, without starting a thread: at this time of its life Python starts no more."""
        ...


_clients: dict[Stoppable, int] = {}


def keep(client: Stoppable) -> None:
    """See to it that ``client`` is stopped in the end."""
    _clients[client] = os.getpid()


def forget(client: Stoppable) -> None:
    """``client`` was stopped."""
    _clients.pop(client, None)


@atexit.register
def _stop_all() -> None:
    # A fork inherits this list, but the plugins are its parent's.
    mine = [client for client, owner in _clients.items() if owner == os.getpid()]
    budget = StopBudget()
    limit = monotonic() + budget.total  # one for all of them: a hundred stuck plugins take no longer than one
    for client in mine:
        left = max(0.0, limit - monotonic() - budget.kill)
        share = min(budget.shutdown, left)
        client.stop_at_exit(StopBudget(shutdown=share, terminate=min(budget.terminate, left - share)))
