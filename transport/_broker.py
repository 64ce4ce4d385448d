"""The book-keeping of brokered connections, the same for host and plugin, sync and asyncio.

Decides which id is free, which announcement answers which dial, what is still to be announced, and how a wait ends.
Never listens, dials, sends, waits or looks at a clock. It takes no lock: the shells do.
"""

import enum
import itertools
from collections import deque
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

from ..handshake import (
    Address,
    DialTimeout,
    GoPluginError,
    HostDialTimeout,
    HostFault,
    Misuse,
    PluginDialTimeout,
    PluginFault,
)

DIAL_WITHIN = 5.0
"""Seconds for which a dial waits for the announcement, unless it is told otherwise (grpc_broker.go:537)."""

KEPT_FOR = 5.0  # seconds for which an announced address waits to be dialled (grpc_broker.go:645)
PENDING_MAX = 10_000  # announcements kept at once: a flood of them must not fill the memory
OUTGOING_MAX = 1_000  # announcements that wait to be sent; each has a running server behind it
_SECONDS_MAX = 86_400.0  # a day; more is a mistake, and some systems cannot wait for as long as a float can say
_ID_MAX = 2**32 - 1  # ConnInfo.service_id is a uint32


class Side(enum.Enum):
    """One of the two that a broker connects."""

    HOST = "host"
    PLUGIN = "plugin"

    @property
    def timeout(self) -> type[DialTimeout]:
        """The error where this side did not serve what it was to serve."""
        return HostDialTimeout if self is Side.HOST else PluginDialTimeout

    @property
    def fault(self) -> type[GoPluginError]:
        """The error where this side broke the contract in another way."""
        return HostFault if self is Side.HOST else PluginFault


class Announcement(NamedTuple):
    """Somebody serves the brokered connection ``id`` at ``address``."""

    id: int
    address: Address


class Knock(NamedTuple):
    """Multiplexed: somebody wants to open a stream for the brokered connection ``id``, or is answered.

    Attributes:
        ack: whether it is the answer.
        error: why the answer is no.
    """

    id: int
    ack: bool = False
    error: str = ""


Message: TypeAlias = Announcement | Knock
"""What one side tells the other on a StartStream call."""


class Stream:
    """A StartStream call. ``wake`` is called when there is something to send on it; it may neither wait nor raise."""

    def __init__(self, wake: Callable[[], object]) -> None:
        self.wake = wake


class Dial:
    """A dial under way. Its shell waits for ``wake``, or for the seconds; then it leaves, and asks for the result.

    Args:
        other: the side that is to announce the id.
    """

    def __init__(self, id: int, other: Side, seconds: float, wake: Callable[[], object]) -> None:
        self.id, self._other, self._seconds, self._wake = id, other, seconds, wake
        self._outcome: Announcement | GoPluginError | None = None

    def settle(self, outcome: Announcement | GoPluginError) -> None:
        """End the wait."""
        self._outcome = outcome
        self._wake()

    def result(self) -> Announcement:
        """Return what answered it.

        Raises:
            HostDialTimeout, PluginDialTimeout: nothing did.
            HostFault, PluginFault: the broker stream ended meanwhile.
            Misuse: the broker was closed meanwhile.
        """
        match self._outcome:
            case None:
                raise self.late()
            case Announcement() as announcement:
                return announcement
            case error:
                raise error

    def late(self) -> GoPluginError:
        """Return what is raised where the time is over."""
        return self._other.timeout(self.id, self._seconds)

    def unreachable(self, address: Address, why: GoPluginError) -> GoPluginError:
        """Return what is raised where no way leads to the address that answered it."""
        what = f"announced the brokered connection {self.id} at {address}, but {why}"
        return self._other.fault(f"the {self._other.value} {what}")


class Ledger:
    """What the two sides of one plugin know of each other's brokered connections.

    Args:
        other: the side at the other end.
    """

    def __init__(self, other: Side) -> None:
        self._other = other
        self._ids = itertools.count(1)
        self._served: set[int] = set()
        self._dials: dict[int, Dial] = {}
        self._pending: dict[int, tuple[Announcement, float]] = {}  # by arrival, so the oldest are always first
        self._outgoing: deque[Message] = deque()
        self._stream: Stream | None = None
        self._over: GoPluginError | None = None

    def next_id(self) -> int:
        """Return an id that this side has not used, from 1 on (grpc_broker.go:570). Safe to call from any thread."""
        return next(self._ids)

    def serve(self, id: int) -> None:
        """Note that this side is about to serve ``id``.

        Raises:
            Misuse: it does already, it is no id, or the broker is closed.
            PluginFault: the plugin ended its broker stream.
        """
        self.check_open()
        self._check(id)
        if id in self._served:
            raise Misuse(f"the brokered connection {id} is served already; close that server first, or take next_id()")
        self._served.add(id)

    def announce(self, announcement: Announcement) -> None:
        """Queue what the other side is to know.

        Raises:
            HostFault, PluginFault: the other side takes no announcements.
            Misuse: the broker is closed.
        """
        self.check_open()
        if len(self._outgoing) >= OUTGOING_MAX:
            raise self._other.fault(f"the {self._other.value} takes no announcements: {OUTGOING_MAX} wait for it")
        self._queue(announcement)

    def knock(self, knock: Knock) -> None:
        """Queue a knock, or the answer to one. It is dropped where the other side takes none; whoever knocks waits."""
        if self._over is None and len(self._outgoing) < OUTGOING_MAX:
            self._queue(knock)

    def unserve(self, id: int) -> None:
        """Note that this side serves ``id`` no more. What was not sent of it yet never will be."""
        self._served.discard(id)
        kept = [message for message in self._outgoing if isinstance(message, Knock) or message.id != id]
        if len(kept) < len(self._outgoing):
            self._outgoing = deque(kept)

    def opened(self, stream: Stream) -> None:
        """Note a stream to the other side. A later one takes the place of an earlier one: the host came back."""
        self._stream = stream
        if self._outgoing:
            stream.wake()

    def outgoing(self, stream: Stream) -> Message | None:
        """Return what to send next on this stream, or None for now."""
        return self._outgoing.popleft() if stream is self._stream and self._outgoing else None

    def ended(self, stream: Stream) -> GoPluginError | None:
        """Note the end of a stream: who waits for an announcement waits in vain, and for this error if any.

        A host may come back and open another, a plugin cannot.
        """
        if stream is not self._stream:
            return None
        self._stream = None
        error = self._other.fault(f"the {self._other.value} ended its broker stream, so nothing can be brokered")
        if self._other is Side.PLUGIN and self._over is None:
            self._over = error
        self._fail_dials(error)
        return error

    def announced(self, announcement: Announcement, now: float) -> None:
        """Note what the other side announced. It answers the dial that waits for it, or is kept for five seconds."""
        if self._over is not None:
            return
        waiting = self._dials.pop(announcement.id, None)
        if waiting is not None:
            waiting.settle(announcement)
            return
        self._forget(now)
        self._pending.pop(announcement.id, None)
        self._pending[announcement.id] = announcement, now + KEPT_FOR
        if len(self._pending) > PENDING_MAX:
            del self._pending[next(iter(self._pending))]

    def dial(self, id: int, now: float, seconds: float, wake: Callable[[], object]) -> Dial:
        """Begin a dial; it may be settled at once. ``leave`` it in any case.

        Raises:
            Misuse: the id is being dialled already or is none, the seconds make no sense, or the broker is closed.
            PluginFault: the plugin ended its broker stream.
        """
        self.check_dial(id, seconds)
        if id in self._dials:
            raise Misuse(f"the brokered connection {id} is being dialled already, and it is announced once")
        dial = Dial(id, self._other, seconds, wake)
        self._forget(now)
        found = self._pending.pop(id, None)
        if found is not None:
            dial.settle(found[0])
        else:
            self._dials[id] = dial
        return dial

    def leave(self, dial: Dial) -> None:
        """Wait for it no more."""
        if self._dials.get(dial.id) is dial:
            del self._dials[dial.id]

    def close(self) -> GoPluginError:
        """Broker nothing more, and return the error for who waits. Closing twice is fine."""
        self._over = Misuse("the broker is closed: host and plugin have parted")
        self._pending.clear()
        self._outgoing.clear()
        self._fail_dials(self._over)
        return self._over

    def check_open(self) -> None:
        """Raise what ``serve``, ``announce`` and ``dial`` raise once nothing is brokered any more."""
        if self._over is not None:
            raise type(self._over)(*self._over.args)  # a fresh one: an error keeps the frames that it passed

    def check_dial(self, id: int, seconds: float) -> None:
        """Raise what ``dial`` raises of itself, where it is not the ledger that answers the dial.

        Raises:
            Misuse, PluginFault: as ``dial``.
        """
        self.check_open()
        self._check(id)
        if not 0 <= seconds <= _SECONDS_MAX:
            raise Misuse(f"timeout must be seconds from 0 to {_SECONDS_MAX:g}, got {seconds!r}")

    def _queue(self, message: Message) -> None:
        self._outgoing.append(message)
        if self._stream is not None:
            self._stream.wake()

    def _check(self, id: int) -> None:
        if not 0 <= id <= _ID_MAX:
            raise Misuse(f"the id of a brokered connection is 0 to {_ID_MAX}, got {id!r}")

    def _fail_dials(self, error: GoPluginError) -> None:
        dials, self._dials = self._dials, {}
        for dial in dials.values():
            dial.settle(type(error)(*error.args))

    def _forget(self, now: float) -> None:
        while self._pending and next(iter(self._pending.values()))[1] <= now:
            del self._pending[next(iter(self._pending))]
