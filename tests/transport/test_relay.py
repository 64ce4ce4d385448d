"""The relay, with real sockets and real TLS on both sides; grpcio takes part where that is the point."""

import errno
import hashlib
import os
import random
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

import grpc
import pytest
from foreign_certificates import NOW, Foreign, context
from leftovers import nothing_left as nothing_left
from leftovers import warm_grpc as warm_grpc
from tls_peers import (
    PATIENCE,
    Inner,
    Refusals,
    close,
    connect,
    connect_tls,
    connections,
    echo,
    ends,
    ends_properly,
    receive,
    serving,
    vanish,
)

from goplugin.handshake import Address, MachineFault, Tcp, Unix
from goplugin.transport import CHANNEL_OPTIONS, SCRIBE, _opening
from goplugin.transport._reactor import REACTOR, Timer
from goplugin.transport.tls import (
    DialRelay,
    Identity,
    InnerServer,
    MutualTls,
    PeerRefused,
    Refusal,
    Relay,
    Tls,
    dial,
    listening,
    serve,
)

OURS = Identity.generate(NOW.timestamp())
GO = Foreign.make()
STRANGER = Foreign.make()
MUTUAL = MutualTls(OURS, GO.parsed)
CLIENT, SERVER = ssl.PROTOCOL_TLS_CLIENT, ssl.PROTOCOL_TLS_SERVER
TLS_1_2, TLS_1_3 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3


@dataclass
class Served:
    """A relay in front of a stand-in for grpcio's server."""

    relay: Relay
    inner: Inner
    address: str | tuple[str, int]
    refusals: Refusals = field(default_factory=Refusals)

    def pair(self, made: ssl.SSLContext | None = None) -> tuple[ssl.SSLSocket, socket.socket]:
        """Return both ends of a relayed connection: the peer's and grpcio's."""
        outer = connect_tls(self.address, GO, made)
        return outer, self.inner.accept()


Serving = Callable[..., Served]


@pytest.fixture
def served(nothing_left: str) -> Iterator[Serving]:
    """``served(tcp=…, tls=…, within=…)`` makes a relay, which is closed after the test."""
    with ExitStack() as undo:

        def make(tcp: bool = False, tls: Tls = MUTUAL.server, within: float = PATIENCE) -> Served:
            path = os.path.join(nothing_left, "outer")
            address: Address = Tcp("127.0.0.1", 0) if tcp else Unix(path)
            refusals, inner, listener = Refusals(), Inner(), listening(address)
            where = listener.getsockname()
            relay = serve(listener, InnerServer(inner, os.environ), tls, refusals, within)
            if not tcp:
                undo.callback(os.unlink, path)
            undo.callback(inner.close)
            undo.callback(relay.close)
            return Served(relay, inner, where, refusals)

        yield make


@pytest.fixture
def dialled(nothing_left: str) -> Iterator[Callable[..., tuple[DialRelay, Refusals]]]:
    """``dialled(address)`` makes a relay to a peer, which is closed after the test."""
    with ExitStack() as undo:

        def make(address: Address, tls: Tls = MUTUAL.client, within: float = PATIENCE) -> tuple[DialRelay, Refusals]:
            refusals = Refusals()
            relay = dial(address, tls, refusals, os.environ, within)
            undo.callback(relay.close, 0)
            return relay, refusals

        yield make


def path_of(relay: DialRelay) -> str:
    return relay.target.removeprefix("unix:")


# What is carried


@pytest.mark.parametrize("tcp", [False, True])
@pytest.mark.parametrize("size", [1, 16_385, 262_145, 20_000_000])
def test_what_one_side_sends_the_other_receives_both_ways_at_once(served: Serving, size: int, tcp: bool) -> None:
    outer, inner = served(tcp=tcp).pair()
    there, back = random.Random(1).randbytes(size), random.Random(2).randbytes(size)
    with outer, inner, ThreadPoolExecutor(2) as pool:
        inner.settimeout(2 * PATIENCE)  # for all that it sends, and it waits until the other way is done
        sent = [pool.submit(outer.sendall, there), pool.submit(inner.sendall, back)]
        got = receive(inner, size)
        assert hashlib.sha256(got).digest() == hashlib.sha256(there).digest()
        assert hashlib.sha256(receive(outer, size)).digest() == hashlib.sha256(back).digest()
        for done in sent:
            done.result(2 * PATIENCE)


def test_bytes_that_come_with_the_end_of_the_handshake_are_not_lost(served: Serving) -> None:
    """A Go client sends the first frames of HTTP/2 together with its last handshake message."""
    relay = served()
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    session = context(CLIENT, GO).wrap_bio(incoming, outgoing)
    with connect(relay.address) as outer:
        while True:
            try:
                session.do_handshake()
                break
            except ssl.SSLWantReadError:
                outer.sendall(outgoing.read())
                incoming.write(outer.recv(65536))
        session.write(b"together")
        outer.sendall(outgoing.read())
        with relay.inner.accept() as inner:
            assert receive(inner, 8) == b"together"


def limited(version: ssl.TLSVersion) -> ssl.SSLContext:
    made = context(CLIENT, GO)
    made.maximum_version = version
    return made


def test_bytes_that_come_with_the_end_of_a_servers_handshake_are_not_lost(
    dialled: Callable[..., tuple[DialRelay, Refusals]], nothing_left: str
) -> None:
    """In TLS 1.2 the server has the last word of the handshake."""
    made = context(SERVER, GO)
    made.maximum_version = TLS_1_2
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    session = made.wrap_bio(incoming, outgoing, server_side=True)
    path = os.path.join(nothing_left, "peer")
    with listening(Unix(path)) as listener:
        relay, _ = dialled(Unix(path))
        with connect(path_of(relay)) as inner, listener.accept()[0] as outer:
            while True:
                incoming.write(outer.recv(65536))
                try:
                    session.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    outer.sendall(outgoing.read())
            session.write(b"together")
            outer.sendall(outgoing.read())
            assert receive(inner, 8) == b"together"
    os.unlink(path)


@pytest.mark.parametrize("version", [TLS_1_2, TLS_1_3])
def test_when_the_peer_has_ended_it_still_hears_us(served: Serving, version: ssl.TLSVersion) -> None:
    outer, inner = served().pair(limited(version))
    with outer, inner:
        outer.sendall(b"last")
        outer.setblocking(False)
        with pytest.raises(ssl.SSLWantReadError):  # it waits for our end, having sent its own
            outer.unwrap()
        outer.settimeout(PATIENCE)
        assert receive(inner, 100) == b"last"
        inner.sendall(b"still here")
        assert receive(outer, 10) == b"still here"
        inner.close()
        assert ends_properly(outer)


@pytest.mark.parametrize("version", [TLS_1_2, TLS_1_3])
def test_when_we_have_ended_we_still_hear_the_peer(served: Serving, version: ssl.TLSVersion) -> None:
    outer, inner = served().pair(limited(version))
    with outer, inner:
        inner.sendall(b"last")
        inner.shutdown(socket.SHUT_WR)
        assert receive(outer, 4) == b"last"
        assert ends_properly(outer)
        outer.sendall(b"still here")
        assert receive(inner, 10) == b"still here"
        outer.unwrap()
        assert inner.recv(1) == b""


def test_the_end_comes_after_all_that_was_sent_before_it(served: Serving) -> None:
    """However slowly it is taken: the relay holds it back, not its thread."""
    outer, inner = served().pair()
    with outer, inner, ThreadPoolExecutor(1) as pool:
        data = random.Random(3).randbytes(5_000_000)

        def say_all() -> None:
            inner.sendall(data)
            inner.close()

        sending = pool.submit(say_all)
        assert receive(outer, len(data)) == data
        assert ends_properly(outer)
        sending.result(PATIENCE)


def test_last_words_reach_a_peer_that_goes_on_speaking(served: Serving) -> None:
    """As HTTP/2 peers do while they read: grpcio, which has closed, hears nothing of it."""
    outer, inner = served().pair()
    with outer:
        data = random.Random(6).randbytes(350_000)
        inner.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2 * len(data))
        inner.sendall(data)
        inner.close()
        outer.sendall(b"more of it, please")
        assert receive(outer, len(data)) == data
        outer.sendall(b"and more")
        assert ends_properly(outer)


def no_delay(peer: tuple[str, int]) -> bool:
    """Whether the socket of this process that is connected to ``peer`` sends small packets at once."""
    for name in os.listdir("/proc/self/fd"):
        with suppress(OSError):
            if not os.readlink(f"/proc/self/fd/{name}").startswith("socket:"):
                continue
            with socket.socket(fileno=os.dup(int(name))) as sock:
                if sock.getpeername() == peer:
                    return bool(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
    pytest.fail("there is no such connection")


def test_small_packets_go_at_once_over_tcp(served: Serving, dialled: Callable[..., tuple[DialRelay, Refusals]]) -> None:
    outer, inner = served(tcp=True).pair()
    with outer, inner:
        assert no_delay(outer.getsockname())
    with socket.create_server(("127.0.0.1", 0)) as listener:
        relay, _ = dialled(Tcp(*listener.getsockname()))
        with connect(path_of(relay)), listener.accept()[0]:
            assert no_delay(listener.getsockname())


def mistaken(*_: object) -> int:
    return 1 // 0


def test_a_mistake_in_one_connection_is_logged_and_leaves_the_others_alone(
    served: Serving, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    relay = served()
    with monkeypatch.context() as patched:
        patched.setattr(Tls, "judge", mistaken)
        with connect_tls(relay.address, GO) as outer:
            assert ends(outer)
    until(lambda: "ZeroDivisionError" in caplog.text)
    outer, inner = relay.pair()
    close(outer, inner)


# Bounds


with socket.socket(socket.AF_UNIX) as _any:
    BUFFER = _any.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
AT_MOST = 2_000_000 + 8 * BUFFER  # what the relay holds, and the kernel's buffers of three sockets
FAR_TOO_MUCH = 10 * AT_MOST


def flood(sock: socket.socket) -> int:
    """Send until nothing is taken for a while, and return how much was."""
    sock.settimeout(0.5)
    sent, block = 0, b"x" * 65536
    try:
        while sent < FAR_TOO_MUCH:
            sent += sock.send(block)
    except (TimeoutError, ssl.SSLWantWriteError):
        pass
    finally:
        sock.settimeout(PATIENCE)
    return sent


def held_back(relay: Relay) -> bool:
    """Whether something waits in a relay for somebody who does not take it."""
    ways: list[Any] = [vars(joint)[way] for joint in list(vars(relay)["_joints"]) for way in ("_there", "_back")]
    return any(way.stuck for way in ways)


def test_a_peer_that_floods_is_held_back_and_holds_up_nobody(served: Serving) -> None:
    relay = served()
    outer, inner = relay.pair()
    with outer, inner:
        assert 0 < (sent := flood(outer)) < AT_MOST
        other, its_inner = relay.pair()
        with other, its_inner:
            other.sendall(b"hello")
            assert receive(its_inner, 5) == b"hello"
        assert len(receive(inner, sent)) == sent


def test_a_peer_that_does_not_read_is_sent_no_more_than_the_bounds(served: Serving) -> None:
    relay = served()
    outer, inner = relay.pair()
    with outer, inner:
        assert 0 < (sent := flood(inner)) < AT_MOST
        outer.sendall(b"the other way is free")
        assert receive(inner, 21) == b"the other way is free"
        assert len(receive(outer, sent)) == sent


def test_a_peer_that_takes_nothing_more_is_dropped_some_time_after_we_ended(
    served: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("goplugin.transport._joint.LINGER", 0.1)
    relay = served()
    outer, inner = relay.pair()
    with outer:
        while not held_back(relay.relay):  # a thread that was late is no reason to stop
            flood(inner)
        inner.close()
        until(lambda: connections(relay.relay) == 0)


def until(true: Callable[[], bool]) -> None:
    """Wait for what is about to happen on another thread."""
    done = threading.Event()
    for _ in range(int(PATIENCE / 0.005)):
        if true():
            return
        done.wait(0.005)
    pytest.fail("it did not happen")


# Who is refused, and what becomes of them


def refused_tls(served: Served, made: ssl.SSLContext) -> None:
    """Connect as an attacker, who sees the connection end; and see that grpcio heard nothing of it."""
    with suppress(OSError), connect_tls(served.address, GO, made) as attacker:
        attacker.sendall(b"PRI * HTTP/2.0")
        assert ends(attacker)
    assert served.inner.was_left_alone()


@pytest.mark.parametrize(
    ("presents", "alpn", "refusal"),
    [
        (None, ("h2",), Refusal.NO_CERTIFICATE),
        (STRANGER, ("h2",), Refusal.OTHER_CERTIFICATE),
        (Foreign.make(issuer=GO), ("h2",), Refusal.OTHER_CERTIFICATE),
        (GO, ("http/1.1",), Refusal.NO_HTTP2),
    ],
)
def test_a_client_who_is_not_the_host_gets_nowhere(
    served: Serving, presents: Foreign | None, alpn: tuple[str, ...], refusal: Refusal
) -> None:
    relay = served()
    refused_tls(relay, context(CLIENT, presents, alpn=alpn))
    assert relay.refusals.next().refusal is refusal
    assert relay.refusals.none
    outer, inner = relay.pair()
    close(outer, inner)


def test_a_client_that_is_refused_is_told_so_by_an_alert(served: Serving) -> None:
    relay = served()
    attacker = connect_tls(relay.address, GO, context(CLIENT, STRANGER))
    with attacker, pytest.raises(ssl.SSLError, match="ALERT_UNKNOWN_CA"):
        attacker.recv(1)


def test_a_client_without_tls_gets_nowhere(served: Serving) -> None:
    relay = served()
    with connect(relay.address) as attacker:
        attacker.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        assert relay.refusals.next().refusal is Refusal.NO_TLS
        assert ends(attacker)
    assert relay.inner.was_left_alone()


def hello() -> bytes:
    """Return the first message of a TLS client."""
    outgoing = ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        context(CLIENT, GO).wrap_bio(ssl.MemoryBIO(), outgoing).do_handshake()
    return outgoing.read()


@pytest.mark.parametrize("sent", [b"", hello()[:1], hello()[:100], hello()], ids=["nothing", "1", "100", "all"])
def test_a_peer_that_stalls_in_the_handshake_is_dropped_and_holds_up_nobody(
    served: Serving, sent: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When it is over, the test says, for the good one has no more time than the other."""
    within, later, limits = 1234.5, REACTOR.later, list[Timer]()

    def kept(seconds: float, job: Callable[[], object]) -> Timer:
        if seconds != within:
            return later(seconds, job)
        limits.append(Timer(job))
        return limits[-1]

    monkeypatch.setattr(REACTOR, "later", kept)
    relay = served(within=within)
    with connect(relay.address) as stalling:
        stalling.sendall(sent)
        outer, inner = relay.pair()
        close(outer, inner)
        assert relay.refusals.none
        until(lambda: [limit.job is None for limit in limits] == [False, True])
        REACTOR.call(limits[0].job or pytest.fail)
        assert relay.refusals.next().refusal is Refusal.SILENT
        while stalling.recv(65536):
            pass  # our answer to the hello, and then the end


@pytest.mark.parametrize("leave", [socket.socket.close, vanish], ids=["ends", "resets"])
@pytest.mark.parametrize("sent", [hello()[:50], hello()], ids=["half a record", "a hello"])
def test_a_peer_that_vanishes_in_the_handshake_is_forgotten(
    served: Serving, sent: bytes, leave: Callable[[socket.socket], None]
) -> None:
    relay = served(tcp=True)
    leaving = connect(relay.address)
    leaving.sendall(sent)
    leave(leaving)
    assert relay.refusals.next().refusal is Refusal.VANISHED
    assert relay.inner.was_left_alone()


@pytest.mark.parametrize("leave", [socket.socket.close, vanish], ids=["ends", "resets"])
@pytest.mark.parametrize("sent", [b"", b"\x17\x03\x03\x01\x00half"], ids=["quietly", "in half a record"])
def test_a_peer_that_vanishes_later_is_a_lost_connection_for_grpcio(
    served: Serving, sent: bytes, leave: Callable[[socket.socket], None]
) -> None:
    relay = served(tcp=True)
    outer, inner = relay.pair()
    with inner:
        outer.sendall(b"whole")
        raw = socket.socket(fileno=outer.detach())
        raw.sendall(sent)
        leave(raw)
        if leave is vanish:  # what a reset overtakes is lost
            assert receive(inner, 6) in {b"whole", b""}
        else:
            assert receive(inner, 6) == b"whole"
        assert ends(inner)
    assert relay.refusals.none


def test_a_record_that_was_tampered_with_ends_the_connection(served: Serving) -> None:
    relay = served()
    outer, inner = relay.pair()
    with inner, socket.socket(fileno=outer.detach()) as raw:
        raw.sendall(b"\x17\x03\x03\x00\x20" + bytes(32))
        assert ends(inner)
        assert relay.refusals.next().refusal is Refusal.BROKE_TLS


def test_of_too_many_in_the_handshake_the_oldest_is_dropped(served: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("goplugin.transport._relay.OPENING_MAX", 5)
    relay = served()
    stalling = [connect(relay.address) for _ in range(5)]
    outer, inner = relay.pair()
    close(outer, inner)
    assert ends(stalling[0])
    refused = relay.refusals.next()
    assert (refused.refusal, refused.is_loss) == (Refusal.PUSHED_OUT, False)
    assert relay.refusals.none
    for one in stalling:
        one.close()


def test_nobody_is_let_in_where_the_hosts_certificate_was_garbage(served: Serving) -> None:
    relay = served(tls=MutualTls(OURS, None).server)
    refused_tls(relay, context(CLIENT, GO))
    assert relay.refusals.next().refusal is Refusal.OTHER_CERTIFICATE


# Descriptors, threads, the end


def thread_names() -> list[str]:
    return [thread.name for thread in threading.enumerate()]


def test_one_thread_serves_all_relays_and_goes_with_the_last(served: Serving, nothing_left: str) -> None:
    assert "goplugin-relay" not in thread_names()
    relay = served()
    with serving(nothing_left, echo, context(SERVER, GO)) as address:
        second = dial(address, MUTUAL.client, Refusals())
        outer, inner = relay.pair()
        assert thread_names().count("goplugin-relay") == 1
        close(outer, inner)
        relay.relay.close()
        assert thread_names().count("goplugin-relay") == 1
        second.close()
        until(lambda: "goplugin-relay" not in thread_names())


@pytest.mark.timeout(300)
def test_thousands_of_connections_leave_neither_descriptors_nor_threads(served: Serving) -> None:
    """Good ones, refused ones, and ones that break off, counted in /proc/self/fd."""
    quick = Foreign.make("P-256")  # for P-521 costs milliseconds a connection
    relay = served(tls=MutualTls(OURS, quick.parsed).server)
    outer, inner = relay.pair(context(CLIENT, quick))
    before = len(os.listdir("/proc/self/fd")), len(threading.enumerate())
    made, strange = context(CLIENT, quick), context(CLIENT, Foreign.make("P-256"))
    for number in range(3000):
        match number % 4:
            case 0 | 1:
                one, other = relay.pair(made)
                one.sendall(b"x")
                assert other.recv(1) == b"x"
                first, second = (one, other) if number % 8 else (other, one)
                close(first, second)
            case 2:
                with connect(relay.address) as broken:
                    broken.sendall(hello()[: number % 200])
            case _:
                with suppress(OSError), connect_tls(relay.address, GO, strange) as attacker:
                    assert ends(attacker)
    until(lambda: connections(relay.relay) == 1)
    until(lambda: (len(os.listdir("/proc/self/fd")), len(threading.enumerate())) == before)
    close(outer, inner)


def test_idle_connections_cost_no_time(served: Serving) -> None:
    relay = served()
    idle = [relay.pair() for _ in range(20)]
    (thread,) = (thread for thread in threading.enumerate() if thread.name == "goplugin-relay")

    def wakeups() -> int:
        with open(f"/proc/self/task/{thread.native_id}/status") as status:
            return sum(int(line.split()[1]) for line in status if "ctxt_switches" in line)

    def slept() -> bool:
        before = wakeups()
        threading.Event().wait(0.5)
        return wakeups() == before

    until(lambda: connections(relay.relay) == 20)
    assert any(slept() for _ in range(20))  # at first it may not have come to rest
    for outer, inner in idle:
        close(outer, inner)


def test_closing_carries_the_last_words_first(served: Serving) -> None:
    relay = served()
    outer, inner = relay.pair()
    with outer, ThreadPoolExecutor(1) as pool:
        data = random.Random(4).randbytes(1_000_000)
        reading = pool.submit(lambda: (receive(outer, len(data)), ends_properly(outer), outer.unwrap()))
        inner.sendall(data)
        inner.close()
        relay.relay.close(PATIENCE)
        assert reading.result(PATIENCE)[:2] == (data, True)
    with pytest.raises(ConnectionRefusedError):
        connect(relay.address)


def test_closing_drops_what_does_not_end_by_itself(served: Serving) -> None:
    relay = served()
    stalling = connect(relay.address)  # accepted first
    outer, inner = relay.pair()
    relay.relay.close(within=0.05)
    for sock in (outer, inner, stalling):
        assert ends(sock)
        sock.close()
    assert relay.refusals.none


def test_a_relay_can_be_closed_by_its_own_callback(served: Serving, nothing_left: str) -> None:
    closed = threading.Event()
    with serving(nothing_left, echo, context(SERVER, STRANGER)) as address:

        def refused(_: PeerRefused) -> None:
            relay.close(within=1000)
            closed.set()

        relay = dial(address, MUTUAL.client, refused)
        with connect(path_of(relay)) as inner:
            assert closed.wait(PATIENCE)
            assert ends(inner)


def test_a_thread_that_does_not_answer_is_no_reason_to_wait_for_ever_or_to_fail(
    served: Serving, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("goplugin.transport._relay._DROPPING", 0.1)
    relay, held, go_on = served(), threading.Event(), threading.Event()

    def blocking(self: Relay) -> None:
        held.set()
        go_on.wait(PATIENCE)

    with monkeypatch.context() as patched:
        patched.setattr(Relay, "_stop", blocking)
        relay.relay.close(within=0.01)
    assert "did not answer for 0.1 seconds" in caplog.text
    go_on.set()
    relay.relay.close()


class Hectic(socket.socket):
    """A listener whose first clients have gone before they are accepted."""

    aborted = 3

    def accept(self) -> tuple[socket.socket, Any]:
        if self.aborted:
            self.aborted -= 1
            raise ConnectionAbortedError
        return super().accept()


def test_a_client_that_is_gone_before_it_is_accepted_holds_up_nobody(nothing_left: str) -> None:
    path, inner = os.path.join(nothing_left, "outer"), Inner()
    listener = Hectic(fileno=listening(Unix(path)).detach())
    relay = serve(listener, InnerServer(inner, os.environ), MUTUAL.server, Refusals())
    close(connect_tls(path, GO), inner.accept(), relay, inner)
    os.unlink(path)


@pytest.mark.parametrize(
    "error", [OSError(errno.EPROTO, "Protocol error"), OSError(errno.EMFILE, "Too many open files")]
)
def test_whatever_keeps_a_connection_from_being_accepted_the_next_is(
    error: OSError, served: Serving, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    failures = [error, error]

    def failing(self: socket.socket) -> tuple[socket.socket, Any]:
        if failures:
            raise failures.pop()
        return accept(self)

    relay, accept = served(), socket.socket.accept
    with monkeypatch.context() as patched:
        patched.setattr(socket.socket, "accept", failing)
        outer = connect_tls(relay.address, GO)
    close(outer, relay.inner.accept())
    assert SCRIBE.finish(PATIENCE)
    assert caplog.text.count(f"cannot accept a connection now: {error.strerror}") == 2


@pytest.mark.parametrize("error", [OSError(errno.EINVAL, "Invalid argument"), ZeroDivisionError()])
def test_a_connection_that_cannot_be_set_up_is_dropped_and_the_next_is_accepted(
    error: Exception, served: Serving, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    failures = [error]

    def failing(sock: socket.socket) -> socket.socket:
        if failures:
            raise failures.pop()
        return sock

    monkeypatch.setattr("goplugin.transport._relay.prompt", failing)
    relay = served()
    with connect(relay.address) as dropped:
        assert ends(dropped)
    close(connect_tls(relay.address, GO), relay.inner.accept())
    assert SCRIBE.finish(PATIENCE)
    assert ("an accepted connection failed" in caplog.text) is isinstance(error, ZeroDivisionError)


def test_where_grpcio_is_gone_a_verified_peer_is_dropped(served: Serving, caplog: pytest.LogCaptureFixture) -> None:
    relay = served()
    relay.inner.close()
    with connect_tls(relay.address, GO) as outer:
        assert ends(outer)
    until(lambda: "within this process" in caplog.text)
    assert relay.refusals.none


def test_a_full_backlog_of_grpcio_is_waited_for_at_leisure(served: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[None] = []
    connect_inside = InnerServer.connect

    def counted(self: InnerServer, ours: socket.socket) -> int:
        tried.append(None)
        return connect_inside(self, ours)

    monkeypatch.setattr(InnerServer, "connect", counted)
    relay = served()
    relay.inner.shorten()
    pairs = [connect_tls(relay.address, GO) for _ in range(6)]
    for number, outer in enumerate(pairs):
        outer.sendall(bytes([number]))
    until(lambda: len(tried) > 20)
    begun, before = monotonic(), len(tried)
    threading.Event().wait(0.2)  # the data that waits outside is no reason to try again and again
    more = len(tried) - before
    assert more <= len(pairs) * (1 + (monotonic() - begun) / vars(_opening)["_RETRY"])
    inners = [relay.inner.accept() for _ in pairs]
    assert sorted(receive(inner, 1) for inner in inners) == [bytes([number]) for number in range(6)]
    for sock in (*pairs, *inners):
        sock.close()


# The other direction: grpcio's channel to a peer


def test_a_channel_reaches_a_verified_peer_and_the_end_is_carried_too(
    dialled: Callable[..., tuple[DialRelay, Refusals]], nothing_left: str
) -> None:
    with serving(nothing_left, echo, context(SERVER, GO)) as address:
        relay, refusals = dialled(address)
        with connect(path_of(relay)) as inner:
            inner.sendall(b"there and back")
            assert receive(inner, 14) == b"there and back"
            inner.shutdown(socket.SHUT_WR)
            assert inner.recv(1) == b""
    assert refusals.none


def test_a_peer_on_tcp_is_reached_by_its_name(dialled: Callable[..., tuple[DialRelay, Refusals]]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        relay, _ = dialled(Tcp("localhost", listener.getsockname()[1]))
        with connect(path_of(relay)) as inner, ThreadPoolExecutor(1) as pool:
            made = context(SERVER, GO)
            accepting = pool.submit(lambda: made.wrap_socket(listener.accept()[0], server_side=True))
            inner.sendall(b"hello")
            with accepting.result(PATIENCE) as outer:
                assert receive(outer, 5) == b"hello"


def names(monkeypatch: pytest.MonkeyPatch, *addresses: tuple[str, int]) -> Tcp:
    """Have a host name lead to these addresses."""
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address) for address in addresses]

    def look_up(*_: object, **__: object) -> list[object]:
        return [*found]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return Tcp("several.example", 1)


@contextmanager
def deaf() -> Generator[int]:
    """Give a port of 127.0.0.1 at which nobody listens, nor can: a free one may soon be somebody's."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


def test_of_a_name_with_several_addresses_each_is_tried(
    dialled: Callable[..., tuple[DialRelay, Refusals]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As localhost is ::1 and 127.0.0.1, and nobody listens at the first."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE)
        port = listener.getsockname()[1]
        relay, refusals = dialled(names(monkeypatch, ("127.0.0.2", port), ("127.0.0.1", port)))
        with connect(path_of(relay)), listener.accept()[0]:
            assert refusals.none
    with deaf() as port:
        nowhere, refusals = dialled(names(monkeypatch, ("127.0.0.2", port), ("127.0.0.1", port)))
        with connect(path_of(nowhere)) as inner:
            assert ends(inner)
    assert os.strerror(errno.ECONNREFUSED) in refusals.next().detail
    assert refusals.none


def test_where_the_time_is_over_no_further_address_is_tried(
    dialled: Callable[..., tuple[DialRelay, Refusals]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing would end the wait for it."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, socket.create_server(("127.0.0.1", 0)) as free:
        with connect(full.getsockname()):  # the next one waits for room
            relay, refusals = dialled(names(monkeypatch, full.getsockname(), free.getsockname()), within=0.3)
            with connect(path_of(relay)) as inner:
                assert ends(inner)
        assert refusals.next().refusal is Refusal.UNREACHABLE
        free.setblocking(False)
        with pytest.raises(BlockingIOError):
            free.accept()


def test_each_new_connection_of_the_channel_is_a_new_verified_one_to_the_peer(
    dialled: Callable[..., tuple[DialRelay, Refusals]], nothing_left: str
) -> None:
    """grpcio connects again after a loss; in between another may have taken the peer's place."""
    with serving(nothing_left, echo, context(SERVER, GO)) as address:
        relay, refusals = dialled(address)
        for _ in range(3):
            with connect(path_of(relay)) as inner:
                inner.sendall(b"x")
                assert inner.recv(1) == b"x"
        assert refusals.none
    with serving(nothing_left, echo, context(SERVER, STRANGER)), connect(path_of(relay)) as inner:
        assert ends(inner)
        assert refusals.next().refusal is Refusal.OTHER_CERTIFICATE


def demanding(ours: Foreign, wanted: Foreign) -> ssl.SSLContext:
    """Return the context of a server that lets one client in only."""
    made = context(SERVER, ours)
    made.load_verify_locations(cadata=wanted.pem)
    made.verify_mode = ssl.CERT_REQUIRED
    return made


@pytest.mark.parametrize(
    ("peer", "refusal"),
    [
        (context(SERVER, STRANGER), Refusal.OTHER_CERTIFICATE),
        (context(SERVER, Foreign.make(issuer=GO)), Refusal.OTHER_CERTIFICATE),
        (context(SERVER, GO, alpn=()), Refusal.NO_HTTP2),
        (demanding(GO, STRANGER), Refusal.REFUSED_US),
    ],
)
def test_a_peer_who_is_not_the_plugin_gets_nothing_from_the_channel(
    dialled: Callable[..., tuple[DialRelay, Refusals]], nothing_left: str, peer: ssl.SSLContext, refusal: Refusal
) -> None:
    heard: list[bytes] = []
    with serving(nothing_left, lambda sock: heard.append(sock.recv(100)), peer) as address:
        relay, refusals = dialled(address)
        with connect(path_of(relay)) as inner:
            with suppress(BrokenPipeError):
                inner.sendall(b"secret")
            assert ends(inner)
        assert refusals.next().refusal is refusal
    assert b"secret" not in heard


def test_a_peer_without_tls_gets_nothing_from_the_channel(
    dialled: Callable[..., tuple[DialRelay, Refusals]], nothing_left: str
) -> None:
    path = os.path.join(nothing_left, "plain")
    with listening(Unix(path)) as listener:
        relay, refusals = dialled(Unix(path))
        with connect(path_of(relay)) as inner, listener.accept()[0] as outer:
            inner.sendall(b"secret")
            outer.sendall(b"\0\0\0\4\0\0\0\0\0")  # the first frame of an HTTP/2 server
            assert refusals.next().refusal is Refusal.NO_TLS
            assert ends(inner)
            outer.settimeout(PATIENCE)
            assert b"secret" not in receive(outer, 100_000)
    os.unlink(path)


def test_a_peer_that_cannot_be_reached_is_named_with_the_reason(
    dialled: Callable[..., tuple[DialRelay, Refusals]], nothing_left: str
) -> None:
    with deaf() as port:
        for address, reason in (
            (Unix(f"{nothing_left}/absent"), errno.ENOENT),
            (Tcp("127.0.0.1", port), errno.ECONNREFUSED),
        ):
            relay, refusals = dialled(address)
            with connect(path_of(relay)) as inner:
                assert ends(inner)
            refused = refusals.next()
            assert refused.refusal is Refusal.UNREACHABLE
            assert os.strerror(reason) in refused.detail


def test_a_peer_whose_host_has_no_address_is_refused_at_once() -> None:
    with pytest.raises(PeerRefused) as caught:
        dial(Tcp("x" * 64, 1), MUTUAL.client, Refusals())
    assert caught.value.refusal is Refusal.UNREACHABLE


def test_without_a_thread_there_is_no_relay(nothing_left: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        with pytest.raises(MachineFault, match="can't start"):
            dial(Unix("/absent"), MUTUAL.client, Refusals())


def test_a_peer_that_never_accepts_or_never_answers_is_given_up(
    dialled: Callable[..., tuple[DialRelay, Refusals]], nothing_left: str
) -> None:
    path = os.path.join(nothing_left, "mute")
    with socket.socket(socket.AF_UNIX) as listener, ExitStack() as undo:
        listener.bind(path)
        undo.callback(os.unlink, path)
        listener.listen(0)
        relay, refusals = dialled(Unix(path), within=0.3)
        # The first waits for an answer, the second for room in the backlog.
        for inner in [undo.enter_context(connect(path_of(relay))) for _ in range(2)]:
            assert ends(inner)
        assert {refusals.next().refusal, refusals.next().refusal} == {Refusal.SILENT, Refusal.UNREACHABLE}


# With grpcio, and with other processes


class Echo(grpc.GenericRpcHandler):
    def service(self, handler_call_details: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[Any, Any]":
        def echo(request: bytes, _: grpc.ServicerContext) -> bytes:
            return request

        return grpc.unary_unary_rpc_method_handler(echo)


def test_grpcio_talks_to_grpcio_through_two_relays(nothing_left: str) -> None:
    address, refusals = Unix(os.path.join(nothing_left, "outer")), Refusals()
    theirs = MutualTls(GO.identity, OURS.certificate)
    with ThreadPoolExecutor(4) as workers, ExitStack() as undo:
        server = grpc.server(workers, [Echo()])
        inner = InnerServer(server, os.environ)
        server.start()
        accepting = serve(listening(address), inner, MUTUAL.server, refusals)
        undo.callback(os.unlink, address.path)
        undo.callback(accepting.close)
        undo.callback(lambda: server.stop(None).wait(PATIENCE))
        dialling = undo.enter_context(closing(dial(address, theirs.client, refusals)))
        assert dialling.target.startswith("unix:/proc/self/fd/")
        assert os.listdir(nothing_left) == ["outer"]
        with grpc.insecure_channel(dialling.target, CHANNEL_OPTIONS) as channel:
            caller: Any = channel
            call = caller.unary_unary("/any/Echo")
            data = random.Random(5).randbytes(3_000_000)
            assert call(data, timeout=PATIENCE) == data
            for done in [call.future(bytes([n]) * n, timeout=PATIENCE) for n in range(100)]:
                assert done.result() is not None
            assert connections(accepting) == 1
    assert refusals.none


def run(program: str, nothing_left: str) -> str:
    """Run a program in a process of its own, with this folder's support modules, and return what it printed."""
    paths = [os.path.join(os.path.dirname(__file__), os.pardir, "support"), os.environ.get("PYTHONPATH", "")]
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PREAMBLE + program],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths)), "TMPDIR": nothing_left},
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


PREAMBLE = """
import ctypes, os, resource, socket, ssl, sys, time
from foreign_certificates import NOW, Foreign, context
from tls_peers import Inner, Refusals, connect, connect_tls, connections, ends, receive
from goplugin.handshake import Unix
from goplugin.transport.tls import Identity, InnerServer, MutualTls, listening, serve

GO = Foreign.make("P-256")
where = os.environ["TMPDIR"] + "/outer"
inner, refusals = Inner(), Refusals()
tls = MutualTls(Identity.generate(NOW.timestamp()), GO.parsed).server
relay = serve(listening(Unix(where)), InnerServer(inner, os.environ), tls, refusals)
first, behind = connect_tls(where, GO), inner.accept()
"""

FORKED = """
libc = ctypes.CDLL(None)
child = os.fork()
if child == 0:
    # The child's own relay works, and closing the parent's disturbs nobody.
    assert connections(relay) == 0
    relay.close()
    # It has the private key in its memory, as the parent has.
    assert libc.prctl(3, 0, 0, 0, 0) == 0
    own = Inner()
    other = serve(listening(Unix(where + "2")), InnerServer(own, os.environ), tls, refusals)
    outer, its_inner = connect_tls(where + "2", GO), own.accept()
    outer.sendall(b"child")
    assert receive(its_inner, 5) == b"child"
    for closing in (outer, its_inner, own, other):
        closing.close()
    assert libc.prctl(3, 0, 0, 0, 0) == 0
    os.unlink(where + "2")
    os.kill(os.getpid(), 19)  # stays, and must not keep the parent's connections open
    os._exit(0)
assert os.WIFSTOPPED(os.waitpid(child, os.WUNTRACED)[1])
first.sendall(b"parent")
assert receive(behind, 6) == b"parent"
relay.close(0)
print(ends(first), ends(behind))
os.kill(child, 9)
os.waitpid(child, 0)
for closing in (first, behind, inner):
    closing.close()
os.unlink(where)
"""


def test_a_forked_child_neither_uses_nor_holds_the_parents_connections(nothing_left: str) -> None:
    assert run(FORKED, nothing_left) == "True True\n"


FORKED_AMID = """
import threading
def connect_on():
    while not over.is_set():
        connect_tls(where, GO).close()
        inner.accept().close()
over, failed = threading.Event(), 0
busy = threading.Thread(target=connect_on)
busy.start()
for _ in range(30):
    child = os.fork()
    if child == 0:
        relay.close()
        os._exit(0)
    failed += os.waitpid(child, 0)[1]
over.set()
busy.join()
print(failed)
relay.close(0)
for closing in (first, behind, inner):
    closing.close()
os.unlink(where)
"""


def test_a_child_forked_in_the_midst_of_a_handshake_can_close_the_relay(nothing_left: str) -> None:
    assert run(FORKED_AMID, nothing_left) == "0\n"


STARVED = """
held = [open(os.devnull) for _ in range(200)]
used = len(os.listdir("/proc/self/fd")) - 1
resource.setrlimit(resource.RLIMIT_NOFILE, (used, used))
held.pop().close()
waiting = connect(where)  # and the last descriptor is gone
first.sendall(b"meanwhile")
assert receive(behind, 9) == b"meanwhile"
while len(warned) < 2:
    time.sleep(0.01)
for file in held:
    file.close()
made = context(ssl.PROTOCOL_TLS_CLIENT, GO).wrap_socket(waiting)
its_inner = inner.accept()
made.sendall(b"now")
print(receive(its_inner, 3), warned[1] - warned[0] > 0.2)
relay.close(0)
for closing in (first, behind, made, its_inner, inner):
    closing.close()
os.unlink(where)
"""

WATCHING = """
import logging
class Watching(logging.Handler):
    def emit(self, record):
        warned.append(record.created)
warned = []
logging.getLogger("goplugin.transport").addHandler(Watching())
"""


def test_out_of_descriptors_the_relay_waits_and_goes_on(nothing_left: str) -> None:
    assert run(WATCHING + STARVED, nothing_left) == "b'now' True\n"
