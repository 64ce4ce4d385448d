"""Picks the next step of stopping a plugin. Never signals, calls or sleeps; the shells do.

Ask (the Shutdown RPC), then SIGTERM to its group, then SIGKILL to its group: each step has its share of one budget, so
the whole has an end whatever the plugin does.
"""

import enum
from collections import deque
from dataclasses import dataclass
from typing import Literal

from ..handshake import Misuse, PluginLost

SECONDS_MAX = 24 * 60 * 60  # for any wait: those of the operating system overflow after 24 days


def bounded(name: str, value: float, least: float = 0.0) -> float:
    """Return ``value`` if it is a time that can be waited for.

    Raises:
        Misuse: it is less than ``least`` or longer than a day.
    """
    if not least <= value <= SECONDS_MAX:
        raise Misuse(f"{name} must be seconds from {least:g} to {SECONDS_MAX}, got {value!r}")
    return value


@dataclass(frozen=True, slots=True, kw_only=True)
class StopBudget:
    """How long each step of a stop may take, in seconds. A step with no time is left out, but not the last.

    Attributes:
        shutdown: from the Shutdown RPC until the process has ended.
        terminate: from SIGTERM until the process has ended.
        kill: from SIGKILL until the kernel has ended it.

    Raises:
        Misuse: a share is negative or longer than a day, or ``kill`` is zero.
    """

    shutdown: float = 2.0
    terminate: float = 5.0
    kill: float = 2.0

    def __post_init__(self) -> None:
        for name in ("shutdown", "terminate", "kill"):
            bounded(f"{name} of a stop budget", getattr(self, name))
        if self.kill == 0:
            raise Misuse("kill of a stop budget must not be 0: the kernel needs a moment to end a process")

    @property
    def total(self) -> float:
        """The longest that a stop takes, in seconds."""
        return self.shutdown + self.terminate + self.kill


How = Literal["shutdown", "terminated", "killed", "exited already", "disconnected"]


class Rung(enum.Enum):
    """A step, named for how the plugin then ended."""

    SHUTDOWN = "shutdown"
    TERMINATE = "terminated"
    KILL = "killed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopped:
    """How a plugin stopped.

    Attributes:
        how: the step after which it ended, ``"exited already"`` when it had ended before, or ``"disconnected"`` when
            it was left running.
        exit_code: its exit code, or None when a signal ended it, or when it was no child of this process or reaped by
            somebody else.
        signal: the name of that signal, such as ``"SIGKILL"``, or None.
        seconds: how long the stop took.
    """

    how: How
    exit_code: int | None
    signal: str | None
    seconds: float

    @classmethod
    def after(cls, rung: Rung | None, status: int | None, seconds: float, *, left: bool = False) -> "Stopped":
        """Return the record for a process that ended with ``status``, as ``subprocess`` gives it, after ``rung``.

        ``left``: without any step it was left running.
        """
        fate = PluginLost("stopped", status=status)
        how: How = rung.value if rung is not None else "disconnected" if left else "exited already"
        return cls(how=how, exit_code=fate.exit_code, signal=fate.signal, seconds=seconds)


class Ladder:
    """The steps still to take. ``deadline`` says until when the shell waits for the process to end."""

    def __init__(self, budget: StopBudget, now: float, *, connected: bool) -> None:
        shares = [
            (Rung.SHUTDOWN, budget.shutdown if connected else 0.0),
            (Rung.TERMINATE, budget.terminate),
            (Rung.KILL, budget.kill),
        ]
        self._left = deque((rung, seconds) for rung, seconds in shares if seconds > 0)
        self.rung: Rung | None = None
        self.deadline = now

    def due(self, now: float) -> Rung | None:
        """Return the step to take now, or None to wait until ``deadline``."""
        if now < self.deadline or not self._left:
            return None
        self.rung, seconds = self._left.popleft()
        self.deadline = now + seconds
        return self.rung

    def refused(self, now: float) -> None:
        """The plugin cannot do what this step asks of it, so the next one is due."""
        self.deadline = min(self.deadline, now)

    def spent(self, now: float) -> bool:
        """Return whether every step was taken in vain."""
        return not self._left and now >= self.deadline
