"""Carries bytes between two endpoints, both ways. Never interprets them, and holds at most what one read brought."""

from collections.abc import Callable

from ._endpoints import CHUNK, RECORD_MAX, Endpoint
from ._reactor import READ, WRITE, Reactor, Timer

LINGER = 10.0
"""Seconds, up to twice as many, for a side to take the last bytes of the other, and to end, once that is gone."""

_NOTHING = memoryview(b"")
_opened = memoryview(bytearray(CHUNK + RECORD_MAX))  # where every way of every joint receives, one at a time


class _Way:
    """One direction of a joint. It reads on only when the sink has taken everything before.

    Attributes:
        cut: whether the sink takes nothing more. What comes then is dropped, until the source has ended: closed with
            something unread, that would lose what its own other side has still to receive.
        finished: whether the source has ended, or was reset, and all of it was carried.
        error: by which it was cut or finished, where it was by one.
    """

    def __init__(self, source: Endpoint, sink: Endpoint) -> None:
        self.source, self.sink = source, sink
        self.pending = _NOTHING
        self.carried = False
        self.cut = self.finished = False
        self.error: OSError | None = None

    @property
    def stuck(self) -> bool:
        """Whether the sink does not take what there is."""
        return not self.cut and (bool(self.pending) or self.sink.unsent)

    def pull(self) -> None:
        """Carry what one read brings."""
        if self.stuck or self.finished:
            return
        try:
            count = self.source.receive(_opened)
        except ConnectionResetError as error:
            self.error = self.error or error
            self._finish()
            return
        if count and not self.cut:
            self.carried = True
            taken = self._send(_opened[:count])
            if taken < count:
                self.pending = memoryview(bytes(_opened[taken:count]))
        if self.source.ended and not self.pending:
            self._finish()

    def push(self) -> None:
        """Carry what an earlier read brought."""
        if self.sink.unsent:
            self._send(_NOTHING)
        if self.pending:
            self.pending = self.pending[self._send(self.pending) :]
        if self.source.ended and not self.pending and not self.finished:
            self._finish()

    def _send(self, data: memoryview) -> int:
        try:
            return self.sink.send(data)
        except (BrokenPipeError, ConnectionResetError) as error:
            self._cut(error)
            return len(data)

    def _finish(self) -> None:
        self.finished = True
        if not self.cut:
            try:
                self.sink.finish()
            except (BrokenPipeError, ConnectionResetError) as error:
                self._cut(error)

    def _cut(self, error: OSError) -> None:
        self.cut, self.pending, self.error = True, _NOTHING, self.error or error


class Joint:
    """Carries bytes between two endpoints, which it owns, until both have ended.

    One that hangs up ends only the way to it: what it said before is carried to the other.

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
            self._settle()
        except OSError as error:
            self._gone_first = self._gone_first or self._back
            self.close(error)
        except BaseException:
            self.close()
            raise

    def _settle(self) -> None:
        there, back = self._there, self._back
        stuck, error = there.stuck or back.stuck, there.error or back.error
        flowing = not stuck and error is None and not there.finished and not back.finished
        if flowing and self._flowing:
            return  # nothing has changed, as for nearly every read
        self._flowing = flowing
        if self._gone_first is None:
            self._gone_first = back if _gone(back, there) else there if _gone(there, back) else None
        if (there.cut and back.cut) or (there.finished and back.finished and not stuck):
            self.close(error)
            return
        self._left.watch(_events(there, back), self._left_ready)
        self._right.watch(_events(back, there), self._right_ready)
        # A way that is stuck reads no more, and so would never learn that its source is gone.
        if self._look is None and (stuck or error is not None):
            self._look = self._reactor.later(LINGER, self._look_after)

    def _look_after(self) -> None:
        self._look = None
        gone = any(
            way.cut or (way.stuck and (way.source.ended or way.source.gone)) for way in (self._there, self._back)
        )
        if gone and self._warned:
            self.close(TimeoutError("the last bytes were not taken"))
            return
        self._warned = gone
        self._settle()


def _gone(out: _Way, back: _Way) -> bool:
    """Return whether an endpoint has ended, or takes nothing more, given the ways out of it and back to it."""
    return out.source.ended or out.finished or back.cut


def _events(out: _Way, back: _Way) -> int:
    """Return what an endpoint has to be watched for, given the ways out of it and back to it."""
    read = READ if not out.finished and not out.stuck and not out.source.ended else 0
    return read | WRITE if back.pending else read
