"""A fuzz target for yamux: whatever a peer sends and whatever we do meanwhile, the session keeps its promises.

``one_input`` reads its input as a program: our calls, the peer's frames, and raw bytes. tests/transport/
test_yamux_properties.py runs it on inputs that hypothesis makes, so it must not import atheris.
"""

import struct
from collections import Counter

from fuzzing import fuzz

from goplugin.handshake import Misuse
from goplugin.transport.yamux import (
    WINDOW,
    CannotOpen,
    Data,
    Ended,
    Event,
    Session,
    StreamFinished,
    StreamOpened,
    StreamReset,
    Writable,
)

HEADER = struct.Struct(">BBHII")
DATA, WINDOW_UPDATE, PING, GO_AWAY = range(4)
SYN, ACK, FIN, RST = 1, 2, 4, 8
FLAGS = (0, 0, 0, 0, 0, SYN, SYN, ACK, ACK, FIN, RST, SYN | FIN, SYN | RST, ACK | FIN, FIN | RST, 0xFFF0)
KINDS = (DATA, DATA, DATA, WINDOW_UPDATE, WINDOW_UPDATE, PING, GO_AWAY)
LENGTHS = (0, 1, 2, 12, 1000, 65_536, WINDOW // 2, WINDOW, WINDOW + 1, 2**32 - 1)


class Peer:
    """Sees what a real peer would see, and holds the session to it, with book-keeping of its own."""

    def __init__(self, *, client: bool) -> None:
        self.client = client
        self.session = Session(client=client, now=0.0)
        self.now = 0.0
        self.windows: dict[int, int] = {}  # what the session may still send, by stream
        self.blind = False  # the session was given bytes that this book-keeping does not understand
        self.unconsumed: Counter[int] = Counter()
        self.over: set[int] = set()  # streams of which the session has told that the peer sends no more
        self.finished: set[int] = set()  # streams of which the session has told the peer the same
        self.next = 2 if client else 1  # the id that the peer gives to its next stream
        self.ended = False

    def told(self, events: list[Event]) -> None:
        for event in events:
            assert not self.ended, "an event after the last"
            match event:
                case StreamOpened(id):
                    assert id not in self.windows
                    self.windows[id] = WINDOW
                    self.next = max(self.next, id + 2)
                case Data(id, data):
                    assert len(data) > 0
                    assert id not in self.over
                    self.unconsumed[id] += len(data)
                    assert self.unconsumed[id] <= WINDOW
                case StreamFinished(id):
                    assert id not in self.over
                    self.over.add(id)
                case StreamReset(id):
                    self.over.add(id)
                case Writable(id):
                    assert self.windows[id] > 0 or self.blind
                case Ended():
                    self.ended = True
                case _:
                    pass
        assert self.session.ended == self.ended
        assert not self.ended or self.session.streams == 0

    def give(self, data: bytes, *, opens: bool, widens: int = 0, by: int = 0) -> None:
        """Let the session receive what may open a stream, or widen the window of one."""
        if widens in self.windows and not opens:
            self.windows[widens] += by
        self.told(self.session.receive(data, self.now))
        if widens in self.windows and opens:
            self.windows[widens] += by

    def read(self) -> None:
        """Take what the session sends, and check that a peer may be sent that."""
        said = self.session.data_to_send()
        at = 0
        while at < len(said):
            version, kind, flags, id, length = HEADER.unpack_from(said, at)
            at += HEADER.size + (length if kind == DATA else 0)
            assert version == 0
            assert flags in {DATA: (0,), WINDOW_UPDATE: (0, SYN, ACK, FIN, RST), PING: (SYN, ACK), GO_AWAY: (0,)}[kind]
            assert (id == 0) == (kind in (PING, GO_AWAY))
            if kind == WINDOW_UPDATE and flags == 0:
                assert length >= WINDOW // 2
            elif flags == FIN:
                assert id not in self.finished
                self.finished.add(id)
            elif kind == DATA:
                assert length > 0
                assert id not in self.finished
                self.windows[id] -= length
                assert self.windows[id] >= 0 or self.blind
        assert at == len(said)

    def call(self, operation: int, id: int, size: int, rare: bool) -> None:
        session = self.session
        match operation:
            case 0:
                id = session.open(self.now)
                assert id % 2 == self.client
                assert id not in self.windows
                self.windows[id] = WINDOW
            case 1 | 2:
                session.accept(id)
            case 3 | 4 | 5:
                assert 0 <= session.send(id, bytes(size)) <= size
            case 6 | 7:
                size = min(size, self.unconsumed[id])
                session.consumed(id, size)
                self.unconsumed[id] -= size
            case 8:
                session.finish(id, self.now)
            case 9:
                session.reset(id) if size == 1 else self.read()
            case 10:
                session.go_away() if rare else session.ping(self.now)
            case _:
                if rare:
                    self.told(session.connection_closed())
                self.now = max(self.now, min(self.now + 1000.0, session.deadline()))
                self.told(session.tick(self.now))
                assert session.deadline() > self.now or session.deadline() == float("-inf")


def one_input(data: bytes) -> Peer:
    """Run one program; an AssertionError, or any error that a session may not raise, is a finding."""
    numbers = iter(data)
    peer = Peer(client=bool(next(numbers, 0) % 2))
    for operation, choice, more in zip(numbers, numbers, numbers, strict=False):
        id, size, rare = choice % 6, LENGTHS[more % len(LENGTHS)], choice >= 250
        if operation < 160:
            try:
                peer.call(operation % 12, id, min(size, 2 * WINDOW), rare)
            except (Misuse, CannotOpen):
                pass
        elif operation < 255 or not rare:
            kind, flags = KINDS[operation % len(KINDS)], FLAGS[more // 16]
            if flags & SYN and not rare:
                id = peer.next
            if size > WINDOW and not rare:
                size = WINDOW // 4
            length = size if kind != GO_AWAY or rare else 0
            payload = bytes(length if length <= WINDOW else 0) if kind == DATA else b""
            peer.blind |= kind == DATA and len(payload) < length
            widens, by = (id, length) if kind == WINDOW_UPDATE else (0, 0)
            frame = HEADER.pack(0, kind, flags, id, length) + payload
            peer.give(frame, opens=bool(flags & SYN), widens=widens, by=by)
        else:
            peer.blind = True
            peer.give(bytes((choice - 250, more)), opens=True)
    peer.read()
    return peer


if __name__ == "__main__":
    fuzz(one_input)
