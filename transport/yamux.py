"""yamux, the multiplexer below go-plugin's ``PLUGIN_MULTIPLEX_GRPC``, as pure code: bytes in, events and bytes out.

Decides what each frame means, how much may be sent within the peer's windows, and when a peer has been silent for too
long. Never touches a socket, a thread or a clock. It speaks to hashicorp/yamux v0.1.2 with that library's default
configuration; comments cite its files. Not thread-safe.

Whoever owns the connection makes one ``Session`` for it and

- gives every piece that arrives to ``receive`` and acts on the events, in their order;
- writes what ``data_to_send`` returns, and asks again only when all of it is written;
- calls ``tick`` when ``deadline`` has come, after having received what there was to receive.

What Go ignores is ignored and what ends its sessions ends ours. We also end those of a peer that opens a stream with
an id that is ours or was used before, grants a window beyond 32 bits, or floods us with pings or streams and does not
read the answers.

Memory is bounded: what arrives is handed on at once and at most a window of it per stream is not yet ``consumed``,
what is sent stays with the caller unless it fits.
"""

import math
import struct
from enum import Enum, auto

from ..handshake import Misuse
from ._yamux_events import (
    CannotOpen,
    Data,
    Ended,
    Event,
    Frame,
    GoAway,
    GoingAway,
    PeerFault,
    PeerGone,
    PeerSilent,
    Pong,
    SessionLost,
    StreamAcknowledged,
    StreamFinished,
    StreamOpened,
    StreamReset,
    Writable,
)

__all__ = [
    "WINDOW",
    "Session",
    "CannotOpen",
    "Data",
    "Ended",
    "Event",
    "Frame",
    "GoAway",
    "GoingAway",
    "PeerFault",
    "PeerGone",
    "PeerSilent",
    "Pong",
    "SessionLost",
    "StreamAcknowledged",
    "StreamFinished",
    "StreamOpened",
    "StreamReset",
    "Writable",
]

WINDOW = 256 * 1024  # bytes that may be on their way in one stream and direction; fixed by the protocol (const.go)
BACKLOG = 256  # streams that wait to be accepted; both sides assume the same number (mux.go, session.go: synCh)
KEEPALIVE = 30.0  # seconds between an answered ping and the next
WRITE_TIMEOUT = 10.0  # seconds for the connection to take what is written
PING_TIMEOUT = 2 * WRITE_TIMEOUT  # as in Go: one for the ping to be written, one for its answer
OPEN_TIMEOUT = 75.0  # seconds for the peer to acknowledge a stream
CLOSE_TIMEOUT = 300.0  # seconds for the peer to finish a stream that we have finished
LAST_ID = 2**32 - 3  # the last that Go gives to a stream (session.go: OpenStream)
FRAME_MAX = 64 * 1024  # bytes of data that we put in one frame: a frame has the connection for itself
OUTGOING_MAX = 4 * FRAME_MAX  # bytes of data that wait to be written before streams must wait for their turn
REPLIES_MAX = 16_384  # frames without data waiting to be written: beyond it, the peer asks and reads no answers
AHEAD_MAX = 1024  # ids that a peer may use before a lower one: Go takes an id in one step and sends it in another

_WINDOW_LIMIT = 2**32 - 1  # Go counts a window in 32 bits
_HEADER = struct.Struct(">BBHII")
_DATA, _WINDOW_UPDATE, _PING, _GO_AWAY = range(4)
_SYN, _ACK, _FIN, _RST = 1, 2, 4, 8


class _State(Enum):
    OPEN = auto()
    WE_FINISHED = auto()
    PEER_FINISHED = auto()
    GONE = auto()


class _Step(Enum):
    FIN_SENT = auto()
    FIN_RECEIVED = auto()
    RESET = auto()


# All that a stream can do. `Session._move` alone moves it; a step that is missing here is somebody's mistake.
_NEXT = {
    _State.OPEN: {
        _Step.FIN_SENT: _State.WE_FINISHED,
        _Step.FIN_RECEIVED: _State.PEER_FINISHED,
        _Step.RESET: _State.GONE,
    },
    _State.WE_FINISHED: {_Step.FIN_RECEIVED: _State.GONE, _Step.RESET: _State.GONE},
    _State.PEER_FINISHED: {_Step.FIN_SENT: _State.GONE, _Step.RESET: _State.GONE},
    _State.GONE: {},
}


class _Stream:
    __slots__ = ("credit", "id", "owed", "starved", "state", "window")

    def __init__(self, id: int) -> None:
        self.id = id
        self.state = _State.OPEN
        self.window = WINDOW  # bytes that we may send
        self.credit = WINDOW  # bytes that the peer may send
        self.owed = 0  # bytes consumed and not yet given back to the peer
        self.starved = False  # something waits to be sent and the window is shut


class Session:
    """One side of a yamux connection.

    Its methods raise ``Misuse`` for a stream that never was. For one that is gone they do nothing, because its
    ``StreamReset`` or the session's ``Ended`` may still be among the events that the caller has not looked at.
    """

    def __init__(self, *, client: bool, now: float) -> None:
        """``client`` is the side that dialled, in go-plugin the host. ``now`` is in seconds, here as everywhere."""
        self._next_id = 1 if client else 2
        self._floor = 2 if client else 1  # the peer has used every id of its own below it,
        self._ahead: set[int] = set()  # and these above it
        self._streams: dict[int, _Stream] = {}
        self._unaccepted: set[int] = set()
        # When each began. All in one table have the same time limit, so the first one always is the next due.
        self._opening: dict[int, float] = {}
        self._closing: dict[int, float] = {}
        self._pings: dict[int, float] = {}
        self._next_ping = now + KEEPALIVE
        self._ping_number = 0
        self._partial = bytearray()  # of a header
        self._unread = 0  # bytes of payload still to come in the current frame
        self._reading: _Stream | None = None  # whose payload it is; None: nobody's
        self._reading_fin = False  # the current frame's payload is the stream's last
        self._outgoing: list[bytes] = []
        self._pending = 0  # bytes of data in it
        self._replies = 0  # frames in it that carry none: nearly all answer the peer
        self._ready: dict[int, None] = {}  # streams that wait for room in it, in the order of their turns
        self._leaving = self._peer_leaving = self._ended = False

    @property
    def streams(self) -> int:
        """The number of streams that are not gone."""
        return len(self._streams)

    @property
    def ended(self) -> bool:
        """Whether the session is over; nothing happens any more, but ``data_to_send`` may have last words."""
        return self._ended

    def data_to_send(self) -> bytes:
        """Return what is to be written next, perhaps nothing; ask again when all of it is written."""
        data = b"".join(self._outgoing)
        self._outgoing.clear()
        self._pending = self._replies = 0
        return data

    def open(self, now: float) -> int:
        """Open a stream and return its id. ``send`` need not wait until the peer acknowledges it.

        Raises:
            CannotOpen: the session is over or the peer goes away, 256 streams are still to be acknowledged, or all
                ids are used.
        """
        if self._ended or self._peer_leaving:
            raise CannotOpen("the session is over" if self._ended else "the peer takes no more")
        if len(self._opening) >= BACKLOG:
            raise CannotOpen(f"the peer has yet to acknowledge {BACKLOG}")
        if self._next_id > LAST_ID:
            raise CannotOpen("every id has been used")
        id, self._next_id = self._next_id, self._next_id + 2
        self._streams[id] = _Stream(id)
        self._opening[id] = now
        self._queue(_WINDOW_UPDATE, _SYN, id, 0)
        return id

    def accept(self, id: int) -> None:
        """Accept a stream that the peer opened."""
        if self._stream(id) is None:
            return
        if id not in self._unaccepted:
            raise Misuse(f"yamux stream {id} does not wait to be accepted")
        self._unaccepted.remove(id)
        self._queue(_WINDOW_UPDATE, _ACK, id, 0)

    def send(self, id: int, data: bytes | bytearray | memoryview) -> int:
        """Send as much of ``data`` as may go now and return how much that was.

        If it was not all, keep the rest and try again at the stream's ``Writable``: either the peer's window is
        shut, or it is the turn of other streams.
        """
        stream = self._sending(id)
        if stream is None:
            return 0
        size = min(len(data), stream.window, FRAME_MAX) if self._pending < OUTGOING_MAX else 0
        if size:
            stream.window -= size
            self._queue(_DATA, 0, id, size)
            self._outgoing.append(bytes(data if size == len(data) else memoryview(data)[:size]))
            self._pending += size
        waits = size < len(data)
        stream.starved = waits and not stream.window
        self._ready.pop(id, None)
        if waits and stream.window:
            self._ready[id] = None
        return size

    def consumed(self, id: int, size: int) -> None:
        """Let the peer send ``size`` more bytes, because that many of the stream's ``Data`` have been passed on."""
        stream = self._stream(id)
        if stream is None:
            return
        if not 0 <= size <= WINDOW - stream.credit - stream.owed:
            raise Misuse(f"{size} bytes of yamux stream {id} cannot have been consumed")
        stream.owed += size
        if stream.owed >= WINDOW // 2 and stream.state is not _State.PEER_FINISHED:  # stream.go: sendWindowUpdate
            self._queue(_WINDOW_UPDATE, 0, id, stream.owed)
            stream.credit += stream.owed
            stream.owed = 0

    def finish(self, id: int, now: float) -> None:
        """Say that no more will be sent on a stream. If the peer does not finish it too within 300 s it is reset."""
        stream = self._sending(id)
        if stream is not None:
            self._queue(_WINDOW_UPDATE, _FIN, id, 0)
            self._ready.pop(id, None)
            stream.starved = False
            self._closing[id] = now
            self._move(stream, _Step.FIN_SENT)

    def reset(self, id: int) -> None:
        """Abandon a stream, both ways, or refuse it."""
        stream = self._stream(id)
        if stream is not None:
            self._queue(_WINDOW_UPDATE, _RST, id, 0)
            self._move(stream, _Step.RESET)

    def ping(self, now: float) -> int:
        """Ask the peer for a sign of life and return the number of its ``Pong``; without one the session ends."""
        number, self._ping_number = self._ping_number, (self._ping_number + 1) % 2**32
        if not self._ended:
            self._pings[number] = now
            self._queue(_PING, _SYN, 0, number)
        return number

    def go_away(self, code: GoAway = GoAway.NORMAL) -> None:
        """Take no more streams; those that are open go on, unless ``code`` tells of an error: then all is over."""
        if not self._ended:
            self._leaving = True
            self._queue(_GO_AWAY, 0, 0, code)
            if code is not GoAway.NORMAL:
                self._forget_all()

    def connection_closed(self) -> list[Event]:
        """Tell that nothing more will arrive."""
        events: list[Event] = []
        if not self._ended:
            amidst = self._streams or self._partial or self._unread
            self._end(PeerGone(None) if amidst else None, events)
        return events

    def receive(self, data: bytes | bytearray | memoryview, now: float) -> list[Event]:
        """Take what has arrived and return what it means. Raises nothing: a fault of the peer is an ``Ended``."""
        events: list[Event] = []
        if not self._ended:
            try:
                self._read(memoryview(data), now, events)
            except SessionLost as lost:
                self._end(lost, events)
            self._give_turns(events)
        return events

    def deadline(self) -> float:
        """Return when ``tick`` is due: ``-inf`` for at once, ``inf`` for never again."""
        if self._ended:
            return math.inf
        if self._ready and self._pending < OUTGOING_MAX:
            return -math.inf
        return min(
            _due(self._pings, PING_TIMEOUT) if self._pings else self._next_ping,
            _due(self._opening, OPEN_TIMEOUT),
            _due(self._closing, CLOSE_TIMEOUT),
        )

    def tick(self, now: float) -> list[Event]:
        """Do what is due. Calling it early, or often, is fine."""
        events: list[Event] = []
        if self._ended:
            return events
        if _due(self._pings, PING_TIMEOUT) <= now:
            self._end(PeerSilent(f"the yamux peer has not answered a ping for {PING_TIMEOUT:.0f} s"), events)
        elif _due(self._opening, OPEN_TIMEOUT) <= now:
            # As in Go: a peer that accepts nothing is lost as a whole (session.go: setOpenTimeout).
            self._end(PeerSilent(f"the yamux peer has not acknowledged a stream for {OPEN_TIMEOUT:.0f} s"), events)
        else:
            while _due(self._closing, CLOSE_TIMEOUT) <= now:
                id = next(iter(self._closing))
                self.reset(id)
                events.append(StreamReset(id))
            if not self._pings and self._next_ping <= now:
                self.ping(now)
            self._give_turns(events)
        return events

    def _read(self, view: memoryview, now: float, events: list[Event]) -> None:
        at, end = 0, len(view)
        while at < end:
            if self._unread:
                piece = view[at : at + self._unread]
                at += len(piece)
                self._payload(piece, events)
            elif self._partial or end - at < _HEADER.size:
                missing = _HEADER.size - len(self._partial)
                self._partial += view[at : at + missing]
                at += missing
                if len(self._partial) == _HEADER.size:
                    frame = Frame(*_HEADER.unpack(self._partial))
                    self._partial.clear()
                    self._frame(frame, now, events)
            else:
                frame = Frame(*_HEADER.unpack_from(view, at))
                at += _HEADER.size
                self._frame(frame, now, events)

    def _frame(self, frame: Frame, now: float, events: list[Event]) -> None:
        if frame.version != 0:
            raise PeerFault("speaks another version", frame)
        if self._replies >= REPLIES_MAX:
            raise PeerFault("asks and asks and reads no answers", frame)
        if frame.kind in (_DATA, _WINDOW_UPDATE):
            self._stream_frame(frame, events)
        elif frame.kind == _PING:
            self._ping_frame(frame, now, events)
        elif frame.kind == _GO_AWAY:
            if frame.length != GoAway.NORMAL:
                raise PeerGone(frame.length)
            if not self._peer_leaving:
                events.append(GoingAway())
            self._peer_leaving = True
        else:
            raise PeerFault("sends a frame of an unknown type", frame)

    def _ping_frame(self, frame: Frame, now: float, events: list[Event]) -> None:
        if frame.flags & _SYN:
            self._queue(_PING, _ACK, 0, frame.length)
            return
        sent = self._pings.pop(frame.length, None)  # an answer to nothing is ignored (session.go: handlePing)
        if sent is not None:
            self._next_ping = now + KEEPALIVE
            events.append(Pong(frame.length, now - sent))

    def _stream_frame(self, frame: Frame, events: list[Event]) -> None:
        _, kind, flags, id, length = frame
        if flags & _SYN:
            self._incoming(frame, events)
        stream = self._streams.get(id)
        if kind == _DATA:
            self._unread, self._reading = length, None
        if stream is None:
            return  # one that we have reset, most likely: whatever it is, it is for nobody (handleStreamMessage)
        if flags & _FIN and _Step.FIN_RECEIVED not in _NEXT[stream.state]:
            raise PeerFault("finishes a stream twice", frame)
        if flags & _ACK and self._opening.pop(id, None) is not None:
            events.append(StreamAcknowledged(id))
        if kind == _WINDOW_UPDATE:
            self._widen(stream, frame)
        elif length > stream.credit:
            raise PeerFault("sends more than the window of the stream allows", frame)
        else:
            stream.credit -= length
        if flags & _RST:
            self._move(stream, _Step.RESET)
            events.append(StreamReset(id))
        elif kind == _DATA and length:
            # Go checks that a stream is open before it queues data, not when: its FIN can overtake them (stream.go).
            # We have said that nothing follows, so they are for nobody.
            self._reading = stream if stream.state is not _State.PEER_FINISHED else None
            self._reading_fin = bool(flags & _FIN)
        elif flags & _FIN:
            self._finished(stream, events)

    def _incoming(self, frame: Frame, events: list[Event]) -> None:
        id = frame.id
        # Go accepts any id, and would then give it away a second time itself.
        if id == 0 or id % 2 == self._next_id % 2:
            raise PeerFault("opens a stream with an id that is not its own", frame)
        if self._used(id):
            # Go lets an id be used again. Here, what the caller does for the events of the old stream would be done
            # to the new one, if both came in one piece.
            raise PeerFault("opens a stream twice", frame)
        self._use(id)
        if self._leaving or len(self._unaccepted) >= BACKLOG:
            self._queue(_WINDOW_UPDATE, _RST, id, 0)
            return
        self._streams[id] = _Stream(id)
        self._unaccepted.add(id)
        events.append(StreamOpened(id))

    def _used(self, id: int) -> bool:
        return 0 < id < (self._next_id if id % 2 == self._next_id % 2 else self._floor) or id in self._ahead

    def _use(self, id: int) -> None:
        self._ahead.add(id)
        if len(self._ahead) > AHEAD_MAX:  # an id was left out, so it counts as used
            self._floor = min(self._ahead)
        while self._floor in self._ahead:
            self._ahead.remove(self._floor)
            self._floor += 2

    def _widen(self, stream: _Stream, frame: Frame) -> None:
        stream.window += frame.length
        if stream.window > _WINDOW_LIMIT:
            raise PeerFault("opens a window beyond 32 bits", frame)
        if stream.starved and stream.window:
            stream.starved = False
            self._ready[stream.id] = None

    def _payload(self, piece: memoryview, events: list[Event]) -> None:
        self._unread -= len(piece)
        stream = self._reading
        if stream is not None and stream.state is not _State.GONE:  # we may have reset it in the middle of a frame
            events.append(Data(stream.id, piece))
            if self._reading_fin and not self._unread:
                self._finished(stream, events)

    def _finished(self, stream: _Stream, events: list[Event]) -> None:
        self._move(stream, _Step.FIN_RECEIVED)
        events.append(StreamFinished(stream.id))

    def _move(self, stream: _Stream, step: _Step) -> None:
        stream.state = _NEXT[stream.state][step]
        if stream.state is _State.GONE:
            del self._streams[stream.id]
            self._unaccepted.discard(stream.id)
            for table in (self._opening, self._closing, self._ready):
                table.pop(stream.id, None)

    def _stream(self, id: int) -> _Stream | None:
        stream = self._streams.get(id)
        if stream is None and not self._used(id):
            raise Misuse(f"there never was a yamux stream {id}")
        return stream

    def _sending(self, id: int) -> _Stream | None:
        stream = self._stream(id)
        if stream is not None and (id in self._unaccepted or stream.state is _State.WE_FINISHED):
            raise Misuse(f"yamux stream {id} is {'not accepted' if id in self._unaccepted else 'finished'}")
        return stream

    def _queue(self, kind: int, flags: int, id: int, length: int) -> None:
        self._outgoing.append(_HEADER.pack(0, kind, flags, id, length))
        self._replies += kind != _DATA

    def _give_turns(self, events: list[Event]) -> None:
        # One stream for each frame that there is room for; the others stay in the queue, or the first would always win.
        room = OUTGOING_MAX - self._pending
        while self._ready and room > 0:
            id = next(iter(self._ready))
            del self._ready[id]
            events.append(Writable(id))
            room -= FRAME_MAX

    def _end(self, error: SessionLost | None, events: list[Event]) -> None:
        if isinstance(error, PeerFault):
            self._queue(_GO_AWAY, 0, 0, GoAway.PROTOCOL_ERROR)
        self._forget_all()
        events.append(Ended(error))

    def _forget_all(self) -> None:
        self._ended = True
        for table in (self._streams, self._opening, self._closing, self._pings, self._ready):
            table.clear()


def _due(began: dict[int, float], limit: float) -> float:
    return next(iter(began.values())) + limit if began else math.inf
