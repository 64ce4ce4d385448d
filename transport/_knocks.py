"""Knocks: for which brokered server the next stream of a multiplexed connection is. Moves no bytes, keeps no time.

A stream carries no id, so whoever wants to open one knocks for its id first, on the broker's stream, and opens it when
the knock was answered (grpc_broker.go:434). All of it belongs to one thread, the reactor's.
"""

from collections import deque
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from ..handshake import GoPluginError, quoted
from ._broker import DIAL_WITHIN, KEPT_FOR, PENDING_MAX, Knock, Side

LAPSE = 1.0
"""Seconds for an answered knock's stream to come once another knock waits behind it.

A peer knocks again only when its last stream is open, or when it gave up. One that gave up while its knock was being
answered may open the stream all the same, as we do, or may not, as Go does."""

GRANTS_MAX = 64  # knocks that wait for the stream of the one before; a good peer has one
ABANDONED_MAX = 1_000  # knocks given up whose late answer is still reckoned with

S = TypeVar("S")
Send = Callable[[Knock], object]


class Alarm(Protocol):
    """What ``Later`` returns."""

    def cancel(self) -> None:
        """Forget the call."""
        ...


Later = Callable[[float, Callable[[], object]], Alarm]
"""Calls something once, after some seconds."""


class Door:
    """The accepting half: whose the next stream is.

    Args:
        answer: sends the answer to a knock.
        later: keeps the time.
        clock: in seconds.
    """

    def __init__(self, answer: Send, later: Later, clock: Callable[[], float]) -> None:
        self._answer, self._later, self._clock = answer, later, clock
        self._served: set[int] = set()
        self._kept: dict[int, float] = {}  # knocks that came before their server, and until when they count
        self._granted: deque[int] = deque()  # the first was answered, the others wait for its stream
        self._alarm: Alarm | None = None

    def serve(self, id: int) -> None:
        """Let in who knocks for ``id``, or did so in the last five seconds."""
        self._served.add(id)
        if self._clock() < self._kept.pop(id, float("-inf")):
            self._grant(id)

    def unserve(self, id: int) -> None:
        """Let nobody in for ``id``."""
        self._served.discard(id)

    def knocked(self, id: int) -> None:
        """Note a knock. One for what nobody serves is kept for a while, and then never answered, as in Go."""
        if id in self._served:
            self._grant(id)
            return
        self._kept.pop(id, None)
        self._kept[id] = self._clock() + KEPT_FOR
        if len(self._kept) > PENDING_MAX:
            del self._kept[next(iter(self._kept))]

    def arrived(self) -> int | None:
        """Return whose the stream is that has just come; None where nobody knocked for it."""
        if not self._granted:
            return None
        id = self._granted.popleft()
        self._go_on()
        return id

    def forget(self) -> None:
        """Forget every knock: who knocked is gone."""
        self._kept.clear()
        self._granted.clear()
        self._go_on()

    def _grant(self, id: int) -> None:
        if len(self._granted) >= GRANTS_MAX:
            self._answer(Knock(id, ack=True, error=f"{GRANTS_MAX} knocks were answered, and no stream came"))
            return
        self._granted.append(id)
        if len(self._granted) == 1:
            self._go_on()
        elif self._alarm is None:
            self._alarm = self._later(LAPSE, self._lapse)

    def _lapse(self) -> None:
        self._granted.popleft()
        self._go_on()

    def _go_on(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        if self._granted:
            self._answer(Knock(self._granted[0], ack=True))
        if len(self._granted) > 1:
            self._alarm = self._later(LAPSE, self._lapse)


class Turn(Generic[S]):
    """A stream that somebody wants; ``watch`` tells when there is an ``outcome``.

    Attributes:
        id: the brokered server's, or None for the main one, which needs no knock.
        outcome: the stream, or why there is none; None as long as it is not decided.
    """

    def __init__(self, id: int | None) -> None:
        self.id = id
        self.outcome: S | GoPluginError | None = None
        self.alarm: Alarm | None = None
        self._ready: Callable[[int], object] | None = None

    def watch(self, events: int, ready: Callable[[int], object]) -> None:
        """Have ``ready`` called once there is an outcome, unless ``events`` is 0."""
        self._ready = ready if events else None

    def settle(self, outcome: S | GoPluginError) -> None:
        """Decide it."""
        self.outcome = outcome
        if self._ready is not None:
            self._ready(0)


class Turns(Generic[S]):
    """The dialling half: opens one stream after the other, each when its knock was answered.

    The next has its turn when the peer has acknowledged the stream before: two that it has not yet accepted could
    change places with a Go host, whose listeners all accept from one session (blocked_client_listener.go).

    Args:
        other: the side that answers.
        knock: sends a knock.
        open: opens a stream, and calls what it is given when the peer has acknowledged it or it is gone.
        waste: opens a stream and drops it.
        later: keeps the time.
    """

    def __init__(
        self,
        other: Side,
        knock: Send,
        open: Callable[[Callable[[], object]], S],
        waste: Callable[[], object],
        later: Later,
    ) -> None:
        self._other, self._knock, self._open, self._waste, self._later = other, knock, open, waste, later
        self._queue: deque[Turn[S]] = deque()  # the first one has knocked, or its stream is open
        self._abandoned: dict[int, None] = {}

    def take(self, id: int | None) -> Turn[S]:
        """Queue for a stream. ``leave`` the turn where its outcome is no longer wanted."""
        turn = Turn[S](id)
        self._queue.append(turn)
        if len(self._queue) == 1:
            self._begin()
        return turn

    def leave(self, turn: Turn[S]) -> None:
        """Give up a turn that has no outcome. Leaving later, or twice, is fine."""
        if turn.outcome is None and turn in self._queue:
            self._remove(turn)

    def answered(self, knock: Knock) -> None:
        """Note what the other side answered to a knock."""
        first = self._queue[0] if self._queue else None
        if first is not None and first.outcome is None and first.id == knock.id:
            if knock.error:
                said = f"the {self._other.value} refuses the brokered connection {knock.id}: {quoted(knock.error)}"
                self._fail(first, self._other.fault(said))
            else:
                self._enter(first)
        elif knock.id in self._abandoned and not knock.error:
            # The other side takes the next stream for this one's, whatever it is, so it has to be given one.
            del self._abandoned[knock.id]
            self._waste()

    def fail(self, error: GoPluginError) -> None:
        """Note that no knock will be answered any more."""
        self._abandoned.clear()
        # From the end, so that none of them has its turn.
        for turn in [turn for turn in reversed(self._queue) if turn.outcome is None and turn.id is not None]:
            self._fail(turn, type(error)(*error.args))

    def _begin(self) -> None:
        if not self._queue:
            return
        turn = self._queue[0]
        if turn.id is None:
            self._enter(turn)
        else:
            turn.alarm = self._later(DIAL_WITHIN, lambda: self._unanswered(turn))
            self._knock(Knock(turn.id))

    def _enter(self, turn: Turn[S]) -> None:
        self._disarm(turn)
        try:
            stream = self._open(lambda: self._over(turn))
        except GoPluginError as error:
            self._fail(turn, error)
            return
        # A peer that acknowledges nothing does not hold the others up for ever.
        turn.alarm = self._later(DIAL_WITHIN, lambda: self._over(turn))
        turn.settle(stream)

    def _over(self, turn: Turn[S]) -> None:
        if turn in self._queue:
            self._remove(turn)

    def _unanswered(self, turn: Turn[S]) -> None:
        """Let the others have their turns. It knocks again after them, for as long as somebody waits for it."""
        self._queue.append(turn)
        self._remove(turn)

    def _fail(self, turn: Turn[S], error: GoPluginError) -> None:
        turn.outcome = error  # so that it does not count as given up
        self._remove(turn)
        turn.settle(error)

    def _remove(self, turn: Turn[S]) -> None:
        first = self._queue[0] is turn
        self._queue.remove(turn)
        self._disarm(turn)
        if first:
            if turn.outcome is None and turn.id is not None:
                self._abandoned[turn.id] = None
                if len(self._abandoned) > ABANDONED_MAX:
                    del self._abandoned[next(iter(self._abandoned))]
            self._begin()

    def _disarm(self, turn: Turn[S]) -> None:
        if turn.alarm is not None:
            turn.alarm.cancel()
            turn.alarm = None
