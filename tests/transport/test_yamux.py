"""yamux, one side alone: each frame that a peer may send, each call that a user may make, each time limit."""

import ast
import inspect
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from goplugin.handshake import GoPluginError, Misuse
from goplugin.transport import yamux
from goplugin.transport.yamux import (
    WINDOW,
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
    Session,
    StreamAcknowledged,
    StreamFinished,
    StreamOpened,
    StreamReset,
    Writable,
)

DATA, WINDOW_UPDATE, PING, GO_AWAY = range(4)
SYN, ACK, FIN, RST = 1, 2, 4, 8
HEADER = struct.Struct(">BBHII")


def frame(kind: int, flags: int = 0, id: int = 0, length: int = 0, payload: bytes = b"", version: int = 0) -> bytes:
    return HEADER.pack(version, kind, flags, id, length or len(payload)) + payload


def plain(events: list[Event]) -> list[object]:
    """Return the events with each stream's adjoining Data joined, as (id, bytes)."""
    joined: list[object] = []
    for event in events:
        if not isinstance(event, Data):
            joined.append(event)
        elif joined and isinstance(joined[-1], tuple) and joined[-1][0] == event.id:
            joined[-1] = event.id, joined[-1][1] + bytes(event.data)
        else:
            joined.append((event.id, bytes(event.data)))
    return joined


def fault(events: list[Event]) -> str:
    """Return what the peer did wrong, given that this is how it ended."""
    assert isinstance(events[-1], Ended)
    assert isinstance(events[-1].error, PeerFault)
    return events[-1].error.reason


@pytest.fixture
def server() -> Session:
    """A plugin's side, so the peer's ids are odd."""
    return Session(client=False, now=0.0)


@pytest.fixture
def client() -> Session:
    return Session(client=True, now=0.0)


@pytest.fixture
def opened(server: Session) -> Session:
    """A plugin's side with stream 1 open and everything said."""
    assert server.receive(frame(WINDOW_UPDATE, SYN, 1), 0.0) == [StreamOpened(1)]
    server.accept(1)
    assert server.data_to_send() == frame(WINDOW_UPDATE, ACK, 1)
    return server


# Opening


def test_opening_a_stream_says_so_with_an_empty_window_update(client: Session) -> None:
    assert client.open(0.0) == 1
    assert client.data_to_send() == frame(WINDOW_UPDATE, SYN, 1)
    assert client.data_to_send() == b""
    assert client.receive(frame(WINDOW_UPDATE, ACK, 1), 0.0) == [StreamAcknowledged(1)]


def test_a_client_opens_odd_ids_and_a_server_even_ones(client: Session, server: Session) -> None:
    assert [client.open(0.0) for _ in range(3)] == [1, 3, 5]
    assert [server.open(0.0) for _ in range(3)] == [2, 4, 6]


def test_data_need_not_wait_for_the_acknowledgement(client: Session) -> None:
    id = client.open(0.0)
    assert client.send(id, b"first") == 5
    assert client.data_to_send() == frame(WINDOW_UPDATE, SYN, 1) + frame(DATA, 0, 1, payload=b"first")


@pytest.mark.parametrize("kind", [DATA, WINDOW_UPDATE])
def test_a_stream_may_be_opened_and_acknowledged_by_either_kind_of_frame(kind: int) -> None:
    server, client = Session(client=False, now=0.0), Session(client=True, now=0.0)
    assert server.receive(frame(kind, SYN, 1), 0.0) == [StreamOpened(1)]
    client.open(0.0)
    assert client.receive(frame(kind, ACK, 1), 0.0) == [StreamAcknowledged(1)]


def test_a_stream_can_come_with_data_and_be_finished_in_its_first_frame(server: Session) -> None:
    events = server.receive(frame(DATA, SYN | FIN, 1, payload=b"all"), 0.0)
    assert plain(events) == [StreamOpened(1), (1, b"all"), StreamFinished(1)]
    server.accept(1)
    server.finish(1, 0.0)
    assert server.streams == 0
    assert server.data_to_send() == frame(WINDOW_UPDATE, ACK, 1) + frame(WINDOW_UPDATE, FIN, 1)


def test_a_stream_reset_in_its_first_frame_is_gone_before_it_can_be_accepted(server: Session) -> None:
    assert server.receive(frame(WINDOW_UPDATE, SYN | RST, 1), 0.0) == [StreamOpened(1), StreamReset(1)]
    server.accept(1)
    assert server.send(1, b"late") == 0
    server.consumed(1, 1)
    server.finish(1, 0.0)
    server.reset(1)
    assert (server.streams, server.data_to_send()) == (0, b"")


def test_256_streams_may_wait_to_be_accepted_and_the_next_is_reset(server: Session) -> None:
    ids = range(1, 2 * 256, 2)
    assert server.receive(b"".join(frame(WINDOW_UPDATE, SYN, id) for id in ids), 0.0) == [StreamOpened(i) for i in ids]
    assert server.receive(frame(DATA, SYN, 513, payload=b"thrown away") + frame(PING, SYN), 0.0) == []
    assert server.data_to_send() == frame(WINDOW_UPDATE, RST, 513) + frame(PING, ACK)
    server.accept(5)
    assert server.receive(frame(WINDOW_UPDATE, SYN, 515), 0.0) == [StreamOpened(515)]


def test_streams_that_the_peer_took_back_do_not_wait_to_be_accepted(server: Session) -> None:
    for id in range(1, 2 * 300, 2):
        assert server.receive(frame(WINDOW_UPDATE, SYN, id), 0.0) == [StreamOpened(id)]
        assert server.receive(frame(WINDOW_UPDATE, RST, id), 0.0) == [StreamReset(id)]


def test_streams_may_be_opened_in_any_order(server: Session) -> None:
    # Go takes an id and queues the frame that opens it in two steps (session.go: OpenStream).
    assert server.receive(frame(DATA, SYN, 3) + frame(DATA, SYN, 1), 0.0) == [StreamOpened(3), StreamOpened(1)]
    assert server.receive(frame(DATA, RST, 3), 0.0) == [StreamReset(3)]
    server.accept(3)
    server.accept(1)
    assert server.data_to_send() == frame(WINDOW_UPDATE, ACK, 1)


def test_an_id_that_was_left_out_for_a_thousand_others_counts_as_used(server: Session) -> None:
    assert yamux.AHEAD_MAX == 1024
    said = [frame(WINDOW_UPDATE, SYN | RST, id) for id in range(3, 3 + 2 * 1025, 2)]
    server.receive(b"".join(said[:1024]), 0.0)
    with pytest.raises(Misuse):
        server.accept(1)
    server.receive(said[1024], 0.0)
    server.accept(1)
    server.accept(3 + 2 * 1024)
    with pytest.raises(Misuse):
        server.accept(3 + 2 * 1025)
    assert "twice" in fault(server.receive(frame(WINDOW_UPDATE, SYN, 1), 0.0))


def test_256_streams_may_be_unacknowledged_and_the_next_must_wait(client: Session) -> None:
    for _ in range(256):
        client.open(0.0)
    with pytest.raises(CannotOpen, match="yet to acknowledge 256"):
        client.open(0.0)
    assert client.receive(frame(WINDOW_UPDATE, ACK, 7), 0.0) == [StreamAcknowledged(7)]
    assert client.open(0.0) == 513


@pytest.mark.parametrize(("first", "last"), [(4294967293, 4294967293), (4294967292, 4294967292)])
def test_ids_run_out_where_those_of_go_do(first: int, last: int) -> None:
    class Aged(Session):
        def __init__(self) -> None:
            super().__init__(client=first % 2 == 1, now=0.0)
            self._next_id = first

    session = Aged()
    assert session.open(0.0) == last
    with pytest.raises(CannotOpen, match="every id"):
        session.open(0.0)


# Frames that break the protocol, and frames that look as if they did


OPEN = frame(WINDOW_UPDATE, SYN, 1)
FINISHED = frame(WINDOW_UPDATE, SYN | FIN, 1)


@pytest.mark.parametrize(
    ("received", "reason"),
    [
        (frame(DATA, version=1), "another version"),
        (frame(PING, SYN, version=255), "another version"),
        (frame(4), "unknown type"),
        (frame(255, SYN, 1), "unknown type"),
        (frame(DATA, SYN, 0), "not its own"),
        (frame(WINDOW_UPDATE, SYN, 2), "not its own"),
        (OPEN + frame(DATA, SYN, 1), "twice"),
        (OPEN + frame(DATA, RST, 1) + OPEN, "twice"),
        (frame(DATA, SYN, 7) + frame(DATA, RST, 7) + frame(DATA, SYN, 7), "twice"),
        (FINISHED + frame(WINDOW_UPDATE, FIN, 1), "finishes a stream twice"),
        (FINISHED + frame(DATA, FIN | RST, 1), "finishes a stream twice"),
        (OPEN + frame(DATA, 0, 1, length=WINDOW + 1), "more than the window"),
        (OPEN + frame(DATA, RST, 1, length=WINDOW + 1), "more than the window"),
        (frame(DATA, SYN, 1, length=WINDOW + 1), "more than the window"),
        (FINISHED + frame(DATA, 0, 1, length=WINDOW + 1), "more than the window"),
        (OPEN + frame(DATA, 0, 1, payload=b"x") + frame(DATA, 0, 1, length=WINDOW), "more than the window"),
        (OPEN + frame(WINDOW_UPDATE, 0, 1, length=2**32 - WINDOW), "beyond 32 bits"),
        (frame(PING, SYN) * (yamux.REPLIES_MAX + 1), "reads no answers"),
    ],
)
def test_a_peer_that_breaks_the_protocol_is_told_and_the_session_ends(
    server: Session, received: bytes, reason: str
) -> None:
    events = server.receive(received, 0.0)
    assert reason in fault(events)
    assert server.data_to_send().endswith(frame(GO_AWAY, length=GoAway.PROTOCOL_ERROR))
    assert (server.ended, server.streams, server.deadline()) == (True, 0, float("inf"))
    assert server.receive(OPEN, 0.0) == server.tick(1e9) == server.connection_closed() == []
    assert server.data_to_send() == b""


def test_no_peer_may_open_stream_0(client: Session) -> None:
    assert "not its own" in fault(client.receive(frame(DATA, SYN, 0), 0.0))


def test_a_fault_names_the_frame_and_keeps_what_came_before_it(server: Session) -> None:
    events = server.receive(frame(DATA, SYN, 1, payload=b"good") + frame(9, 8, 7, 6), 0.0)
    assert plain(events)[:2] == [StreamOpened(1), (1, b"good")]
    last = events[-1]
    assert isinstance(last, Ended)
    assert isinstance(last.error, PeerFault)
    assert last.error.frame == Frame(version=0, kind=9, flags=8, id=7, length=6)
    assert "kind=9" in str(last.error)


@pytest.mark.parametrize(
    ("received", "means"),
    [
        (frame(DATA, 0, 77, payload=b"for nobody"), []),
        (frame(DATA, FIN, 77, payload=b"for nobody"), []),
        (frame(WINDOW_UPDATE, RST, 77), []),
        (frame(WINDOW_UPDATE, 0, 77, length=2**32 - 1), []),
        (frame(DATA, 0, 0, payload=b"for nobody"), []),
        (frame(DATA, 0, 1, payload=b"x") + frame(DATA, 0, 77, payload=b"for nobody"), [(1, b"x")]),
        (frame(PING, ACK, length=42), []),
        (frame(PING, 0, length=42), []),
        (frame(DATA, 0, 1), []),
        (frame(DATA, 0xFFF0, 1, payload=b"x"), [(1, b"x")]),
        (frame(WINDOW_UPDATE, ACK, 1), []),
        (frame(DATA, 0, 1, payload=b"x" * WINDOW), [(1, b"x" * WINDOW)]),
        (frame(WINDOW_UPDATE, 0, 1, length=2**32 - 1 - WINDOW), []),
        (frame(WINDOW_UPDATE, RST, 1), [StreamReset(1)]),
        (frame(DATA, RST, 1, payload=b"lost with it"), [StreamReset(1)]),
        (frame(DATA, FIN | RST, 1, payload=b"lost with it"), [StreamReset(1)]),
        (frame(DATA, FIN, 1, payload=b"last"), [(1, b"last"), StreamFinished(1)]),
        (frame(WINDOW_UPDATE, FIN, 1) + frame(WINDOW_UPDATE, 0, 1, length=9), [StreamFinished(1)]),
        # Go's FIN can overtake data that were written before it.
        (frame(DATA, FIN, 1, payload=b"last") + frame(DATA, 0, 1, payload=b"late"), [(1, b"last"), StreamFinished(1)]),
        (frame(WINDOW_UPDATE, RST, 1) + frame(WINDOW_UPDATE, FIN, 1), [StreamReset(1)]),
    ],
)
def test_what_go_ignores_or_allows_does_not_end_the_session(
    opened: Session, received: bytes, means: list[object]
) -> None:
    events = opened.receive(received + frame(PING, SYN, length=5), 0.0)
    assert plain(events) == means
    assert opened.data_to_send() == frame(PING, ACK, length=5)
    assert not opened.ended


def test_data_for_nobody_are_skipped_however_long_and_however_they_arrive(server: Session) -> None:
    assert server.receive(frame(DATA, 0, 9, length=2**32 - 1)[:7], 0.0) == []
    assert server.receive(frame(DATA, 0, 9, length=2**32 - 1)[7:], 0.0) == []
    megabyte = bytes(2**20)
    for _ in range(4095):
        assert server.receive(megabyte, 0.0) == []
    assert server.receive(megabyte[:-1] + frame(PING, SYN, length=3), 0.0) == []
    assert server.data_to_send() == frame(PING, ACK, length=3)


def test_a_frame_is_handed_on_in_the_pieces_in_which_it_arrives_and_nothing_is_kept(opened: Session) -> None:
    whole = frame(DATA, FIN, 1, payload=b"abcdef")
    assert plain(opened.receive(whole[:14], 0.0)) == [(1, b"ab")]
    assert plain(opened.receive(whole[14:15], 0.0)) == [(1, b"c")]
    assert plain(opened.receive(whole[15:], 0.0)) == [(1, b"def"), StreamFinished(1)]


@pytest.mark.parametrize("cut", range(1, 12))
def test_a_header_may_arrive_in_pieces(opened: Session, cut: int) -> None:
    said = frame(DATA, 0, 1, payload=b"first") + frame(DATA, 0, 1, payload=b"a second one")
    assert opened.receive(said[:cut], 0.0) == []
    assert plain(opened.receive(said[cut:], 0.0)) == [(1, b"firsta second one")]


def test_data_are_a_view_of_what_arrived_and_not_a_copy(opened: Session) -> None:
    arrived = frame(DATA, 0, 1, payload=b"abc")
    (event,) = opened.receive(arrived, 0.0)
    assert isinstance(event, Data)
    assert event.data.obj is arrived


def test_the_rest_of_a_frame_of_a_stream_that_we_reset_is_skipped(opened: Session) -> None:
    whole = frame(DATA, FIN, 1, payload=b"abcdef")
    assert plain(opened.receive(whole[:14], 0.0)) == [(1, b"ab")]
    opened.reset(1)
    assert opened.receive(whole[14:] + frame(PING, SYN), 0.0) == []
    assert opened.data_to_send() == frame(WINDOW_UPDATE, RST, 1) + frame(PING, ACK)


# Flow control


def test_no_more_is_sent_than_the_peers_window_allows(opened: Session) -> None:
    assert drain(opened, 1, bytes(WINDOW + 10)) == WINDOW
    assert opened.send(1, b"x") == 0
    assert opened.tick(0.0) == []
    assert opened.receive(frame(WINDOW_UPDATE, 0, 1, length=0), 0.0) == []
    assert opened.receive(frame(WINDOW_UPDATE, 0, 1, length=3), 0.0) == [Writable(1)]
    assert opened.send(1, b"abcdef") == 3
    assert opened.data_to_send() == frame(DATA, 0, 1, payload=b"abc")
    assert opened.receive(frame(WINDOW_UPDATE, 0, 1, length=3), 0.0) == [Writable(1)]
    assert opened.receive(frame(WINDOW_UPDATE, 0, 1, length=3), 0.0) == [], "nothing waited"


def test_a_stream_whose_every_byte_fitted_is_not_told_that_more_would(opened: Session) -> None:
    assert drain(opened, 1, bytes(WINDOW)) == WINDOW
    assert opened.receive(frame(WINDOW_UPDATE, 0, 1, length=3), 0.0) == []


def drain(session: Session, id: int, data: bytes) -> int:
    """Send as long as anything fits, as a connection does that takes everything at once."""
    sent = 0
    while size := session.send(id, data[sent:]):
        sent += size
        session.data_to_send()
        session.tick(0.0)
    return sent


def test_a_larger_window_comes_with_the_first_frame(server: Session) -> None:
    server.receive(frame(WINDOW_UPDATE, SYN, 1, length=1000), 0.0)
    server.accept(1)
    assert drain(server, 1, bytes(2 * WINDOW)) == WINDOW + 1000


def test_half_a_window_must_be_consumed_before_it_is_given_back(opened: Session) -> None:
    opened.receive(frame(DATA, 0, 1, payload=bytes(WINDOW)), 0.0)
    opened.consumed(1, WINDOW // 2 - 1)
    assert opened.data_to_send() == b""
    opened.consumed(1, 1)
    assert opened.data_to_send() == frame(WINDOW_UPDATE, 0, 1, length=WINDOW // 2)
    opened.consumed(1, WINDOW // 2)
    assert opened.data_to_send() == frame(WINDOW_UPDATE, 0, 1, length=WINDOW // 2)
    assert plain(opened.receive(frame(DATA, 0, 1, payload=bytes(WINDOW)), 0.0)) == [(1, bytes(WINDOW))]
    assert "more than the window" in fault(opened.receive(frame(DATA, 0, 1, payload=b"x"), 0.0))


def test_a_peer_that_has_finished_is_given_nothing_back(opened: Session) -> None:
    opened.receive(frame(DATA, FIN, 1, payload=bytes(WINDOW)), 0.0)
    opened.consumed(1, WINDOW)
    assert opened.data_to_send() == b""


def test_a_stream_that_we_have_finished_still_receives(opened: Session) -> None:
    opened.finish(1, 0.0)
    assert plain(opened.receive(frame(DATA, 0, 1, payload=bytes(WINDOW)), 0.0)) == [(1, bytes(WINDOW))]
    opened.consumed(1, WINDOW)
    assert opened.data_to_send() == frame(WINDOW_UPDATE, FIN, 1) + frame(WINDOW_UPDATE, 0, 1, length=WINDOW)
    assert opened.receive(frame(WINDOW_UPDATE, FIN, 1), 0.0) == [StreamFinished(1)]
    assert opened.streams == 0


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_what_was_sent_may_be_changed_afterwards(
    opened: Session, kind: type[bytes] | type[bytearray] | type[memoryview]
) -> None:
    original = bytearray(b"before")
    assert opened.send(1, kind(original)) == 6
    original[:] = b"after!"
    assert opened.data_to_send() == frame(DATA, 0, 1, payload=b"before")


def test_a_stream_that_sends_out_of_turn_is_not_told_that_it_may(opened: Session) -> None:
    size = yamux.FRAME_MAX
    assert [opened.send(1, bytes(2 * size)) for _ in range(4)] == [size] * 4
    assert opened.data_to_send()
    assert opened.tick(0.0) == [], "the window is shut"
    assert opened.receive(frame(WINDOW_UPDATE, 0, 1, length=2 * size), 0.0) == [Writable(1)]
    assert [opened.send(1, bytes(size + 5)), opened.send(1, b"abcde")] == [size, 5]
    assert opened.tick(0.0) == [], "nothing waits"


def test_sending_nothing_sends_nothing(opened: Session) -> None:
    assert opened.send(1, b"") == 0
    assert opened.data_to_send() == b""
    assert opened.deadline() > 0


def test_streams_take_turns_when_the_connection_is_slower_than_they_are(server: Session) -> None:
    ids = list(range(1, 41, 2))
    server.receive(b"".join(frame(WINDOW_UPDATE, SYN, id, length=2**30) for id in ids), 0.0)
    for id in ids:
        server.accept(id)
    server.data_to_send()
    sent = {id: server.send(id, bytes(10**6)) for id in ids}
    for _ in range(200):
        assert server.deadline() > 0.0, "nothing can be done before something is written"
        assert len(server.data_to_send()) == yamux.OUTGOING_MAX + 4 * HEADER.size
        assert server.deadline() == float("-inf")
        for event in server.tick(0.0):
            assert isinstance(event, Writable)
            sent[event.id] += server.send(event.id, bytes(10**6))
    assert max(sent.values()) - min(sent.values()) <= yamux.FRAME_MAX


# Ends of streams


def test_a_stream_is_gone_when_both_sides_have_finished_it(opened: Session) -> None:
    opened.finish(1, 0.0)
    assert opened.data_to_send() == frame(WINDOW_UPDATE, FIN, 1)
    assert opened.streams == 1
    assert opened.receive(frame(WINDOW_UPDATE, FIN, 1), 0.0) == [StreamFinished(1)]
    assert opened.streams == 0


def test_a_reset_stream_is_gone_at_once_and_late_frames_are_ignored(opened: Session) -> None:
    opened.send(1, b"x" * 10)
    opened.data_to_send()
    opened.reset(1)
    assert opened.data_to_send() == frame(WINDOW_UPDATE, RST, 1)
    late = frame(DATA, FIN, 1, payload=b"late") + frame(WINDOW_UPDATE, RST, 1)
    assert (opened.receive(late, 0.0), opened.streams) == ([], 0)


def test_streams_that_are_gone_leave_nothing_behind(server: Session) -> None:
    def live(first: int, count: int) -> None:
        for id in range(first, first + 2 * count, 2):
            server.receive(frame(DATA, SYN, id, payload=b"question"), 0.0)
            server.accept(id)
            server.send(id, b"answer")
            server.finish(id, 0.0)
            server.receive(frame(DATA, FIN, id), 0.0)
            server.data_to_send()

    live(1, 10)
    tracemalloc.start()
    live(21, 10)
    before = tracemalloc.get_traced_memory()[0]
    live(41, 3000)
    after = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert (server.streams, server.ended) == (0, False)
    assert after - before < 10_000


def test_a_stream_that_is_finished_or_gone_is_not_told_that_it_is_writable(opened: Session) -> None:
    opened.receive(frame(WINDOW_UPDATE, SYN, 3), 0.0)
    opened.accept(3)
    opened.receive(frame(WINDOW_UPDATE, SYN, 5), 0.0)
    opened.accept(5)
    assert drain(opened, 5, bytes(WINDOW + 1)) == WINDOW
    for id in (1, 3):
        opened.send(id, bytes(WINDOW))
    opened.reset(1)
    opened.finish(3, 0.0)
    opened.finish(5, 0.0)
    assert opened.receive(frame(WINDOW_UPDATE, 0, 3, length=5), 0.0) == []
    assert opened.receive(frame(WINDOW_UPDATE, 0, 5, length=5), 0.0) == []
    assert opened.tick(0.0) == []
    assert opened.deadline() > 0


def test_a_peer_that_does_not_finish_within_five_minutes_of_us_is_reset(opened: Session) -> None:
    now = 10.0
    opened.finish(1, now)
    while now < 310.0:
        answer(opened, now)
        assert opened.streams == 1
        now = opened.deadline()
    assert now == 310.0
    assert opened.tick(now) == [StreamReset(1)]
    assert opened.data_to_send().endswith(frame(WINDOW_UPDATE, RST, 1))
    assert opened.streams == 0


def answer(session: Session, now: float) -> None:
    """Tick, and answer the pings as a healthy peer does."""
    session.tick(now)
    said = session.data_to_send()
    for at in range(0, len(said), HEADER.size):
        _, kind, flags, _, number = HEADER.unpack_from(said, at)
        if (kind, flags) == (PING, SYN):
            session.receive(frame(PING, ACK, length=number), now)


def test_a_stream_finished_by_both_needs_no_time_limit(opened: Session) -> None:
    opened.finish(1, 0.0)
    opened.receive(frame(WINDOW_UPDATE, FIN, 1), 0.0)
    assert opened.deadline() == 30.0


# Pings and time


def test_a_ping_is_answered_with_its_number(server: Session) -> None:
    assert server.receive(frame(PING, SYN, id=3, length=2**32 - 1), 0.0) == []
    assert server.data_to_send() == frame(PING, ACK, length=2**32 - 1)


def test_any_number_of_pings_is_answered_as_long_as_the_answers_are_read(server: Session) -> None:
    for _ in range(3):
        assert server.receive(frame(PING, SYN) * yamux.REPLIES_MAX, 0.0) == []
        assert server.data_to_send() == frame(PING, ACK) * yamux.REPLIES_MAX


@pytest.mark.parametrize("answer", [Session.accept, Session.reset])
def test_a_peer_that_opens_streams_and_reads_no_answers_is_at_fault(
    server: Session, answer: Callable[[Session, int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(yamux, "REPLIES_MAX", 8)
    for id in range(1, 16, 2):
        assert server.receive(frame(WINDOW_UPDATE, SYN, id), 0.0) == [StreamOpened(id)]
        answer(server, id)
    assert "reads no answers" in fault(server.receive(frame(WINDOW_UPDATE, RST, 1), 0.0))


def test_any_number_of_streams_is_answered_as_long_as_the_answers_are_read(
    server: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(yamux, "REPLIES_MAX", 8)
    for id in range(1, 101, 2):
        assert server.receive(frame(WINDOW_UPDATE, SYN, id), 0.0) == [StreamOpened(id)]
        server.accept(id)
        server.reset(id)
        assert server.data_to_send() == frame(WINDOW_UPDATE, ACK, id) + frame(WINDOW_UPDATE, RST, id)


@pytest.mark.parametrize("flags", [SYN, SYN | ACK])
def test_a_question_is_not_taken_for_the_answer_to_ours(client: Session, flags: int) -> None:
    number = client.ping(0.0)
    assert client.receive(frame(PING, flags, length=number), 1.0) == []
    assert client.data_to_send() == frame(PING, SYN, length=number) + frame(PING, ACK, length=number)


def test_our_ping_is_timed(client: Session) -> None:
    assert [client.ping(1.0), client.ping(2.0)] == [0, 1]
    assert client.data_to_send() == frame(PING, SYN, length=0) + frame(PING, SYN, length=1)
    assert client.receive(frame(PING, ACK, length=1) + frame(PING, ACK, length=1), 2.5) == [Pong(1, 0.5)]
    assert client.receive(frame(PING, 0, length=0), 4.0) == [Pong(0, 3.0)]


def test_the_connection_is_kept_alive_by_a_ping_thirty_seconds_after_the_last_answer(client: Session) -> None:
    assert (client.deadline(), Session(client=True, now=7.0).deadline()) == (30.0, 37.0)
    assert (client.tick(29.9), client.data_to_send()) == ([], b"")
    assert client.tick(30.0) == []
    assert client.data_to_send() == frame(PING, SYN, length=0)
    assert client.deadline() == 50.0
    assert (client.tick(49.9), client.data_to_send()) == ([], b"")
    assert client.receive(frame(PING, ACK), 31.0) == [Pong(0, 1.0)]
    assert client.deadline() == 61.0


def test_a_peer_that_answers_no_ping_is_lost(client: Session) -> None:
    client.open(0.0)
    client.tick(30.0)
    assert client.tick(49.9) == []
    (event,) = client.tick(client.deadline())
    assert isinstance(event, Ended)
    assert isinstance(event.error, PeerSilent)
    assert client.streams == 0


def test_a_peer_that_acknowledges_no_stream_for_75_seconds_is_lost(client: Session) -> None:
    client.open(5.0)
    for now in (30.0, 60.0):
        answer(client, now)
    assert client.deadline() == 80.0
    (event,) = client.tick(80.0)
    assert isinstance(event, Ended)
    assert isinstance(event.error, PeerSilent)
    assert "acknowledged a stream" in str(event.error)


@pytest.mark.parametrize("flags", [ACK, RST])
def test_a_stream_that_is_acknowledged_or_refused_has_no_open_timeout(client: Session, flags: int) -> None:
    client.open(0.0)
    client.receive(frame(WINDOW_UPDATE, flags, 1), 1.0)
    for now in (30.0, 60.0, 90.0):
        answer(client, now)
    assert not client.ended


# The end of the session


def test_a_peer_that_goes_away_takes_no_more_streams_but_keeps_those_it_has(opened: Session) -> None:
    assert opened.receive(frame(GO_AWAY) + frame(GO_AWAY), 0.0) == [GoingAway()]
    with pytest.raises(CannotOpen, match="takes no more"):
        opened.open(0.0)
    assert plain(opened.receive(frame(DATA, 0, 1, payload=b"still here"), 0.0)) == [(1, b"still here")]
    assert opened.send(1, b"me too") == 6


@pytest.mark.parametrize("code", [1, 2, 3, 2**32 - 1])
def test_a_peer_that_goes_away_with_an_error_has_ended_the_session(opened: Session, code: int) -> None:
    (event,) = opened.receive(frame(GO_AWAY, length=code), 0.0)
    assert isinstance(event, Ended)
    assert isinstance(event.error, PeerGone)
    assert event.error.code == code
    assert opened.data_to_send() == b""


def test_when_we_go_away_new_streams_are_reset_and_old_ones_go_on(opened: Session) -> None:
    opened.go_away()
    assert opened.receive(frame(DATA, SYN, 3, payload=b"no") + frame(DATA, 0, 1, payload=b"yes"), 0.0) == [
        Data(1, memoryview(b"yes"))
    ]
    assert opened.data_to_send() == frame(GO_AWAY) + frame(WINDOW_UPDATE, RST, 3)


def test_when_we_go_away_with_an_error_all_is_over(opened: Session) -> None:
    opened.go_away(GoAway.INTERNAL_ERROR)
    opened.go_away()
    assert opened.data_to_send() == frame(GO_AWAY, length=2)
    assert (opened.ended, opened.streams, opened.send(1, b"x")) == (True, 0, 0)
    with pytest.raises(CannotOpen, match="over"):
        opened.open(0.0)
    opened.ping(0.0)
    assert (opened.data_to_send(), opened.deadline()) == (b"", float("inf"))


GONE = frame(WINDOW_UPDATE, RST, 1)


def test_a_connection_closed_between_frames_and_with_no_stream_open_is_a_clean_end(opened: Session) -> None:
    opened.finish(1, 0.0)
    opened.receive(frame(WINDOW_UPDATE, FIN, 1), 0.0)
    assert opened.connection_closed() == [Ended(None)]


@pytest.mark.parametrize("partial", [b"", GONE + frame(PING)[:5], GONE + frame(DATA, 0, 9, length=5)])
def test_a_connection_closed_in_the_middle_is_not(opened: Session, partial: bytes) -> None:
    opened.receive(partial, 0.0)
    (event,) = opened.connection_closed()
    assert isinstance(event, Ended)
    assert isinstance(event.error, PeerGone)
    assert event.error.code is None
    assert opened.connection_closed() == []


# Misuse


NONSENSE: list[Callable[[Session], object]] = [
    lambda session: session.send(3, b"x"),
    lambda session: session.accept(2),
    lambda session: session.finish(0, 0.0),
    lambda session: session.reset(-1),
    lambda session: session.consumed(3, 1),
    lambda session: session.accept(1),
    lambda session: session.consumed(1, 1),
    lambda session: session.consumed(1, -1),
]


@pytest.mark.parametrize("call", NONSENSE)
def test_a_call_that_makes_no_sense_is_a_misuse_and_changes_nothing(
    opened: Session, call: Callable[[Session], object]
) -> None:
    with pytest.raises(Misuse):
        call(opened)
    assert opened.data_to_send() == b""
    assert plain(opened.receive(frame(DATA, 0, 1, payload=b"unharmed"), 0.0)) == [(1, b"unharmed")]


def test_a_stream_is_accepted_before_it_is_used_and_not_used_when_finished(server: Session) -> None:
    server.receive(OPEN, 0.0)
    for call in (lambda: server.send(1, b"x"), lambda: server.finish(1, 0.0)):
        with pytest.raises(Misuse, match="not accepted"):
            call()
    server.accept(1)
    server.finish(1, 0.0)
    for call in (lambda: server.send(1, b"x"), lambda: server.finish(1, 0.0)):
        with pytest.raises(Misuse, match="finished"):
            call()


def test_every_error_is_one_of_ours() -> None:
    assert all(issubclass(error, GoPluginError) for error in (PeerFault, PeerSilent, PeerGone, CannotOpen))


def test_yamux_is_pure() -> None:
    room = Path(inspect.getfile(Session)).parent
    for module in ("yamux.py", "_yamux_events.py"):
        tree = ast.parse((room / module).read_text())
        named = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
        named |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        assert named <= {"math", "struct", "enum", "dataclasses", "typing", "handshake", "_yamux_events"}
