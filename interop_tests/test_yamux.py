"""yamux against hashicorp/yamux, on a real socket and in both roles: what cmd/yamux does, ours survives and answers."""

import contextlib
import json
import select
import socket
import struct
import subprocess
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from goplugin.transport.yamux import (
    WINDOW,
    CannotOpen,
    Data,
    Ended,
    Event,
    GoAway,
    GoingAway,
    PeerFault,
    PeerGone,
    Pong,
    Session,
    StreamFinished,
    StreamOpened,
    StreamReset,
    Writable,
)

DATA, WINDOW_UPDATE, PING, GO_AWAY = range(4)
SYN, ACK, FIN, RST = 1, 2, 4, 8
HEADER = struct.Struct(">BBHII")
LIMIT = 40.0  # seconds for anything to happen


class Go:
    """cmd/yamux: each connection to it is one run of a scenario."""

    def __init__(self, program: Path, path: Path) -> None:
        self.path = str(path)
        self.process = subprocess.Popen([program, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
        assert self._line() == b"listening\n"

    def _line(self) -> bytes:
        assert self.process.stdout is not None
        assert select.select([self.process.stdout], [], [], LIMIT)[0], "no word from Go"
        return self.process.stdout.readline()

    def result(self) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self._line())
        return answer

    def connect(self, scenario: str, *, client: bool, **request: object) -> socket.socket:
        """Start a scenario in which Go has the other role than ``client``."""
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(LIMIT)
        connection.connect(self.path)
        connection.sendall(json.dumps({"scenario": scenario, "client": not client, **request}).encode() + b"\n")
        return connection

    def close(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        assert self.process.wait(LIMIT) == 0
        self.process.stdout.close()


@pytest.fixture(scope="module")
def go(program: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Go]:
    process = Go(program("yamux"), tmp_path_factory.mktemp("go") / "socket")
    yield process
    process.close()


class Pump:
    """A session on a socket, and a user of it who remembers what happened."""

    def __init__(self, connection: socket.socket, *, client: bool, echo: bool = False, eager: bool = True) -> None:
        self.connection, self.echo, self.eager = connection, echo, eager
        self.connection.setblocking(False)
        self.session = Session(client=client, now=monotonic())
        self.events: list[Event] = []  # all but Data and Writable
        self.received: defaultdict[int, bytearray] = defaultdict(bytearray)
        self.rest: defaultdict[int, bytearray] = defaultdict(bytearray)  # what did not fit yet
        self.finishing: set[int] = set()
        self.unwritten = b""
        self.written = 0

    def send(self, id: int, data: bytes | memoryview = b"", *, finish: bool = False) -> None:
        rest = self.rest[id]
        rest += data
        del rest[: self.session.send(id, rest)]
        self.finishing |= {id} if finish else set()
        if id in self.finishing and not rest:
            self.finishing.remove(id)
            self.session.finish(id, monotonic())

    def handle(self, events: list[Event]) -> None:
        for happening in events:
            match happening:
                case Data(id, data):
                    self.received[id] += data
                    if self.eager:
                        self.session.consumed(id, len(data))
                    if self.echo:
                        self.send(id, data)
                    continue
                case Writable(id):
                    self.send(id)
                    continue
                case StreamOpened(id) if self.eager:
                    self.session.accept(id)
                case StreamFinished(id) if self.echo:
                    self.send(id, finish=True)
                case _:
                    pass
            self.events.append(happening)

    def until(self, condition: Callable[[], object]) -> None:
        limit = monotonic() + LIMIT
        while not condition():
            assert monotonic() < limit, "it does not happen"
            self.unwritten = self.unwritten or self.session.data_to_send()
            wait = max(0.0, min(self.session.deadline(), limit) - monotonic())
            readable, writable, _ = select.select([self.connection], [self.connection] * bool(self.unwritten), [], wait)
            if writable:
                size = self.connection.send(self.unwritten)
                self.unwritten, self.written = self.unwritten[size:], self.written + size
            if readable:
                data = self.connection.recv(65536)
                self.handle(self.session.receive(data, monotonic()) if data else self.session.connection_closed())
            self.handle(self.session.tick(monotonic()))

    def open(self) -> int:
        """Open a stream, as soon as there is room for one more."""
        ids: list[int] = []

        def opened() -> bool:
            with contextlib.suppress(CannotOpen):
                ids.append(self.session.open(monotonic()))
            return bool(ids)

        self.until(opened)
        return ids[0]

    def idle(self) -> bool:
        self.unwritten = self.unwritten or self.session.data_to_send()
        return not self.unwritten and self.session.deadline() > 0

    def has(self, event: Event) -> Callable[[], bool]:
        return lambda: event in self.events


@pytest.fixture(params=[True, False], ids=["client", "server"])
def client(request: pytest.FixtureRequest) -> bool:
    """Our role."""
    return bool(request.param)


@pytest.fixture
def pump(go: Go, client: bool) -> Iterator[Callable[..., Pump]]:
    with contextlib.ExitStack() as stack:

        def start(scenario: str, *, echo: bool = False, eager: bool = True, **request: object) -> Pump:
            connection = stack.enter_context(go.connect(scenario, client=client, **request))
            return Pump(connection, client=client, echo=echo, eager=eager)

        yield start


def finish(pump: Pump, go: Go) -> dict[str, Any]:
    """Let all that was said be written, close the connection and return Go's result."""
    pump.until(pump.idle)
    pump.connection.close()
    return go.result()


# Streams


def test_ten_thousand_streams_one_after_another(pump: Callable[..., Pump], go: Go) -> None:
    ours = pump("echo")
    for number in range(10_000):
        id = ours.open()
        ours.send(id, b"number %d" % number, finish=True)
        ours.until(ours.has(StreamFinished(id)))
        assert ours.received.pop(id) == b"number %d" % number
        ours.events.clear()
    assert ours.session.streams == 0
    result = finish(ours, go)
    assert (result["streams"], result["left"], result["errors"]) == (10_000, 0, [])


def test_ten_thousand_streams_of_go_one_after_another(pump: Callable[..., Pump], go: Go) -> None:
    ours = pump("dial", echo=True, streams=10_000, size=10)
    ours.until(lambda: ours.session.ended)
    assert ours.events[-1] == Ended(None)
    result = go.result()
    assert (result["streams"], result["left"], result["errors"]) == (10_000, 0, [])


def test_hundreds_of_streams_at_once(pump: Callable[..., Pump], go: Go) -> None:
    ours = pump("echo")
    ids = [ours.open() for _ in range(700)]
    for id in ids:
        ours.send(id, id.to_bytes(4) * 5000, finish=True)
    ours.until(lambda: sum(isinstance(event, StreamFinished) for event in ours.events) == 700)
    assert all(ours.received[id] == id.to_bytes(4) * 5000 for id in ids)
    assert ours.session.streams == 0
    result = finish(ours, go)
    assert (result["streams"], result["bytes"], result["left"], result["errors"]) == (700, 700 * 20_000, 0, [])


def test_hundreds_of_streams_of_go_at_once(pump: Callable[..., Pump], go: Go) -> None:
    ours = pump("dial", echo=True, streams=1000, parallel=500, size=20_000)
    ours.until(lambda: ours.session.ended)
    result = go.result()
    assert (result["streams"], result["bytes"], result["left"], result["errors"]) == (1000, 1000 * 20_000, 0, [])


@pytest.mark.parametrize("ours_opens", [True, False])
def test_megabytes_in_streams_that_share_the_connection(pump: Callable[..., Pump], go: Go, ours_opens: bool) -> None:
    size = 5 * 2**20 + 7
    ours = pump("echo") if ours_opens else pump("dial", echo=True, streams=4, parallel=4, size=size)
    if ours_opens:
        data = {ours.open(): bytes((fill,)) * size for fill in range(4)}
        for id in data:
            ours.send(id, data[id], finish=True)
        ours.until(lambda: sum(isinstance(event, StreamFinished) for event in ours.events) == 4)
        assert ours.received == data
        result = finish(ours, go)
    else:
        ours.until(lambda: ours.session.ended)
        result = go.result()
    assert (result["streams"], result["bytes"], result["errors"]) == (4, 4 * size, [])


# Flow control


def test_what_go_does_not_read_stays_with_us(pump: Callable[..., Pump], go: Go) -> None:
    ours = pump("hold")
    held = ours.open()
    ours.send(held, bytes(2**20), finish=True)
    ours.until(lambda: len(ours.rest[held]) == 2**20 - WINDOW)
    ours.session.ping(monotonic())
    ours.until(lambda: any(isinstance(event, Pong) for event in ours.events))
    assert len(ours.rest[held]) == 2**20 - WINDOW
    ours.open()
    ours.until(lambda: not ours.rest[held])
    ours.events.clear()
    # Go answers in order: it has all data then, and our close cannot break off what it is still to receive.
    ours.session.ping(monotonic())
    ours.until(lambda: any(isinstance(event, Pong) for event in ours.events))
    result = finish(ours, go)
    assert (result["bytes"], result["errors"]) == (2**20, [])


def test_what_we_do_not_consume_stays_with_go(pump: Callable[..., Pump], go: Go) -> None:
    ours = pump("push", eager=False, size=3 * WINDOW)
    ours.until(lambda: ours.events)
    (opened,) = ours.events
    assert isinstance(opened, StreamOpened)
    ours.session.accept(opened.id)
    ours.until(lambda: len(ours.events) == 2)  # Go's sign that for half a second nothing fitted
    assert len(ours.received[opened.id]) == WINDOW
    ours.eager = True
    ours.session.consumed(opened.id, WINDOW)
    ours.until(ours.has(StreamFinished(opened.id)))
    assert len(ours.received[opened.id]) == 3 * WINDOW
    result = finish(ours, go)
    assert (result["written"], result["errors"]) == (WINDOW, ["i/o deadline reached"])


# Resets, pings, going away


def test_a_stream_that_we_reset_is_reset_for_go(pump: Callable[..., Pump], go: Go) -> None:
    ours = pump("echo")
    reset, kept = ours.open(), ours.open()
    ours.send(reset, b"abandoned")
    ours.until(lambda: ours.received[reset])
    ours.session.reset(reset)
    ours.send(kept, b"kept", finish=True)
    ours.until(ours.has(StreamFinished(kept)))
    result = finish(ours, go)
    assert (result["streams"], result["left"], result["errors"]) == (1, 0, ["connection reset"])


def test_a_stream_that_go_resets_is_reset_for_us(pump: Callable[..., Pump], go: Go) -> None:
    ours = pump("abandon", config={"close_timeout_ms": 50})
    ours.until(lambda: any(isinstance(event, StreamReset) for event in ours.events))
    opened, finished, reset = ours.events
    assert isinstance(opened, StreamOpened)
    assert [finished, reset] == [StreamFinished(opened.id), StreamReset(opened.id)]
    assert finish(ours, go)["left"] == 0


def test_pings_are_answered_both_ways(pump: Callable[..., Pump], go: Go) -> None:
    ours = pump("ping", streams=100)
    number = ours.session.ping(monotonic())
    ours.until(lambda: ours.session.ended)
    assert any(isinstance(event, Pong) and event.number == number for event in ours.events)
    assert go.result()["streams"] == 100


def test_go_keeps_a_connection_alive_that_has_nothing_to_say(pump: Callable[..., Pump], go: Go) -> None:
    ours = pump("raw", config={"keepalive_ms": 10, "write_timeout_ms": 5000})
    ours.until(lambda: ours.written >= 10 * HEADER.size)
    assert finish(ours, go)["end"] == "EOF"


def test_we_keep_a_connection_alive_that_has_nothing_to_say(pump: Callable[..., Pump], go: Go) -> None:
    ours = pump("raw")
    ours.handle(ours.session.tick(monotonic() + 31))
    ours.until(lambda: any(isinstance(event, Pong) for event in ours.events))
    assert finish(ours, go)["end"] == "EOF"


def test_go_opens_nothing_after_we_go_away_but_finishes_what_is_open(pump: Callable[..., Pump], go: Go) -> None:
    ours = pump("left")
    id = ours.open()
    ours.session.go_away()
    ours.send(id, b"still open", finish=True)
    ours.until(ours.has(StreamFinished(id)))
    assert ours.received[id] == b"still open"
    assert finish(ours, go)["errors"] == ["remote end is not accepting connections"]


def test_we_open_nothing_after_go_goes_away_but_finish_what_is_open(pump: Callable[..., Pump], go: Go) -> None:
    ours = pump("leave")
    id = ours.open()
    ours.until(ours.has(GoingAway()))
    with pytest.raises(CannotOpen):
        ours.session.open(monotonic())
    ours.send(id, b"still open", finish=True)
    ours.until(ours.has(StreamFinished(id)))
    assert ours.received[id] == b"still open"
    assert finish(ours, go)["errors"] == []


@pytest.mark.parametrize(
    ("code", "end"),
    [(GoAway.PROTOCOL_ERROR, "yamux protocol error"), (GoAway.INTERNAL_ERROR, "remote yamux internal error")],
)
def test_when_we_go_away_with_an_error_go_ends_the_session(
    pump: Callable[..., Pump], go: Go, code: GoAway, end: str
) -> None:
    ours = pump("raw")
    ours.open()
    ours.session.go_away(code)
    assert finish(ours, go)["end"] == end


def test_go_leaves_with_streams_open_and_we_know_that_they_were_cut(pump: Callable[..., Pump], go: Go) -> None:
    ours = pump("ping", streams=1)
    ours.open()
    ours.until(lambda: ours.session.ended)
    last = ours.events[-1]
    assert isinstance(last, Ended)
    assert isinstance(last.error, PeerGone)
    assert last.error.code is None
    go.result()


def test_what_go_opens_beyond_the_backlog_is_reset(pump: Callable[..., Pump], go: Go) -> None:
    ours = pump("raw", eager=False, streams=300, config={"backlog": 300})
    ours.until(lambda: ours.written == (300 - 256) * HEADER.size)
    assert sum(isinstance(event, StreamOpened) for event in ours.events) == 256
    assert finish(ours, go)["left"] == 256


# The same bytes to both


def frame(kind: int, flags: int = 0, id: int = 0, length: int = 0, payload: bytes = b"", version: int = 0) -> bytes:
    return HEADER.pack(version, kind, flags, id, length or len(payload)) + payload


ENDS = {  # what we call it, and what Go calls it
    "speaks another version": "invalid protocol version",
    "sends a frame of an unknown type": "invalid msg type",
    "finishes a stream twice": "unexpected flag",
    "sends more than the window of the stream allows": "recv window exceeded",
    "opens a stream twice": "duplicate stream initiated",
    "opens a stream with an id that is not its own": None,
    "opens a window beyond 32 bits": None,
}
CODES = {1: "yamux protocol error", 2: "remote yamux internal error"}
SENTINELS = [frame(PING, SYN, length=2**32 - 1 - number) for number in range(2)]
ANSWERS = [frame(PING, ACK, length=2**32 - 1 - number) for number in range(2)]


def outcome_of_ours(client: bool, opened: int, said: bytes) -> tuple[str | None, list[bytes]]:
    session = Session(client=client, now=0.0)
    for _ in range(opened):
        session.open(0.0)
    events = session.receive(said, 0.0)
    answers = session.data_to_send()
    if not (events and isinstance(events[-1], Ended)):
        return "", frames(answers)
    error = events[-1].error
    if isinstance(error, PeerFault):
        return ENDS[error.reason], []
    assert isinstance(error, PeerGone)
    return CODES.get(error.code or 0, "unexpected go away received"), []


def outcome_of_go(
    go: Go, client: bool, opened: int, said: bytes, expected: Sequence[bytes] = ()
) -> tuple[str, list[bytes]]:
    with go.connect("raw", client=not client, streams=opened) as connection:
        answers = read(connection, opened * HEADER.size)
        # Go answers each ping when it likes, so the answers to the sentinels may come before what is expected.
        for sentinel, answer in zip(SENTINELS, ANSWERS, strict=True):
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                connection.sendall(said + sentinel)
                while answer not in answers and (data := connection.recv(65536)):
                    answers += data
            said = b""
        with contextlib.suppress(TimeoutError, ConnectionResetError):
            while Counter(expected) - Counter(frames(answers)) and (data := connection.recv(65536)):
                answers += data
    result = go.result()
    if result["end"] == "EOF":
        assert all(answer in answers for answer in ANSWERS)
        return "", [each for each in frames(answers) if each not in ANSWERS]
    return result["end"], []


def read(connection: socket.socket, size: int) -> bytes:
    answers = b""
    while len(answers) < size:
        data = connection.recv(65536)
        assert data, "Go closed the connection"
        answers += data
    return answers


def frames(said: bytes) -> list[bytes]:
    return sorted(said[at : at + HEADER.size] for at in range(0, len(said), HEADER.size))


OPEN, FINISHED = frame(WINDOW_UPDATE, SYN, 1), frame(WINDOW_UPDATE, SYN | FIN, 1)
MANY = b"".join(frame(WINDOW_UPDATE, SYN, id) for id in range(1, 2 * 256, 2))


@pytest.mark.parametrize(
    "said",
    [
        frame(PING, SYN, length=7),
        frame(PING, SYN | ACK, id=9, length=7),
        frame(PING, ACK, length=7),
        frame(PING, 0, length=7),
        frame(PING, version=1),
        frame(DATA, SYN, 1, version=9),
        frame(4),
        frame(255, SYN, 1),
        frame(GO_AWAY) * 2,
        frame(GO_AWAY, length=1),
        frame(GO_AWAY, length=2),
        frame(GO_AWAY, length=3),
        frame(GO_AWAY, 0xFFFF, 8, length=2**32 - 1),
        frame(DATA, 0, 1, payload=b"nobody's"),
        frame(DATA, 0, 0, payload=b"nobody's"),
        frame(DATA, FIN, 3, payload=bytes(WINDOW + 1)),
        frame(WINDOW_UPDATE, RST, 5, length=2**32 - 1),
        OPEN,
        OPEN * 2,
        OPEN + frame(DATA, SYN, 1, payload=b"twice"),
        OPEN + frame(DATA, 0, 1, payload=bytes(WINDOW)),
        OPEN + frame(DATA, 0, 1, payload=bytes(WINDOW)) + frame(DATA, FIN, 1),
        OPEN + frame(DATA, 0, 1, payload=bytes(WINDOW)) + frame(DATA, 0, 1, payload=b"x"),
        OPEN + frame(DATA, 0, 1, length=WINDOW + 1),
        OPEN + frame(DATA, RST, 1, length=WINDOW + 1),
        FINISHED,
        FINISHED + frame(WINDOW_UPDATE, FIN, 1),
        FINISHED + frame(DATA, FIN | RST, 1),
        FINISHED + frame(WINDOW_UPDATE, RST, 1) + frame(WINDOW_UPDATE, FIN, 1),
        FINISHED + frame(DATA, 0, 1, payload=b"late"),
        FINISHED + frame(DATA, 0, 1, length=WINDOW + 1),
        FINISHED + frame(WINDOW_UPDATE, 0, 1, length=5),
        frame(DATA, SYN | FIN, 1, payload=b"all"),
        frame(DATA, SYN | RST, 1, payload=b"all") + frame(DATA, 0, 1, payload=b"late"),
        frame(DATA, SYN | ACK | FIN | RST | 0xFFF0, 1, payload=b"all"),
        MANY,
        MANY + frame(WINDOW_UPDATE, SYN, 513),
        MANY + frame(DATA, SYN, 513, payload=b"thrown away") + frame(WINDOW_UPDATE, SYN, 515),
    ],
)
def test_the_same_bytes_mean_the_same_to_both(go: Go, client: bool, said: bytes) -> None:
    # The ids above are those of a client; a server's are one higher.
    said = b"".join(with_even_ids(said)) if client else said
    end, answers = outcome_of_ours(client, 0, said)
    assert (end, answers) == outcome_of_go(go, client, 0, said, answers)


def with_even_ids(said: bytes) -> Iterator[bytes]:
    while said:
        version, kind, flags, id, length = HEADER.unpack_from(said)
        size = length if kind == DATA else 0
        yield HEADER.pack(version, kind, flags, id + id % 2, length) + said[HEADER.size : HEADER.size + size]
        said = said[HEADER.size + size :]


KINDS = st.sampled_from([DATA] * 6 + [WINDOW_UPDATE] * 6 + [PING, PING, GO_AWAY])
FLAGS = st.sampled_from([0, 0, 0, 0, ACK, ACK, FIN, RST, ACK | FIN, FIN | RST, 0xFF0])
NEW = st.sampled_from([SYN, SYN, SYN, SYN | FIN, SYN | RST])
LENGTHS = st.sampled_from([0, 0, 1, 5, 100, WINDOW // 2, WINDOW, WINDOW + 1])


@st.composite
def scripts(draw: st.DrawFn) -> bytes:
    """Draw what a client might say: it opens streams, and speaks of those, of the server's, and of none."""
    said = b""
    ids = [1]
    for _ in range(draw(st.integers(4, 20))):
        id = draw(st.sampled_from([*ids, *ids, *ids, 2, 4, 6, 7]))
        kind, flags, length = draw(KINDS), draw(FLAGS), draw(LENGTHS)
        if kind in (DATA, WINDOW_UPDATE) and draw(st.integers(0, 3)) == 3:
            id, flags = ids[-1], draw(NEW)
            ids.append(id + 2)
        if kind == GO_AWAY:
            length = draw(st.sampled_from([0, 0, 0, 1, 2, 3]))
        said += frame(kind, flags, id, length, bytes(length) if kind == DATA else b"")
    return said


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 3), scripts())
def test_any_frames_mean_the_same_to_both(go: Go, client: bool, opened: int, said: bytes) -> None:
    if client:
        said = b"".join(a_server_says(said))
    end, answers = outcome_of_ours(client, opened, said)
    event(end or "the session lives")
    assert (end, answers) == outcome_of_go(go, client, opened, said, answers)


def a_server_says(said: bytes) -> Iterator[bytes]:
    """Yield a client's frames with odd and even ids swapped."""
    while said:
        version, kind, flags, id, length = HEADER.unpack_from(said)
        size = length if kind == DATA else 0
        yield HEADER.pack(version, kind, flags, id and (id - 1 ^ 1) + 1, length) + said[12 : 12 + size]
        said = said[12 + size :]


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (frame(WINDOW_UPDATE, SYN, 2), "opens a stream with an id that is not its own"),
        (frame(WINDOW_UPDATE, SYN, 0), "opens a stream with an id that is not its own"),
        (OPEN + frame(WINDOW_UPDATE, RST, 1) + OPEN, "opens a stream twice"),
        (OPEN + frame(WINDOW_UPDATE, 0, 1, length=2**32 - WINDOW), "opens a window beyond 32 bits"),
    ],
)
def test_where_we_refuse_what_no_peer_means_go_does_not(go: Go, said: bytes, reason: str) -> None:
    last = Session(client=False, now=0.0).receive(said, 0.0)[-1]
    assert isinstance(last, Ended)
    assert isinstance(last.error, PeerFault)
    assert last.error.reason == reason
    assert outcome_of_go(go, False, 0, said) == ("", [])


def test_both_give_a_window_back_by_halves(go: Go) -> None:
    said = OPEN + frame(DATA, 0, 1, payload=bytes(WINDOW)) + frame(WINDOW_UPDATE, SYN, 3)
    ours = Session(client=False, now=0.0)
    ours.receive(said, 0.0)
    ours.accept(1)
    ours.accept(3)
    for _ in range(0, WINDOW, 4096):
        ours.consumed(1, 4096)
    expected = ours.data_to_send()
    with go.connect("hold", client=True) as connection:
        connection.sendall(said)
        answers = read(connection, len(expected))
    assert frames(answers) == frames(expected)
    go.result()
