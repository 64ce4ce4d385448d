"""The endpoints by themselves: what they take and give piece by piece, and how they end."""

import _ssl
import ctypes
import random
import socket
import ssl
from typing import Any

import pytest
from foreign_certificates import NOW, Foreign
from hypothesis import given
from hypothesis import strategies as st
from tls_peers import Wire

from goplugin.transport._endpoints import ANSWERS_MAX, CHUNK, RECORD_MAX, SocketEndpoint, TlsFilter, Wait
from goplugin.transport._reactor import WRITE, Reactor
from goplugin.transport.tls import Identity, MutualTls

OURS, THEIRS = Identity.generate(NOW.timestamp()), Foreign.make("P-256")
SERVER, CLIENT = MutualTls(OURS, THEIRS.parsed).server, MutualTls(THEIRS.identity, OURS.certificate).client


def move(source: Wire, sink: Wire, at_most: int = 1 << 30) -> int:
    count = min(at_most, len(source.sent))
    sink.arrived += source.sent[:count]
    del source.sent[:count]
    return count


def met(pieces: int = 1 << 30) -> tuple[TlsFilter, Wire, TlsFilter, Wire]:
    """Return two filters that know each other, over two wires; the handshake went in pieces of that size."""
    one, other = Wire(), Wire()
    server, client = TlsFilter(one, SERVER), TlsFilter(other, CLIENT)
    open_steps = {client: client.handshake(), server: server.handshake()}
    while open_steps:
        for side in list(open_steps):
            try:
                assert isinstance(next(open_steps[side]), Wait)
            except StopIteration:
                del open_steps[side]
        move(one, other, pieces)
        move(other, one, pieces)
    while move(one, other) + move(other, one):
        pass
    return server, one, client, other


def drained(side: TlsFilter) -> bytes:
    into = memoryview(bytearray(CHUNK + RECORD_MAX))
    return bytes(into[: side.receive(into)])


@pytest.mark.parametrize("pieces", [1, 7, 1000])
def test_a_handshake_in_pieces_is_the_same_handshake(pieces: int) -> None:
    server, one, client, other = met(pieces)
    client.send(memoryview(b"hello"))
    move(other, one)
    assert drained(server) == b"hello"


@given(st.lists(st.integers(1, 70_000), min_size=1, max_size=10), st.integers(1, 70_000))
def test_in_whatever_pieces_the_bytes_come_they_come_out_whole(sizes: list[int], piece: int) -> None:
    server, one, client, other = met()
    sent = [random.Random(size).randbytes(size) for size in sizes]
    for data in sent:
        assert client.send(memoryview(data)) == len(data)
    got = bytearray()
    while move(other, one, max(piece, sum(sizes) // 200)):
        got += drained(server)
    assert got == b"".join(sent)


def test_one_read_opens_all_that_it_brought() -> None:
    """Nothing may wait inside the filter: no event would tell of it."""
    server, one, client, other = met()
    sent = 0
    while len(other.sent) < CHUNK:
        sent += client.send(memoryview(bytes(20_000)))
    move(other, one, CHUNK)
    first = drained(server)
    assert not one.arrived
    move(other, one)
    assert len(first) + len(drained(server)) == sent
    assert drained(server) == b""


def seen(side: TlsFilter, below: Wire) -> tuple[bool, int]:
    """Return whether something waits, and what the endpoint below is watched for if nobody above waits for it."""
    side.watch(0, lambda _: None)
    return side.unsent, below.events


def test_what_the_endpoint_below_does_not_take_waits_and_nothing_more_is_taken() -> None:
    server, one, client, other = met()
    other.room = 10
    assert client.send(memoryview(b"first")) == 5
    assert client.send(memoryview(b"second")) == 0
    assert seen(client, other) == (True, WRITE)
    other.room = 1 << 30
    assert client.send(memoryview(b"")) == 0
    assert seen(client, other) == (False, 0)
    move(other, one)
    assert drained(server) == b"first"


def ask_for_a_new_key(side: TlsFilter) -> None:
    """Send a KeyUpdate that wants another in return, which Python's ssl has no call for."""
    libssl = ctypes.CDLL(_ssl.__file__)
    libssl.SSL_key_update.argtypes = [ctypes.c_void_p, ctypes.c_int]
    session: Any = vars(side)["_session"]
    # CPython's PySSLSocket: the object's header, a weak reference to the socket, OpenSSL's own.
    place = id(session._sslobj) + object.__basicsize__ + ctypes.sizeof(ctypes.c_void_p)
    assert libssl.SSL_key_update(ctypes.c_void_p.from_address(place), 1) == 1
    session.do_handshake()
    side.send(memoryview(b""))


def test_a_peer_that_asks_for_new_keys_and_reads_no_answers_fills_no_memory() -> None:
    server, one, client, other = met()
    for _ in range(100):  # as long as the answers are read
        ask_for_a_new_key(client)
        move(other, one)
        assert drained(server) == b""
        move(one, other)
    assert drained(client) == b""
    one.room = 0
    server.send(memoryview(bytes(CHUNK)))

    def flood() -> None:
        for _ in range(ANSWERS_MAX // 20):
            ask_for_a_new_key(client)
            move(other, one)
            assert drained(server) == b""

    with pytest.raises(ConnectionAbortedError, match="reads no answers"):
        flood()


def test_the_end_waits_for_what_is_unsent() -> None:
    server, one, client, other = met()
    other.room = 0
    client.send(memoryview(b"last"))
    client.finish()
    finished = [other.finished]
    other.room = 1 << 30
    client.send(memoryview(b""))
    assert [*finished, other.finished] == [False, True]
    move(other, one)
    assert drained(server) == b"last"
    assert server.ended
    server.send(memoryview(b"still here"))
    move(one, other)
    assert drained(client) == b"still here"


def test_an_end_without_close_notify_is_a_lost_connection() -> None:
    server, one, client, other = met()
    client.send(memoryview(b"last"))
    move(other, one)
    one.ended = True
    assert drained(server) == b"last"
    assert not server.ended
    with pytest.raises(ConnectionResetError, match="close_notify"):
        drained(server)


def broken(_: memoryview) -> int:
    raise BrokenPipeError


def test_what_the_peer_said_before_it_hung_up_is_still_received(monkeypatch: pytest.MonkeyPatch) -> None:
    server, one, client, other = met()
    server.send(memoryview(b"last words"))
    move(one, other)
    other.room = 0
    client.send(memoryview(b"unsent"))
    monkeypatch.setattr(other, "send", broken)
    with pytest.raises(BrokenPipeError):
        client.send(memoryview(b""))
    assert seen(client, other) == (False, 0)
    assert drained(client) == b"last words"


def test_an_answer_that_nobody_takes_any_more_costs_nothing_that_was_received(monkeypatch: pytest.MonkeyPatch) -> None:
    server, one, client, other = met()
    monkeypatch.setattr(one, "send", broken)
    for _ in range(2):  # OpenSSL answers the first with the second
        ask_for_a_new_key(client)
        client.send(memoryview(b"last words"))
        move(other, one)
        assert drained(server) == b"last words"


def test_an_alert_that_came_before_the_loss_is_received_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    server, one, client, other = met()
    one.arrived += b"\x17\x03\x03\x00\x20" + bytes(32)
    with pytest.raises(ssl.SSLError, match=r"BAD_RECORD_MAC|DECRYPTION_FAILED"):
        drained(server)
    assert move(one, other)
    monkeypatch.setattr(other, "send", broken)
    with pytest.raises(BrokenPipeError):
        client.send(memoryview(b"into the void"))
    with pytest.raises(ssl.SSLError, match="ALERT_BAD_RECORD_MAC"):
        drained(client)


def test_closing_and_being_gone_are_those_of_the_endpoint_below() -> None:
    server, one, _, _ = met()
    one.gone = True
    assert server.gone
    server.close()
    assert one.closed


def test_a_forked_child_drops_every_socket_watched_or_not() -> None:
    """Here without the fork: what the hook calls that runs in the child."""
    reactor = Reactor()
    ours, theirs = socket.socketpair()
    endpoint = SocketEndpoint(reactor, ours)
    reactor.abandon()
    assert ours.fileno() == -1
    endpoint.close()
    theirs.close()


def test_a_socket_tells_that_it_was_hung_up_though_there_is_more_to_read() -> None:
    ours, theirs = socket.socketpair()
    endpoint = SocketEndpoint(Reactor(), ours)
    theirs.send(b"more")
    gone = [endpoint.gone]
    theirs.shutdown(socket.SHUT_WR)
    gone.append(endpoint.gone)
    theirs.close()
    assert [*gone, endpoint.gone] == [False, False, True]
    assert not endpoint.ended
    ours.close()
