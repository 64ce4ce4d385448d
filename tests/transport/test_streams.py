"""A yamux session on the reactor: its streams are joined to plain sockets, whose other ends the test holds."""

import os
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from queue import SimpleQueue
from time import monotonic
from typing import TYPE_CHECKING, TypeVar

import pytest
from leftovers import nothing_left as nothing_left
from leftovers import warm_grpc as warm_grpc

from goplugin.transport import _streams, yamux
from goplugin.transport._endpoints import SocketEndpoint
from goplugin.transport._joint import Joint
from goplugin.transport._reactor import READ, WRITE, Reactor
from goplugin.transport._scribe import SCRIBE
from goplugin.transport._streams import MuxSession, MuxStream
from goplugin.transport.yamux import WINDOW, CannotOpen, PeerFault, PeerGone, PeerSilent, Session, SessionLost

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer as Buffer

T = TypeVar("T")
PATIENCE = 60.0  # seconds for what takes milliseconds; and to send all that a test does
HEADER = struct.Struct(">BBHII")


class Side:
    """One side of a session, whose streams end in sockets."""

    def __init__(self, reactor: Reactor, sock: socket.socket, *, client: bool, join: bool = True) -> None:
        self._reactor, self._join = reactor, join
        self.arrived: SimpleQueue[MuxStream] = SimpleQueue()
        self.far: SimpleQueue[socket.socket] = SimpleQueue()
        self.over: SimpleQueue[SessionLost | None] = SimpleQueue()
        self.joints: SimpleQueue[Exception | None] = SimpleQueue()
        self.session = self.run(
            lambda: MuxSession(
                reactor, sock, client=client, incoming=self._incoming, over=lambda _, error: self.over.put(error)
            )
        )

    def run(self, job: Callable[[], T]) -> T:
        """Do something on the reactor's thread."""
        done = Future[T]()

        def act() -> None:
            try:
                done.set_result(job())
            except Exception as error:  # noqa: BLE001 - whoever waits gets it
                done.set_exception(error)

        self._reactor.call(act)
        return done.result(PATIENCE)

    def open(self, settled: Callable[[], object] = lambda: None) -> MuxStream:
        return self.run(lambda: self.session.open(settled))

    def dial(self) -> socket.socket:
        """Open a stream and return the socket that is joined to it."""
        return self.run(lambda: self.joined(self.session.open(lambda: None)))

    def streams(self) -> int:
        """Return how many streams the session knows."""
        return self.run(lambda: len(vars(self.session)["_streams"]))

    def accept(self) -> socket.socket:
        return self.far.get(timeout=PATIENCE)

    def joined(self, stream: MuxStream) -> socket.socket:
        ours, theirs = socket.socketpair()
        theirs.settimeout(PATIENCE)
        Joint(self._reactor, SocketEndpoint(self._reactor, ours), stream, self.joints.put).start()
        return theirs

    def close(self) -> None:
        self.run(self.session.close)

    def _incoming(self, session: MuxSession, stream: MuxStream) -> None:
        assert session is self.session
        if self._join:
            self.far.put(self.joined(stream))
        else:
            self.arrived.put(stream)


@pytest.fixture
def reactor(nothing_left: str) -> Reactor:
    return Reactor()


@pytest.fixture
def pair(reactor: Reactor) -> Iterator[tuple[Side, Side]]:
    ours, theirs = socket.socketpair()
    client, server = Side(reactor, ours, client=True), Side(reactor, theirs, client=False)
    yield client, server
    client.close()
    server.close()


class Peer:
    """The other side as plain code over a blocking socket."""

    def __init__(self, sock: socket.socket, *, client: bool) -> None:
        sock.settimeout(PATIENCE)
        self.sock, self.session = sock, Session(client=client, now=0.0)

    def say(self) -> None:
        self.sock.sendall(self.session.data_to_send())

    def hear(self) -> list[yamux.Event]:
        return self.session.receive(self.sock.recv(2**20), 0.0)


@pytest.fixture
def wired(reactor: Reactor) -> Iterator[tuple[Side, Peer]]:
    """A server's side whose streams are not joined, and its peer."""
    ours, theirs = socket.socketpair()
    side = Side(reactor, ours, client=False, join=False)
    yield side, Peer(theirs, client=True)
    side.close()
    theirs.close()


def sent(sock: socket.socket, data: bytes) -> threading.Thread:
    """Send all of it, and the end, from a thread."""

    def send() -> None:
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)

    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    return thread


def received(sock: socket.socket) -> bytes:
    """Return everything up to the end."""
    pieces: list[bytes] = []
    while piece := sock.recv(2**20):
        pieces.append(piece)
    return b"".join(pieces)


def test_a_stream_carries_megabytes_both_ways_and_each_end_by_itself(pair: tuple[Side, Side]) -> None:
    client, server = pair
    there, back = os.urandom(3 * 2**20 + 7), os.urandom(2 * 2**20 + 1)
    with client.dial() as left, server.accept() as right:
        sending = sent(left, there)
        assert received(right) == there
        sending.join()
        answering = sent(right, back)
        assert received(left) == back
        answering.join()
        assert [side.joints.get(timeout=PATIENCE) for side in pair] == [None, None]
    assert client.streams() == server.streams() == 0


def test_either_side_opens_streams(pair: tuple[Side, Side]) -> None:
    for ours, theirs in (pair, pair[::-1]):
        with ours.dial() as left, theirs.accept() as right:
            left.sendall(b"hello")
            assert right.recv(100) == b"hello"


def test_a_reader_that_is_slow_holds_up_its_own_stream_only(pair: tuple[Side, Side]) -> None:
    client, server = pair
    with client.dial() as slow, server.accept() as unread:
        stuck = 8 * 2**20
        sending = sent(slow, bytes(stuck))
        with client.dial() as left, server.accept() as right:
            data = os.urandom(2 * 2**20)
            meanwhile = sent(left, data)
            assert received(right) == data
            meanwhile.join()
        assert sending.is_alive()
        assert received(unread) == bytes(stuck)
        sending.join()


def test_many_streams_at_once_share_the_connection(pair: tuple[Side, Side]) -> None:
    client, server = pair
    ends = [(client.dial(), server.accept()) for _ in range(50)]
    data = [os.urandom(300_000) for _ in ends]
    sending = [sent(left, piece) for (left, _), piece in zip(ends, data, strict=True)]
    assert [received(right) for _, right in ends] == data
    for thread in sending:
        thread.join()
    for left, right in ends:
        left.close()
        right.close()


def test_thousands_of_streams_one_after_another_leave_nothing(pair: tuple[Side, Side]) -> None:
    client, server = pair
    before = len(os.listdir("/proc/self/fd"))
    for number in range(2000):
        with client.dial() as left, server.accept() as right:
            left.sendall(b"%d" % number)
            assert right.recv(100) == b"%d" % number
            left.close()
            assert right.recv(100) == b""
    for side in pair:
        for _ in range(2000):
            side.joints.get(timeout=PATIENCE)
    assert client.streams() == server.streams() == 0
    assert len(os.listdir("/proc/self/fd")) <= before


def test_whoever_opens_a_stream_learns_that_it_was_acknowledged(wired: tuple[Side, Peer]) -> None:
    side, peer = wired
    settled = threading.Event()
    stream = side.open(settled.set)
    peer.hear()
    assert not settled.is_set()
    peer.session.accept(stream.id)
    peer.say()
    assert settled.wait(PATIENCE)


@pytest.mark.parametrize("end", ["reset", "closed here", "lost"])
def test_or_that_it_never_will_be(end: str, wired: tuple[Side, Peer]) -> None:
    side, peer = wired
    settled = threading.Event()
    stream = side.open(settled.set)
    peer.hear()
    match end:
        case "reset":
            peer.session.reset(stream.id)
            peer.say()
        case "closed here":
            side.run(stream.close)
        case _:
            peer.sock.close()
    assert settled.wait(PATIENCE)


def test_a_stream_that_the_peer_resets_gives_what_had_come_and_then_fails(wired: tuple[Side, Peer]) -> None:
    side, peer = wired
    id = peer.session.open(0.0)
    peer.session.send(id, b"last words")
    peer.session.reset(id)
    peer.say()
    stream = side.arrived.get(timeout=PATIENCE)
    into = memoryview(bytearray(100))
    assert side.run(lambda: (stream.gone, stream.receive(into))) == (True, 10)
    assert bytes(into[:10]) == b"last words"
    with pytest.raises(ConnectionResetError):
        side.run(lambda: stream.receive(into))
    with pytest.raises(BrokenPipeError):
        side.run(lambda: stream.send(memoryview(b"x")))
    side.run(stream.close)


def test_what_is_not_received_stays_with_the_peer(wired: tuple[Side, Peer]) -> None:
    side, peer = wired
    id = peer.session.open(0.0)
    sizes = [peer.session.send(id, bytes(2 * WINDOW)) for _ in range(5)]
    assert sum(sizes) == WINDOW
    peer.say()
    stream = side.arrived.get(timeout=PATIENCE)
    number = peer.session.ping(0.0)
    peer.say()
    while yamux.Pong(number, 0.0) not in peer.hear():
        pass
    assert peer.session.send(id, b"more") == 0  # it has arrived, and is not consumed
    taken = side.run(lambda: stream.receive(memoryview(bytearray(2 * WINDOW))))
    assert taken == WINDOW
    while yamux.Writable(id) not in peer.hear():
        pass
    side.run(stream.close)


def test_who_watches_is_told_as_long_as_there_is_something(wired: tuple[Side, Peer]) -> None:
    side, peer = wired
    id = peer.session.open(0.0)
    peer.session.send(id, b"abc")
    peer.say()
    stream = side.arrived.get(timeout=PATIENCE)
    told: SimpleQueue[tuple[int, bytes]] = SimpleQueue()

    def take_one(events: int) -> None:
        into = memoryview(bytearray(1))
        count = stream.receive(into)
        if stream.ended:
            stream.watch(0, take_one)
        told.put((events, bytes(into[:count])))

    side.run(lambda: stream.watch(READ, take_one))
    assert [told.get(timeout=PATIENCE) for _ in range(3)] == [(READ, b"a"), (READ, b"b"), (READ, b"c")]
    side.run(lambda: stream.watch(READ | WRITE, take_one))
    assert told.get(timeout=PATIENCE) == (WRITE, b"")
    side.run(lambda: stream.watch(READ, take_one))
    while not told.empty():
        told.get()
    peer.session.finish(id, 0.0)
    peer.say()
    assert told.get(timeout=PATIENCE) == (READ, b"")
    side.run(stream.close)


def test_a_connection_that_is_cut_ends_every_stream_of_it(pair: tuple[Side, Side]) -> None:
    client, server = pair
    with client.dial() as left, server.accept() as right:
        left.sendall(b"before")
        assert right.recv(100) == b"before"
        client.close()
        assert (received(left), received(right)) == (b"", b"")
    assert client.over.get(timeout=PATIENCE) is None
    lost = server.over.get(timeout=PATIENCE)
    assert isinstance(lost, PeerGone)
    for side in pair:
        with pytest.raises(CannotOpen):
            side.open()


def test_what_came_before_the_cut_is_delivered(wired: tuple[Side, Peer], reactor: Reactor) -> None:
    side, peer = wired
    id = peer.session.open(0.0)
    peer.session.send(id, b"last words")
    peer.session.finish(id, 0.0)
    peer.say()
    peer.sock.close()
    stream = side.arrived.get(timeout=PATIENCE)
    side.over.get(timeout=PATIENCE)
    with side.run(lambda: side.joined(stream)) as right:
        assert received(right) == b"last words"


def test_a_mistake_in_one_stream_is_logged_and_ends_neither_the_others_nor_the_session(
    pair: tuple[Side, Side], caplog: pytest.LogCaptureFixture
) -> None:
    def wrong(_: int) -> None:
        raise ZeroDivisionError

    client, server = pair
    other = client.dial()
    bad = client.open()
    client.run(lambda: bad.watch(WRITE, wrong))
    other.sendall(b"x")
    accepted = server.accept()
    assert accepted.recv(1) == b"x"
    accepted.sendall(b"y")
    assert other.recv(1) == b"y"
    assert client.streams() == 1
    assert SCRIBE.finish(PATIENCE)
    assert [record.exc_info is not None for record in caplog.records] == [True]
    for sock in (other, accepted, server.accept()):
        sock.close()


def test_a_mistake_in_the_session_ends_it_for_all(
    wired: tuple[Side, Peer], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(*_: object) -> None:
        raise ZeroDivisionError

    side, peer = wired
    stream = side.open()
    monkeypatch.setattr(Session, "receive", wrong)
    peer.sock.sendall(b"x")
    assert side.over.get(timeout=PATIENCE) is None
    assert side.run(lambda: stream.gone)  # after the reactor has logged it
    assert SCRIBE.finish(PATIENCE)
    assert [record.exc_info is not None for record in caplog.records] == [True]


def test_a_peer_that_breaks_the_protocol_is_told_so_and_left(wired: tuple[Side, Peer]) -> None:
    side, peer = wired
    peer.sock.sendall(HEADER.pack(7, 0, 0, 0, 0))
    assert isinstance(side.over.get(timeout=PATIENCE), PeerFault)
    events = peer.hear()
    assert isinstance(events[-1], yamux.Ended)
    assert isinstance(events[-1].error, PeerGone)
    assert peer.sock.recv(100) == b""


def test_a_peer_that_is_silent_is_given_up(reactor: Reactor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yamux, "KEEPALIVE", 0.01)
    monkeypatch.setattr(yamux, "PING_TIMEOUT", 0.05)
    ours, theirs = socket.socketpair()
    side = Side(reactor, ours, client=True)
    with theirs:
        assert isinstance(side.over.get(timeout=PATIENCE), PeerSilent)


def test_a_connection_that_has_nothing_to_say_is_kept_alive(
    pair: tuple[Side, Side], reactor: Reactor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(yamux, "KEEPALIVE", 0.001)
    ours, theirs = socket.socketpair()
    side, peer = Side(reactor, ours, client=True), Peer(theirs, client=False)
    limit, pings = monotonic() + PATIENCE, 0
    while pings < 20:
        assert monotonic() < limit
        peer.hear()
        pings += len(answer := peer.session.data_to_send()) // HEADER.size
        theirs.sendall(answer)
    side.close()
    theirs.close()


def test_an_answer_that_came_while_nobody_looked_counts(reactor: Reactor, monkeypatch: pytest.MonkeyPatch) -> None:
    """As when this process was stopped: by the time it looks, the time for the answer is over."""
    monkeypatch.setattr(yamux, "KEEPALIVE", 0.01)
    monkeypatch.setattr(yamux, "PING_TIMEOUT", 0.05)
    go_on = threading.Event()

    class Stopping(socket.socket):
        """Stops the reactor's thread when the first ping is sent: any later it might have given up already."""

        def send(self, data: "Buffer", flags: int = 0, /) -> int:
            sent = super().send(data, flags)
            assert go_on.wait(PATIENCE)
            return sent

    ours, theirs = socket.socketpair()
    side, peer = Side(reactor, Stopping(fileno=ours.detach()), client=True), Peer(theirs, client=False)
    peer.hear()
    began = monotonic()
    peer.say()
    while monotonic() < began + 0.1:  # longer than the time for an answer
        pass
    monkeypatch.setattr(yamux, "KEEPALIVE", 1000.0)
    go_on.set()
    assert side.open().id == 1
    assert side.over.empty()
    side.close()
    theirs.close()


def test_streams_beyond_the_limit_are_reset(wired: tuple[Side, Peer], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_streams, "STREAMS_MAX", 3)
    side, peer = wired
    ids = [peer.session.open(0.0) for _ in range(5)]
    peer.say()
    events: list[yamux.Event] = []
    while len(events) < 5:
        events += peer.hear()
    assert events == [
        *(yamux.StreamAcknowledged(id) for id in ids[:3]),
        *(yamux.StreamReset(id) for id in ids[3:]),
    ]
    streams = [side.arrived.get(timeout=PATIENCE) for _ in range(3)]
    side.run(streams[0].close)
    events = peer.hear()
    id = peer.session.open(0.0)
    peer.say()
    assert side.arrived.get(timeout=PATIENCE).id == id


def test_a_peer_that_reads_nothing_holds_a_bounded_amount_of_memory(wired: tuple[Side, Peer]) -> None:
    side, peer = wired
    for _ in range(64):
        peer.session.open(0.0)
    peer.say()
    streams = [side.arrived.get(timeout=PATIENCE) for _ in range(64)]
    sock: socket.socket = vars(side.session)["_sock"]
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2**17)  # what the kernel takes is not meant
    taken = side.run(lambda: sum(stream.send(memoryview(bytes(2**20))) for stream in streams))
    assert taken < 64 * WINDOW // 8
