"""Multiplexed brokers of both shells, without a host or a plugin: real sockets and grpcio, streams joined in memory."""

import asyncio
import ctypes
import gc
import inspect
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from queue import SimpleQueue
from typing import Any

import grpc
import pytest
from attackers import Stranger
from brokering import METHOD, Answers, asked
from leftovers import nothing_left as nothing_left
from leftovers import warm_grpc as warm_grpc

from goplugin.handshake import HostDialTimeout, HostFault, Misuse, PluginDialTimeout, PluginEnvironment, PluginFault
from goplugin.transport import Broker, Knock, Side, Stream, _multiplexer, aio
from goplugin.transport._reactor import REACTOR, READ
from goplugin.transport._scribe import SCRIBE
from goplugin.transport._streams import MuxStream
from goplugin.transport.multiplex import Multiplexer
from goplugin.transport.tls import Identity, MutualTls, PeerRefused, Refusal
from goplugin.transport.yamux import Ended, StreamReset

Kind = tuple[str, bool]
KINDS: list[Kind] = [("sync", False), ("sync", True), ("aio", False), ("aio", True)]
ALONE = (("sync", False), False)
PATIENCE = 30.0  # seconds for what takes milliseconds
PR_GET_DUMPABLE = 3


def mutual() -> tuple[MutualTls, MutualTls]:
    ours, theirs = Identity.generate(time.time()), Identity.generate(time.time())
    return MutualTls(ours, theirs.certificate), MutualTls(theirs, ours.certificate)


class Pair:
    """Both sides of one multiplexed connection, the main server of the plugin, and a broker on each side."""

    def __init__(self, kind: Kind, directory: str) -> None:
        shell, secure = kind
        self._runner = asyncio.Runner() if shell == "aio" else None
        of_host, of_plugin = mutual() if secure else (None, None)
        asked = PluginEnvironment(socket_dir=directory)
        self.refused: SimpleQueue[PeerRefused] = SimpleQueue()
        self.answers: dict[Multiplexer, Knock] = {}
        self._told: list[Knock] = []
        self.host_side = Multiplexer(Side.PLUGIN, asked, tls=of_host)
        self.plugin_side = Multiplexer(Side.HOST, asked, tls=of_plugin, refused=self.refused.put)
        make: Any = aio.Broker if shell == "aio" else Broker
        self.host: Any = self.run(lambda: make(Side.PLUGIN, self.host_side))
        self.plugin: Any = self.run(lambda: make(Side.HOST, self.plugin_side))
        self.streams = [
            self._join(self.host, self.plugin, self.host_side),
            self._join(self.plugin, self.host, self.plugin_side),
        ]
        self._pool = ThreadPoolExecutor(4)
        self.server = grpc.server(self._pool)
        self.main = Answers(b"main")
        self.main.register(self.server)
        self.listener = self.plugin_side.listen(self.server)
        self.server.start()
        self.path = str(self.listener.address)
        self._undo = ExitStack()

    def connect(self) -> None:
        route = self.host_side.route(self.listener.address)
        self._undo.callback(route.close)
        self.channel = self._undo.enter_context(route.channel())
        assert self.ask_main() == b"main ?"

    def knocked(self, id: int) -> bool:
        """Whether anybody has."""
        return Knock(id) in self._told

    def run(self, step: Callable[[], Any]) -> Any:
        async def stepped() -> Any:
            result = step()
            return await result if inspect.isawaitable(result) else result

        return step() if self._runner is None else self._runner.run(stepped())

    def serve(self, broker: Any, id: int, word: bytes = b"yes") -> Any:
        return self.run(lambda: broker.accept_and_serve(id, Answers(word).register))

    def dial(self, broker: Any, id: int, timeout: float = PATIENCE) -> Any:
        return self.run(lambda: broker.dial(id, timeout))

    def ask(self, channel: Any, timeout: float = PATIENCE) -> bytes:
        answer: bytes = self.run(lambda: channel.unary_unary(METHOD)(b"?", timeout=timeout))
        return answer

    def ask_main(self) -> bytes:
        answer: bytes = asked(self.channel)(b"?", timeout=PATIENCE)
        return answer

    def close(self) -> None:
        self.run(lambda: self.host.close())
        self.run(lambda: self.plugin.close())
        self._undo.close()
        self.server.stop(None).wait(10)
        self.listener.close()
        self.host_side.close()
        self.plugin_side.close()
        self._pool.shutdown()
        if self._runner is not None:
            self._runner.close()
        vars(self).clear()  # grpcio frees some descriptors with its last object only

    def _join(self, ours: Any, theirs: Any, carrier: Multiplexer) -> Stream:
        def send() -> None:
            while (message := ours.outgoing(stream)) is not None:
                self._told.append(message)
                if carrier in self.answers and not message.ack:
                    carrier.told(self.answers[carrier])
                else:
                    theirs.told(message)

        stream = Stream(send)
        ours.opened(stream)
        return stream


@pytest.fixture(params=[(kind, True) for kind in KINDS], ids=[f"{kind}-{'tls' * tls}" for kind, tls in KINDS])
def pair(request: pytest.FixtureRequest, nothing_left: str) -> Iterator[Pair]:
    """Both sides, which are connected unless it is said otherwise."""
    kind, connected = request.param
    pair = Pair(kind, nothing_left)
    if connected:
        pair.connect()
    yield pair
    pair.close()


def test_both_sides_serve_and_dial(pair: Pair) -> None:
    for ours, theirs in ((pair.host, pair.plugin), (pair.plugin, pair.host)):
        pair.serve(ours, 1, b"one")
        pair.serve(ours, 2, b"two")
        two, one = pair.dial(theirs, 2), pair.dial(theirs, 1)
        assert (pair.ask(one), pair.ask(two), pair.ask_main()) == (b"one ?", b"two ?", b"main ?")


def test_an_id_may_be_dialled_as_often_as_one_likes(pair: Pair) -> None:
    pair.serve(pair.plugin, 1)
    for channel in [pair.dial(pair.host, 1) for _ in range(5)]:
        assert pair.ask(channel) == b"yes ?"


def test_a_stub_that_outlives_its_channel_is_answered_by_whom_it_dialled(pair: Pair) -> None:
    for id, word in ((1, b"one"), (2, b"two")):
        pair.serve(pair.plugin, id, word)
    methods = [asked(pair.dial(pair.host, id)) for id in (1, 2)]
    gc.collect()
    assert [pair.run(lambda: method(b"?", timeout=10)) for method in methods] == [b"one ?", b"two ?"]  # noqa: B023


def test_megabytes_go_both_ways(pair: Pair) -> None:
    pair.serve(pair.host, 1, b"")
    channel, data = pair.dial(pair.plugin, 1), os.urandom(9 * 2**20)
    answer = pair.run(lambda: channel.unary_unary(METHOD)(data, timeout=30))
    assert answer == b" " + data


def test_a_dial_waits_for_who_serves_it(pair: Pair) -> None:
    async def both() -> Any:
        dial = asyncio.create_task(pair.plugin.dial(1, PATIENCE))
        await asyncio.sleep(0.05)
        await pair.host.accept_and_serve(1, Answers(b"late").register)
        return await dial

    if isinstance(pair.host, Broker):
        with ThreadPoolExecutor(1) as pool:
            dial = pool.submit(pair.plugin.dial, 1, PATIENCE)
            pair.serve(pair.host, 1, b"late")
            assert pair.ask(dial.result(PATIENCE)) == b"late ?"
    else:
        assert pair.ask(pair.run(both)) == b"late ?"


@pytest.mark.parametrize(("dialler", "error"), [("host", PluginDialTimeout), ("plugin", HostDialTimeout)])
def test_a_dial_of_what_nobody_serves_times_out(pair: Pair, dialler: str, error: type[Exception]) -> None:
    ours, theirs = (pair.host, pair.plugin) if dialler == "host" else (pair.plugin, pair.host)
    with pytest.raises(error, match=r"connection 9 within 0\.05 s"):
        pair.dial(ours, 9, timeout=0.05)
    pair.serve(theirs, 9, b"too late")  # the knock was kept, so it is answered, and the stream for it wasted
    pair.serve(theirs, 8, b"next")
    assert (pair.ask(pair.dial(ours, 8)), pair.ask_main()) == (b"next ?", b"main ?")
    assert pair.ask(pair.dial(ours, 9)) == b"too late ?"


def test_many_are_served_and_dialled_at_once(pair: Pair) -> None:
    for id in range(40):
        pair.serve(pair.plugin, id, b"%d" % id)
    if isinstance(pair.host, Broker):
        with ThreadPoolExecutor(8) as pool:
            channels = list(pool.map(pair.host.dial, range(40), [PATIENCE] * 40))
    else:

        async def all_of_them() -> Any:
            return await asyncio.gather(*(pair.host.dial(id, PATIENCE) for id in range(40)))

        channels = pair.run(all_of_them)
    assert [pair.ask(channel) for channel in channels] == [b"%d ?" % id for id in range(40)]


def test_hundreds_of_brokered_connections_one_after_another_leave_nothing(pair: Pair) -> None:
    def once(id: int) -> None:
        ours, theirs = (pair.host, pair.plugin) if id % 2 else (pair.plugin, pair.host)
        served = pair.serve(theirs, id)
        channel = pair.dial(ours, id)
        assert pair.ask(channel) == b"yes ?"
        pair.run(lambda: channel.close())
        pair.run(lambda: served.close())

    def held() -> int:
        gc.collect()
        return len(os.listdir("/proc/self/fd"))

    for id in range(20):
        once(id)
    before = held()
    for id in range(20, 220):
        once(id)
    limit = time.monotonic() + PATIENCE
    while held() > before + 5 and time.monotonic() < limit:
        pass  # grpcio closes its sockets in the background
    assert held() <= before + 5


def test_what_is_registered_while_the_broker_closes_is_not_served(pair: Pair) -> None:
    def close(_: object) -> Any:
        return pair.plugin.close()

    with pytest.raises(Misuse, match="the broker is closed"):
        pair.run(lambda: pair.plugin.accept_and_serve(1, close))


def test_a_served_id_is_free_again_once_it_is_closed(pair: Pair) -> None:
    for word in (b"first", b"second"):
        served = pair.serve(pair.host, 1, word)
        assert served.address is None
        with pytest.raises(Misuse, match="served already"):
            pair.serve(pair.host, 1)
        channel = pair.dial(pair.plugin, 1)
        assert pair.ask(channel) == word + b" ?"
        pair.run(served.close)
        with pytest.raises(grpc.RpcError):
            pair.ask(channel, timeout=1)


# Peers that do not behave


@pytest.fixture
def stranger(pair: Pair) -> Iterator[Callable[[], Stranger]]:
    with ExitStack() as undo:

        def make() -> Stranger:
            made = Stranger(pair.listener.address)
            undo.callback(made.close)
            return made

        yield make


@pytest.mark.parametrize("pair", [ALONE], indirect=True)
def test_strangers_do_not_take_the_hosts_place(pair: Pair, stranger: Callable[[], Stranger]) -> None:
    silent, loud = stranger(), stranger()
    loud.sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
    assert Ended in map(type, loud.hear(lambda events: Ended in map(type, events)))
    pair.connect()
    assert silent.is_dropped()
    assert stranger().is_dropped()
    assert pair.ask_main() == b"main ?"


@pytest.mark.parametrize("pair", [ALONE], indirect=True)
def test_of_too_many_strangers_the_oldest_goes(
    pair: Pair, stranger: Callable[[], Stranger], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_multiplexer, "STRANGERS_MAX", 2)
    first, second, third = stranger(), stranger(), stranger()
    assert first.is_dropped()
    pair.connect()
    assert second.is_dropped()
    assert third.is_dropped()


@pytest.mark.parametrize("pair", [ALONE], indirect=True)
def test_a_stranger_that_never_says_anything_is_dropped(
    pair: Pair, stranger: Callable[[], Stranger], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_multiplexer, "WITHIN", 0.05)
    assert stranger().is_dropped()


@pytest.mark.parametrize("pair", [(("sync", True), False)], indirect=True)
def test_with_tls_only_the_host_gets_through_to_the_server(pair: Pair, stranger: Callable[[], Stranger]) -> None:
    liar = stranger()
    id = liar.open(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
    events = liar.hear(lambda events: StreamReset(id) in events or Ended in map(type, events))
    assert StreamReset(id) in events
    assert pair.refused.get(timeout=PATIENCE).refusal is Refusal.NO_TLS
    pair.connect()
    assert liar.is_dropped()


@pytest.mark.parametrize(
    ("pair", "dumpable"),
    [((("sync", False), True), 1), ((("sync", True), True), 0)],
    indirect=["pair"],
    ids=["plain", "tls"],
)
def test_debuggers_and_core_dumps_are_kept_off_where_there_is_tls_to_get_around(pair: Pair, dumpable: int) -> None:
    pair.serve(pair.host, 7)
    pair.serve(pair.plugin, 8)
    assert ctypes.CDLL(None).prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == dumpable


def test_the_hosts_second_main_stream_needs_no_knock(pair: Pair) -> None:
    """As when grpcio connects anew."""
    route = pair.host_side.route(pair.listener.address)
    with route.channel() as channel:
        assert asked(channel)(b"?", timeout=10) == b"main ?"
    route.close()
    assert pair.ask_main() == b"main ?"


def test_a_stream_without_a_knock_is_refused_by_the_host(pair: Pair, caplog: pytest.LogCaptureFixture) -> None:
    session = pair.plugin_side.session
    assert session is not None
    lost: SimpleQueue[bool] = SimpleQueue()
    for _ in range(3):
        REACTOR.call(lambda: watch_loss(session.open(lambda: None), lost))
        assert lost.get(timeout=PATIENCE)
    assert SCRIBE.finish(PATIENCE)
    assert [record.message for record in caplog.records] == [
        "refused a stream that the plugin opened without a knock; more of them go unmentioned"
    ]
    pair.serve(pair.host, 1)
    assert (pair.ask(pair.dial(pair.plugin, 1)), pair.ask_main()) == (b"yes ?", b"main ?")


def watch_loss(stream: MuxStream, lost: "SimpleQueue[bool]") -> None:
    def look(_: int) -> None:
        lost.put(stream.gone)
        stream.close()

    stream.watch(READ, look)


@pytest.mark.parametrize(("side", "fault"), [("host", PluginFault), ("plugin", HostFault)])
def test_a_knock_that_is_answered_with_an_error_is_a_fault_of_the_other_side(
    pair: Pair, side: str, fault: type[Exception]
) -> None:
    ours, carrier = (pair.host, pair.host_side) if side == "host" else (pair.plugin, pair.plugin_side)
    carrier.told(Knock(5, ack=True, error="before it was asked"))  # ignored
    pair.answers[carrier] = Knock(5, ack=True, error="no\x1b[31m entry")
    with pytest.raises(fault, match=r"refuses the brokered connection 5: \"no\\x1b\[31m entry\""):
        pair.dial(ours, 5)


def test_a_flood_of_knocks_changes_nothing_for_the_others(pair: Pair) -> None:
    pair.serve(pair.plugin, 1)
    for id in range(20_000):
        pair.plugin_side.told(Knock(id))
    pair.plugin_side.told(Knock(1))
    with pytest.raises(PluginDialTimeout):  # the flood's own knocks for 1 were answered, and no stream comes for them
        pair.dial(pair.host, 2, timeout=0.1)
    assert pair.ask_main() == b"main ?"


def test_a_connection_that_is_cut_is_the_end_of_every_dial(pair: Pair) -> None:
    pair.serve(pair.plugin, 1)
    channel = pair.dial(pair.host, 1)
    assert pair.ask(channel) == b"yes ?"
    session = pair.plugin_side.session
    assert session is not None
    REACTOR.call(session.close)
    with pytest.raises(grpc.RpcError):
        pair.ask(channel, timeout=2)
    with pytest.raises(grpc.RpcError) as cut:
        pair.ask_main()
    assert cut.value.code() is grpc.StatusCode.UNAVAILABLE
    for broker, fault in ((pair.host, PluginFault), (pair.plugin, HostFault)):
        with pytest.raises(fault, match="is lost"):
            pair.dial(broker, 1)
        with pytest.raises(fault, match="is lost"):
            pair.serve(broker, 2)


def test_where_the_broker_stream_ends_a_dial_fails_at_once(pair: Pair) -> None:
    async def both() -> None:
        dial = asyncio.create_task(pair.host.dial(9, PATIENCE))
        await asyncio.sleep(0.05)
        pair.host.ended(pair.streams[0])
        with pytest.raises(PluginFault, match="ended its broker stream"):
            await dial

    if isinstance(pair.host, Broker):
        with ThreadPoolExecutor(1) as pool:
            dial = pool.submit(pair.host.dial, 9, PATIENCE)
            while not pair.knocked(9):
                pass
            pair.host.ended(pair.streams[0])
            with pytest.raises(PluginFault, match="ended its broker stream"):
                dial.result(PATIENCE)
    else:
        pair.run(both)


def test_a_dial_that_is_cancelled_leaves_nothing(nothing_left: str) -> None:
    pair = Pair(("aio", False), nothing_left)
    pair.connect()

    async def cancelled() -> None:
        dial = asyncio.create_task(pair.host.dial(1))
        await asyncio.sleep(0.01)
        dial.cancel()
        with pytest.raises(asyncio.CancelledError):
            await dial

    pair.run(cancelled)
    pair.serve(pair.plugin, 1)
    assert pair.ask(pair.dial(pair.host, 1)) == b"yes ?"
    pair.close()


def test_a_channel_whose_connection_ended_knocks_anew(pair: Pair) -> None:
    first = pair.serve(pair.plugin, 1, b"first")
    channel = pair.dial(pair.host, 1)
    assert pair.ask(channel) == b"first ?"
    pair.run(first.close)
    pair.serve(pair.plugin, 1, b"second")
    limit = time.monotonic() + PATIENCE
    while True:  # a call that began while the first connection ended is lost with it
        try:
            answer = pair.ask(channel)
            break
        except grpc.RpcError as error:
            lost: Any = error
            assert lost.code() is grpc.StatusCode.UNAVAILABLE
            assert time.monotonic() < limit
    assert answer == b"second ?"
