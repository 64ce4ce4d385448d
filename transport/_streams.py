"""A yamux session over a socket, and its streams as endpoints. Decides nothing: ``yamux.py`` and whoever owns it do.

All of it belongs to the reactor's thread. What a stream brought waits in the stream until it is received, and only
then does the peer get to send more: at most a window of each is held.
"""

import logging
import math
import socket
from collections.abc import Callable
from time import monotonic

from ._reactor import READ, WRITE, Reactor, Timer
from ._scribe import SCRIBE
from .yamux import (
    Data,
    Ended,
    Event,
    Session,
    SessionLost,
    StreamAcknowledged,
    StreamFinished,
    StreamOpened,
    StreamReset,
    Writable,
)

_logger = logging.getLogger("goplugin.transport")

STREAMS_MAX = 1024
"""Streams of one session, in both directions together; the peer's beyond it are reset. Each costs two descriptors."""

_PIECE = 64 * 1024  # bytes per read; a peer's frame may be a whole window
_READS = 16  # pieces read in one go: a flood must not hold the others up
# Belongs to the reactor's thread: it is empty again before the next read.
_arrived = memoryview(bytearray(_PIECE))


class MuxStream:
    """A stream: an ``Endpoint``. Made by its session."""

    def __init__(self, session: "MuxSession", id: int, settled: Callable[[], object] | None = None) -> None:
        self.id = id
        self._session, self._settled = session, settled
        self._arrived = bytearray()
        self._finished = self._lost = self._full = False
        self._watched = 0
        self._ready: Callable[[int], object] | None = None
        self.unsent = False

    @property
    def ended(self) -> bool:
        """Whether the peer has finished the stream and everything of it was received."""
        return self._finished and not self._arrived

    @property
    def gone(self) -> bool:
        """Whether the stream was reset, or its session is over."""
        return self._lost

    def receive(self, into: memoryview) -> int:
        """Receive what has arrived; of a stream that is gone, what came before."""
        count = min(len(into), len(self._arrived))
        if count:
            into[:count] = self._arrived[:count]
            del self._arrived[:count]
            self._session.consumed(self, count)
        elif self._lost and not self._finished:
            raise ConnectionResetError("the multiplexed stream was reset, or its connection was lost")
        return count

    def send(self, data: memoryview) -> int:
        """Send as much as the peer's window and the other streams leave room for."""
        if self._lost:
            raise BrokenPipeError("the multiplexed stream was reset, or its connection was lost")
        taken = self._session.send(self, data)
        self._full = taken < len(data)
        return taken

    def finish(self) -> None:
        """Finish our side."""
        self._session.finish(self)

    def watch(self, events: int, ready: Callable[[int], object]) -> None:
        """Have ``ready`` called, never from here."""
        self._watched, self._ready = events, ready
        self.stir()

    def close(self) -> None:
        """Reset the stream, unless both sides have finished it."""
        self._watched = 0
        self._session.drop(self)
        self.settle()

    def stir(self) -> None:
        """Have ``run`` called soon, where there is something to tell."""
        if self._due():
            self._session.stir(self)

    def run(self) -> None:
        """Tell what there is to tell. For the session."""
        events = self._due()
        if events and self._ready is not None:
            self._ready(events)
            self.stir()

    def brought(self, data: memoryview) -> None:
        """Take what has arrived. For the session, as what follows."""
        self._arrived += data
        self.stir()

    def finished(self) -> None:
        """Note that the peer has finished it."""
        self._finished = True
        self.stir()

    def writable(self) -> None:
        """Note that there is room again."""
        self._full = False
        self.stir()

    def lose(self) -> None:
        """Note that it is gone."""
        self._lost = True
        self.settle()
        self.stir()

    def settle(self) -> None:
        """Tell who opened it that the peer has acknowledged it, or never will."""
        settled, self._settled = self._settled, None
        if settled is not None:
            settled()

    def _due(self) -> int:
        due = 0
        if self._watched & READ and (self._arrived or self._finished or self._lost):
            due = READ
        if self._watched & WRITE and (self._lost or not self._full):
            due |= WRITE
        return due


class MuxSession:
    """One side of a multiplexed connection. Owns the socket.

    Args:
        reactor: whose thread it belongs to.
        sock: connected.
        client: whether this side dialled.
        incoming: called with each stream that the peer opens.
        over: called once, with the error where there was one; by then every stream is gone.
    """

    def __init__(
        self,
        reactor: Reactor,
        sock: socket.socket,
        *,
        client: bool,
        incoming: Callable[["MuxSession", MuxStream], object],
        over: Callable[["MuxSession", SessionLost | None], object],
    ) -> None:
        sock.setblocking(False)
        reactor.adopt(sock)
        self._reactor, self._sock = reactor, sock
        self._incoming, self._over = incoming, over
        self._session = Session(client=client, now=monotonic())
        self._streams: dict[int, MuxStream] = {}
        self._stirred: dict[MuxStream, None] = {}
        self._called = self._ended = self._leaving = False
        self._leftover = memoryview(b"")  # taken from the session, not yet by the socket
        self._events = READ
        self._timer: Timer | None = None
        self._limit: Timer | None = None
        self._due = math.inf
        reactor.watch(sock, READ, self._turn)
        self._arm()

    @property
    def ended(self) -> bool:
        """Whether it is over."""
        return self._ended

    def open(self, settled: Callable[[], object]) -> MuxStream:
        """Open a stream; ``settled`` is called when the peer has acknowledged it, or never will.

        Raises:
            CannotOpen: the session is over, or the peer takes no more streams.
        """
        id = self._session.open(monotonic())
        stream = self._streams[id] = MuxStream(self, id, settled)
        self._flush()
        return stream

    def close(self) -> None:
        """End the session, and lose its streams. Closing twice is fine."""
        if not self._ended:
            self._flush()
            self._session.connection_closed()  # nothing can be opened any more
            self._end(None)

    def leave(self, within: float) -> None:
        """End the session when everything that was sent is on its way, at the latest in ``within`` seconds."""
        if not self._leftover:
            self.close()
        elif not self._leaving:
            self._leaving = True
            self._limit = self._reactor.later(within, self.close)

    def send(self, stream: MuxStream, data: memoryview) -> int:
        """For a stream, as what follows: send as much as there is room for."""
        taken = 0
        while taken < len(data):
            size = self._session.send(stream.id, data[taken:])
            if not size:
                break
            taken += size
            self._flush()
        return taken

    def consumed(self, stream: MuxStream, count: int) -> None:
        """Let the peer send that much more."""
        self._session.consumed(stream.id, count)
        self._flush()

    def finish(self, stream: MuxStream) -> None:
        """Finish our side of a stream."""
        self._session.finish(stream.id, monotonic())
        self._flush()

    def drop(self, stream: MuxStream) -> None:
        """Forget a stream, and reset what is left of it."""
        if self._streams.pop(stream.id, None) is not None:
            self._session.reset(stream.id)
            self._flush()

    def stir(self, stream: MuxStream) -> None:
        """Call the stream's ``run`` soon."""
        self._stirred[stream] = None
        self._call()

    def _call(self) -> None:
        if not self._called:
            self._called = True
            self._reactor.call(self._turn)

    def _turn(self, events: int = 0) -> None:
        try:
            if events & READ:
                self._read()
            self._go_on()
        except BaseException:  # a mistake of ours, after which nobody would hear of the connection again
            self.close()
            raise

    def _read(self) -> None:
        for _ in range(_READS):
            if self._ended:
                return
            try:
                count = self._sock.recv_into(_arrived)
            except BlockingIOError:
                return
            except OSError:
                count = 0
            if count:
                self._act(self._session.receive(_arrived[:count], monotonic()))
            else:
                self._act(self._session.connection_closed())
            if count < _PIECE:
                return

    def _go_on(self) -> None:
        """Let the streams that have news act on them, write what comes of it, and set the alarm."""
        self._called = False
        self._act(self._session.tick(monotonic()))
        stirred, self._stirred = self._stirred, {}
        for stream in stirred:
            try:
                stream.run()
            except Exception as error:  # noqa: BLE001 - a mistake of ours must not end the other streams
                what = "a multiplexed stream failed in a way that it should not"
                SCRIBE.log(_logger, logging.ERROR, what, error=error)
                stream.close()
        if not self._ended:
            self._flush()
            self._arm()

    def _tick(self) -> None:
        self._timer = None
        self._turn()  # the reactor has had us read before: what came while this process was stopped, say, is known

    def _act(self, events: list[Event]) -> None:
        for event in events:
            match event:
                case Data(id, data):
                    if id in self._streams:
                        self._streams[id].brought(data)
                case Writable(id):
                    if id in self._streams:
                        self._streams[id].writable()
                case StreamFinished(id):
                    if id in self._streams:
                        self._streams[id].finished()
                case StreamAcknowledged(id):
                    if id in self._streams:
                        self._streams[id].settle()
                case StreamReset(id):
                    if id in self._streams:
                        self._streams[id].lose()
                case StreamOpened(id):
                    self._accept(id)
                case Ended(error):
                    self._end(error)
                case _:
                    pass

    def _accept(self, id: int) -> None:
        if len(self._streams) >= STREAMS_MAX:
            self._session.reset(id)
            return
        self._session.accept(id)
        stream = self._streams[id] = MuxStream(self, id)
        self._incoming(self, stream)

    def _end(self, error: SessionLost | None) -> None:
        self._flush()  # last words, such as the GoAway that says what the peer did
        self._ended = True
        for timer in (self._timer, self._limit):
            if timer is not None:
                timer.cancel()
        self._reactor.forget(self._sock)
        self._sock.close()
        for stream in list(self._streams.values()):
            stream.lose()
        self._over(self, error)

    def _flush(self) -> None:
        if self._ended or self._sock.fileno() < 0:  # in a forked child the socket was closed for us
            return
        while self._leftover or (fresh := self._session.data_to_send()):
            self._leftover = self._leftover or memoryview(fresh)
            try:
                taken = self._sock.send(self._leftover)
            except BlockingIOError:
                break
            except OSError:  # what the peer said before it left, and that it left, comes with the next read
                taken = len(self._leftover)
            self._leftover = self._leftover[taken:]
        events = READ | WRITE if self._leftover else READ
        if events != self._events:
            self._events = events
            self._reactor.watch(self._sock, events, self._turn)
        if self._leaving and not self._leftover:
            self._reactor.call(self.close)
        elif self._session.deadline() == -math.inf:
            self._call()

    def _arm(self) -> None:
        due = self._session.deadline()
        if self._timer is not None:
            if self._due <= due:
                return  # it comes early, and is set anew then
            self._timer.cancel()
        if due < math.inf:
            self._due = due
            self._timer = self._reactor.later(max(0.0, due - monotonic()), self._tick)
