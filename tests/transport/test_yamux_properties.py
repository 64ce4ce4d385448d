"""yamux, whatever arrives in whatever pieces: two sessions joined by a wire, and one session against any bytes."""

import runpy
import struct
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import cast

from hypothesis import event, given, settings
from hypothesis import strategies as st

from goplugin.transport.yamux import (
    WINDOW,
    CannotOpen,
    Data,
    Event,
    Session,
    StreamFinished,
    StreamOpened,
    Writable,
)

FUZZ = Path(__file__).parent.parent / "fuzz" / "yamux.py"
one_input = cast("Callable[[bytes], object]", runpy.run_path(str(FUZZ))["one_input"])

HEADER = struct.Struct(">BBHII")


class End:
    """A session and its user: accepts everything, keeps what arrives, sends what it was told to."""

    def __init__(self, *, client: bool) -> None:
        self.session = Session(client=client, now=0.0)
        self.wire = bytearray()  # what the other end has yet to receive
        self.opened: list[int] = []
        self.received: defaultdict[int, bytearray] = defaultdict(bytearray)
        self.unconsumed: defaultdict[int, int] = defaultdict(int)
        self.over: set[int] = set()
        self.sent: defaultdict[int, bytearray] = defaultdict(bytearray)
        self.rest: defaultdict[int, bytes] = defaultdict(bytes)
        self.finishing: set[int] = set()
        self.finished: set[int] = set()

    def handle(self, events: list[Event]) -> None:
        for happening in events:
            match happening:
                case StreamOpened(id):
                    self.session.accept(id)
                    self.opened.append(id)
                case Data(id, data):
                    assert id not in self.over
                    self.received[id] += data
                    self.unconsumed[id] += len(data)
                    assert self.unconsumed[id] <= WINDOW
                case Writable(id):
                    assert self.rest[id]
                    self.send(id, b"")
                case StreamFinished(id):
                    self.over.add(id)
                case _:
                    assert "Ack" in type(happening).__name__

    def open(self) -> None:
        try:
            self.opened.append(self.session.open(0.0))
        except CannotOpen:
            assert len(self.opened) >= 256

    def send(self, id: int, data: bytes) -> None:
        if id in self.finished or (data and id in self.finishing):
            return
        data = self.rest[id] + data
        size = self.session.send(id, data)
        self.sent[id] += data[:size]
        self.rest[id] = data[size:]
        if id in self.finishing and not self.rest[id]:
            self.finished.add(id)
            self.session.finish(id, 0.0)

    def finish(self, id: int) -> None:
        self.finishing.add(id)
        self.send(id, b"")

    def consume(self, id: int, size: int) -> None:
        size = min(size, self.unconsumed[id])
        self.unconsumed[id] -= size
        self.session.consumed(id, size)

    def flush(self) -> None:
        self.wire += self.session.data_to_send()
        self.handle(self.session.tick(0.0))

    def receive_from(self, other: "End", size: int, piece: int) -> None:
        arrived = bytes(other.wire[:size])
        del other.wire[:size]
        for at in range(0, len(arrived), piece):
            self.handle(self.session.receive(arrived[at : at + piece], 0.0))


SIZES = st.sampled_from([0, 1, 11, 12, 13, 1000, 65_536, WINDOW // 2, WINDOW, WINDOW + 1, 700_000])
ACTIONS = st.tuples(
    st.integers(0, 7), st.booleans(), st.integers(0, 3), SIZES, st.sampled_from([1, 5, 12, 4096, 10**6])
)


@settings(max_examples=150)
@given(st.lists(ACTIONS, min_size=20, max_size=60))
def test_two_sessions_bring_every_byte_over_in_order_and_forget_every_stream(
    actions: list[tuple[int, bool, int, int, int]],
) -> None:
    ends = End(client=True), End(client=False)
    ends[0].open()
    for number, (action, second, which, size, piece) in enumerate(actions):
        here, there = ends if second else ends[::-1]
        id = here.opened[which % len(here.opened)] if here.opened else None
        if action == 0:
            here.open()
        elif action <= 2:
            here.flush()
        elif action <= 4:
            here.receive_from(there, size, piece if piece > 1 else max(1, size // 999))
        elif id is not None and action == 5:
            here.send(id, bytes((number,)) * size)
        elif id is not None and action == 6:
            here.consume(id, size)
        elif id is not None:
            here.finish(id)
    settle(ends)

    for here, there in (ends, ends[::-1]):
        assert sorted(here.opened) == sorted(there.opened)
        assert {id: data for id, data in here.sent.items() if data} == there.received
        assert not any(here.rest.values())
        assert here.over == set(here.opened)
        assert here.session.streams == 0
        assert here.session.deadline() == 30.0, "only the next ping is left to be done"
    event(f"streams {min(len(ends[0].opened), 4)}, bytes 10**{len(str(sum(map(len, ends[0].sent.values()))))}")


def settle(ends: tuple[End, End]) -> None:
    """Finish every stream on both sides and let all that is on its way arrive."""
    for _ in range(10_000):
        for here, there in (ends, ends[::-1]):
            here.flush()
            there.receive_from(here, len(here.wire), 10**6)
            for id in here.opened:
                here.finish(id) if id not in here.finishing else None
                here.consume(id, WINDOW)
        if not any(end.session.streams or end.wire or end.session.deadline() < 0 for end in ends):
            return
    raise AssertionError("the two sessions never come to rest")


def frame(version: int, kind: int, flags: int, id: int, length: int | None, payload: bytes) -> bytes:
    return HEADER.pack(version, kind, flags, id, len(payload) if length is None else length) + payload


FRAMES = st.builds(
    frame,
    version=st.sampled_from([0] * 30 + [1]),
    kind=st.sampled_from([0, 0, 0, 1, 1, 1, 2, 3, 4]),
    flags=st.sampled_from([0, 0, 1, 1, 2, 4, 4, 8, 5, 6, 9, 12, 15, 16]),
    id=st.sampled_from([0, 1, 1, 1, 2, 2, 3, 4]),
    length=st.sampled_from([None, None, None, 0, 1, 7, 2**32 - 1]),
    payload=st.binary(max_size=30),
)


@settings(max_examples=300)
@given(st.booleans(), st.one_of(st.binary(max_size=200), st.lists(FRAMES, max_size=12).map(b"".join)), st.data())
def test_bytes_mean_the_same_whole_one_by_one_and_in_any_other_pieces(
    client: bool, data: bytes, draw: st.DataObject
) -> None:
    cuts = sorted(draw.draw(st.lists(st.integers(0, len(data)), max_size=5)))
    pieces = [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]
    whole = outcome(client, [data])
    assert outcome(client, [data[at : at + 1] for at in range(len(data))]) == whole
    assert outcome(client, pieces) == whole


def outcome(client: bool, pieces: list[bytes]) -> tuple[object, ...]:
    """Return all that a session with one stream of its own makes of what arrives in pieces."""
    session = Session(client=client, now=0.0)
    session.open(0.0)
    events: list[object] = []
    for piece in pieces:
        for happening in session.receive(piece, 0.0):
            if not isinstance(happening, Data):
                events.append(repr(happening))
            elif events and isinstance(events[-1], tuple) and events[-1][0] == happening.id:
                events[-1] = happening.id, events[-1][1] + bytes(happening.data)
            else:
                events.append((happening.id, bytes(happening.data)))
    return events, session.data_to_send(), session.streams, repr(session.connection_closed())


def life(id: int, opens: int, size: int, ends: int, after: int) -> bytes:
    """Return what a peer may say of one stream: that it opens, with data, and perhaps that it ends, and more."""
    frames = ((0, opens, size), (0, 0, size), (1, ends, 0), (0, after, size))
    return b"".join(frame(0, kind, flags, id, None, bytes(length)) for kind, flags, length in frames)


LIVES = st.builds(
    life,
    id=st.sampled_from([1, 1, 3]),
    opens=st.sampled_from([1, 1, 1, 5, 9]),
    size=st.sampled_from([0, 1, 20]),
    ends=st.sampled_from([0, 4, 8, 8]),
    after=st.sampled_from([0, 4, 8]),
)


@settings(max_examples=300)
@given(st.lists(LIVES, max_size=4).map(b"".join))
def test_no_peer_makes_a_user_who_does_everything_right_look_wrong(said: bytes) -> None:
    session = Session(client=False, now=0.0)
    for happening in session.receive(said, 0.0):  # by now, all of it has happened to the session
        match happening:
            case StreamOpened(id):
                session.accept(id)
            case Data(id, data):
                session.consumed(id, len(data))
                session.send(id, data)
            case StreamFinished(id):
                session.finish(id, 0.0)
            case _:
                pass


@settings(max_examples=500)
@given(st.binary(min_size=1, max_size=600))
def test_the_fuzz_target_finds_nothing(data: bytes) -> None:
    one_input(data)
