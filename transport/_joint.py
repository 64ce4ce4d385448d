"""Carries bytes between two endpoints, both ways. Never interprets them, and holds at most what one read brought."""

from collections.abc import Callable

from ._endpoints import CHUNK, RECORD_MAX, Endpoint
from ._reactor import READ, WRITE, Reactor, Timer

LINGER = 10.0
"""Seconds, up to twice as many, for a side to take the last bytes of the other, once that is gone."""

_NOTHING = memoryview(b"")
_opened = memoryview(bytearray(CHUNK + RECORD_MAX))  # where every way of every joint receives, one at a time


class _Way:
    """One direction of a joint. It reads on only when the sink has taken everything before."""

    def __init__(self, source: Endpoint, sink: Endpoint) -> None:
        self.source, self.sink = source, sink
        self.pending = _NOTHING
        self.carried = False
        self.finished = False

    @property
    def stuck(self) -> bool:
        """Whether the sink does not take what there is."""
        return bool(self.pending) or self.sink.unsent

    def pull(self) -> None:
        """Carry what one read brings."""
        if self.stuck or self.finished:
            return
        count = self.source.receive(_opened)
        if count:
            self.carried = True
            taken = self.sink.send(_opened[:count])
            if taken < count:
                self.pending = memoryview(bytes(_opened[taken:count]))
        self._finish()

    def push(self) -> None:
        """Carry what an earlier read brought."""
        if self.sink.unsent:
            self.sink.send(_NOTHING)
        if self.pending:
            self.pending = self.pending[self.sink.send(self.pending) :]
        self._finish()

    def _finish(self) -> None:
        if self.source.ended and not self.pending and not self.finished:
            self.finished = True
            self.sink.finish()


class Joint:
    """Carries bytes between two endpoints, which it owns, until both have ended or either fails.

    Args:
        over: called once, with the error where there was one.
    """

    def __init__(
        self, reactor: Reactor, left: Endpoint, right: Endpoint, over: Callable[[Exception | None], None]
    ) -> None:
        self._reactor, self._left, self._right, self._over = reactor, left, right, over
        self._there, self._back = _Way(left, right), _Way(right, left)
        self._gone_first: _Way | None = None
        self._flowing = False
        self._look: Timer | None = None
        self._warned = False
        self._closed = False

    def start(self) -> None:
        """Carry what is there already, and go on."""
        self._left_ready(READ)
        if not self._closed:
            self._right_ready(READ)

    @property
    def right_left_unheard(self) -> bool:
        """Whether the right end was gone before the left one was, and had not said a word."""
        return self._gone_first is self._back and not self._back.carried

    def close(self, error: Exception | None = None) -> None:
        """Drop both connections. Closing twice is fine."""
        if self._closed:
            return
        self._closed = True
        if self._look is not None:
            self._look.cancel()
        self._left.close()
        self._right.close()
        self._over(error)

    def _left_ready(self, events: int) -> None:
        self._carry(events, self._there, self._back)

    def _right_ready(self, events: int) -> None:
        self._carry(events, self._back, self._there)

    def _carry(self, events: int, out: _Way, back: _Way) -> None:
        try:
            if events & WRITE:
                back.push()
            if events & READ:
                out.pull()
                if self._gone_first is None and out.source.ended:
                    self._gone_first = out
            self._settle()
        except OSError as error:
            self._gone_first = self._gone_first or self._back
            self.close(error)
        except BaseException:
            self.close()
            raise

    def _settle(self) -> None:
        there, back = self._there, self._back
        stuck = there.stuck or back.stuck
        if there.finished and back.finished and not stuck:
            self.close()
            return
        flowing = not stuck and not there.finished and not back.finished
        if flowing and self._flowing:
            return  # nothing has changed, as for nearly every read
        self._flowing = flowing
        self._left.watch(_events(there, back), self._left_ready)
        self._right.watch(_events(back, there), self._right_ready)
        # A way that is stuck reads no more, and so would never learn that its source is gone.
        if self._look is None and stuck:
            self._look = self._reactor.later(LINGER, self._look_after)

    def _look_after(self) -> None:
        self._look = None
        gone = any(way.stuck and (way.source.ended or way.source.gone) for way in (self._there, self._back))
        if gone and self._warned:
            self.close(TimeoutError("the last bytes were not taken"))
            return
        self._warned = gone
        self._settle()


def _events(out: _Way, back: _Way) -> int:
    """Return what an endpoint has to be watched for, given the ways out of it and back to it."""
    read = READ if not out.finished and not out.stuck and not out.source.ended else 0
    return read | WRITE if back.pending else read
