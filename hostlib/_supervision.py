"""Decides when a supervised plugin is started, pinged, replaced or given up. Never starts, waits or looks at a clock.

A shell asks ``due`` what to do now, does it, and tells how it went. ``deadline`` says until when it may watch or rest.
What happened to the plugin is told as records, in order, by ``news``.
"""

import enum
import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from ..handshake import GoPluginError, Misuse, PluginLost
from ._ladder import bounded


class Restart(enum.Enum):
    """After which end a plugin is started again."""

    ALWAYS = "always"
    ON_FAILURE = "on failure"
    """Not after it ended by itself with exit code 0."""
    NEVER = "never"


@dataclass(frozen=True, slots=True, kw_only=True)
class RestartPolicy:
    """When a plugin is started again, and when it is given up.

    The first restart waits for ``delay`` seconds, each further one ``factor`` times as long, up to ``delay_max``. A
    plugin that was ready for ``steady`` seconds begins with ``delay`` again. Of each delay a random part is left out,
    at most the fraction ``jitter``, so that many plugins that fell together do not start together.

    Attributes:
        restart: after which end.
        delay, factor, delay_max, steady, jitter: as above.
        limit: how many restarts there may be within ``window`` seconds; the plugin that needs another is given up.
            None for no limit.
        window: seconds.

    Raises:
        Misuse: a value makes no sense.
    """

    restart: Restart = Restart.ALWAYS
    delay: float = 0.1
    factor: float = 2.0
    delay_max: float = 30.0
    steady: float = 10.0
    jitter: float = 0.5
    limit: int | None = 10
    window: float = 300.0

    def __post_init__(self) -> None:
        bounded("delay", self.delay)
        bounded("delay_max", self.delay_max, least=self.delay)
        bounded("steady", self.steady)
        bounded("window", self.window)
        if not 1 <= self.factor < math.inf:
            raise Misuse(f"factor of a restart policy must be at least 1, got {self.factor!r}")
        if not 0 <= self.jitter <= 1:
            raise Misuse(f"jitter of a restart policy must be a fraction from 0 to 1, got {self.jitter!r}")
        if self.limit is not None and self.limit < 0:
            raise Misuse(f"limit of a restart policy must not be negative, got {self.limit!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthCheck:
    """How a plugin that runs is asked whether it is healthy.

    Attributes:
        every: seconds from one answer to the next Ping.
        timeout: seconds that an answer may take.
        misses: how many Pings in a row must fail for the plugin to be replaced.

    Raises:
        Misuse: a value makes no sense.
    """

    every: float = 10.0
    timeout: float = 5.0
    misses: int = 3

    def __post_init__(self) -> None:
        bounded("every", self.every, least=0.001)
        bounded("timeout", self.timeout, least=0.001)
        if self.misses < 1:
            raise Misuse(f"misses of a health check must be at least 1, got {self.misses!r}")


class Started(NamedTuple):
    """The plugin is being started.

    Attributes:
        restarts: how often it was started before.
    """

    restarts: int


class Ready(NamedTuple):
    """The plugin runs and answers.

    Attributes:
        pid: its process id.
        seconds: how long its start took.
    """

    pid: int | None
    seconds: float


class Lost(NamedTuple):
    """The plugin ended, could not be started, or is no longer healthy.

    Attributes:
        error: the reason.
        ready_for: seconds for which it was ready; 0 for one that never was.
    """

    error: Exception
    ready_for: float


class Restarting(NamedTuple):
    """The plugin will be started again.

    Attributes:
        restarts: how many restarts there are with this one.
        delay: in how many seconds.
    """

    restarts: int
    delay: float


class GaveUp(NamedTuple):
    """The plugin will not be started again.

    Attributes:
        why: the rule that says so.
        error: how it was lost for the last time.
        restarts: how often it was restarted.
    """

    why: str
    error: Exception
    restarts: int


Event = Started | Ready | Lost | Restarting | GaveUp
"""What happens to a supervised plugin."""


class PluginGivenUp(PluginLost):
    """The plugin was lost and is not started again."""


class MayHaveRun(PluginLost):
    """The plugin was lost during a call, which it may have executed: as a whole, in part, or not at all."""


class Do(enum.Enum):
    """What a shell does next."""

    START = enum.auto()  # make a client and start it; then ``ready`` or ``lost``
    WATCH = enum.auto()  # wait until ``deadline`` for its end; then ``lost``, or ask again
    PING = enum.auto()  # then ``healthy``, ``missed`` or ``lost``
    CLEAR = enum.auto()  # stop what is left of it; then ``cleared``
    REST = enum.auto()  # wait until ``deadline``
    END = enum.auto()  # stop what there is, for good


class Supervision:
    """The life of one supervised plugin.

    Args:
        chance: gives a random number from 0 to 1, for the jitter.

    Attributes:
        deadline: until when to watch or to rest.
        patience: seconds for the answer to a Ping.
        stopping: whether it is to end.
    """

    def __init__(self, policy: RestartPolicy, health: HealthCheck | None, chance: Callable[[], float]) -> None:
        self._policy, self._chance = policy, chance
        self._every, self._misses_max = (health.every, health.misses) if health is not None else (math.inf, 1)
        self.patience = health.timeout if health is not None else 0.0
        self._do, self.deadline = Do.REST, -math.inf  # the first start is due at once
        self._news: list[Event] = []
        self._starts = 0
        self._restarts_at: deque[float] = deque()  # within the window
        self._delay = policy.delay  # before the next restart
        self._began = 0.0  # the last start
        self._since: float | None = None  # when it became ready, if it is
        self._missed = 0  # Pings in a row
        self._last: Exception = PluginLost("is still starting")  # how it was lost
        self._why: str | None = None  # it was given up
        self.stopping = False

    @property
    def running(self) -> bool:
        """Whether it is ready, as far as is known."""
        return self._since is not None

    def due(self, now: float) -> Do:
        """Return what to do now."""
        if self.stopping:
            return Do.END
        if now >= self.deadline:
            if self._do is Do.REST:
                self._start(now)
            elif self._do is Do.WATCH:
                self._do = Do.PING
        return self._do

    def news(self) -> list[Event]:
        """Return what happened since this was last asked."""
        news, self._news = self._news, []
        return news

    def ready(self, now: float, pid: int | None) -> None:
        """It was started and answers."""
        self._news.append(Ready(pid, now - self._began))
        self._since = now
        self.healthy(now)

    def healthy(self, now: float) -> None:
        """It answered a Ping."""
        self._missed = 0
        self._watch(now)

    def missed(self, now: float, error: Exception) -> None:
        """It failed a Ping, and its process has not ended."""
        self._missed += 1
        if self._missed >= self._misses_max:
            self.lost(now, error)
        else:
            self._watch(now)

    def lost(self, now: float, error: Exception) -> None:
        """It ended, or could not be started."""
        if self.stopping:
            return  # that was us
        _let_go(error)
        ready_for = 0.0 if self._since is None else now - self._since
        if self._since is not None and ready_for >= self._policy.steady:
            self._delay = self._policy.delay
        self._since, self._last, self._do = None, error, Do.CLEAR
        self._news.append(Lost(error, ready_for))

    def cleared(self, now: float) -> None:
        """Nothing is left of the process that was lost."""
        why = self._hopeless(now)
        if why is not None:
            self._give_up(why)
            return
        delay = self._delay * (1 - self._policy.jitter * self._chance())
        self._delay = min(self._delay * self._policy.factor, self._policy.delay_max)
        self._news.append(Restarting(self._starts, delay))
        self._do, self.deadline = Do.REST, now + delay

    def failed(self, error: Exception) -> None:
        """The shell failed at what it was to do, and cleared."""
        self._since, self._last = None, error
        self._give_up("its supervision failed")

    def stop(self) -> None:
        """Whatever it does, it is to end."""
        self.stopping = True

    def refuse(self) -> None:
        """Raise for one who waits for it where it will never be ready again.

        Raises:
            Misuse: it was stopped.
            PluginGivenUp: it was given up.
        """
        if self.stopping:
            raise Misuse("the supervised plugin was stopped")
        if self._why is not None:
            raise after(PluginGivenUp, f"is not started again, for {self._why}", self._last)

    def unready(self, seconds: float) -> PluginLost:
        """Return the error for one who waited in vain for ``seconds``."""
        return after(PluginLost, f"was not ready within {seconds:g} s", self._last)

    def _start(self, now: float) -> None:
        if self._starts:
            self._restarts_at.append(now)
        self._news.append(Started(self._starts))
        self._starts += 1
        self._began, self._do = now, Do.START

    def _give_up(self, why: str) -> None:
        self._why, self._do = why, Do.END
        self._news.append(GaveUp(why, self._last, max(0, self._starts - 1)))

    def _watch(self, now: float) -> None:
        self._do, self.deadline = Do.WATCH, now + self._every

    def _hopeless(self, now: float) -> str | None:
        policy, error = self._policy, self._last
        if isinstance(error, Misuse) or not isinstance(error, GoPluginError):
            return "no restart can cure this"
        if policy.restart is Restart.NEVER:
            return "its policy is so"
        if policy.restart is Restart.ON_FAILURE and isinstance(error, PluginLost) and error.exit_code == 0:
            return "it ended by itself and is restarted on failure only"
        while self._restarts_at and self._restarts_at[0] <= now - policy.window:
            self._restarts_at.popleft()
        if policy.limit is not None and len(self._restarts_at) >= policy.limit:
            return f"it was restarted {policy.limit} times within {policy.window:g} s"
        return None


class Attempts:
    """Whether a call that failed may be tried again. ``current`` says whether its plugin is still the one to call."""

    def __init__(self, *, idempotent: bool, attempts: int) -> None:
        if attempts < 1:
            raise Misuse(f"attempts of a call must be at least 1, got {attempts!r}")
        self._left = attempts if idempotent else 1

    def unsent(self, error: PluginLost | Misuse, *, current: bool) -> None:
        """Return where the call never began and the next plugin can be asked, and raise what it raised else."""
        if isinstance(error, Misuse) and current:
            raise error

    def broken(self, error: PluginLost | Misuse, *, current: bool, pid: int | None = None) -> None:
        """Return where it may be tried again, and raise else: also the loss of another than ``pid``, which it used."""
        self.unsent(error, current=current)
        if isinstance(error, PluginLost) and None not in (pid, error.pid) and pid != error.pid:
            raise error
        self._left -= 1
        if not self._left:
            raise after(MayHaveRun, "was lost in a call that may have been executed", error) from error


def _let_go(error: BaseException | None) -> None:
    """Drop the frames that an error of ours passed: they hold channels and with them threads as long as it is kept."""
    if isinstance(error, GoPluginError):
        while error is not None:
            error.__traceback__ = None
            error = error.__cause__ or error.__context__


Kind = TypeVar("Kind", bound=PluginLost)


def after(kind: type[Kind], reason: str, error: Exception) -> Kind:
    """Return the error that ``reason`` is, with all that is known of the loss before it."""
    if not isinstance(error, PluginLost):
        return kind(reason, notes=[f"{type(error).__name__}: {error}"])
    return kind(
        f"{reason}; it {error.reason}",
        argv=error.argv,
        pid=error.pid,
        status=error.status,
        said=error.said,
        stderr=error.stderr,
        notes=error.notes,
    )
