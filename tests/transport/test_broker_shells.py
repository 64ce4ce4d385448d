"""Both shells of the broker, without a host or a plugin: two brokers whose streams are joined in memory."""

import asyncio
import gc
import inspect
import itertools
import os
import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import grpc
import pytest
from brokering import METHOD, Answers
from foreign_certificates import Foreign

from goplugin.handshake import (
    Address,
    GoPluginError,
    HostDialTimeout,
    HostFault,
    Misuse,
    PluginEnvironment,
    PluginFault,
    PluginLost,
    Tcp,
)
from goplugin.transport import Announcement, Broker, BrokeredServer, Carrier, PlainCarrier, Route, Side, Stream, aio
from goplugin.transport.tls import MutualTls, PeerRefused, Refusal, TlsCarrier

PATIENCE = 60.0  # seconds for what takes milliseconds


class CountedCarrier(PlainCarrier):
    """Plain, and counts the routes that were closed."""

    def __init__(self, directory: Path) -> None:
        super().__init__(PluginEnvironment(socket_dir=str(directory)))
        self._routes = itertools.count()
        self.closed: dict[int, None] = {}

    def route(self, address: Address) -> Route:
        number = next(self._routes)
        return Route(target=super().route(address).target, close=lambda: self.closed.setdefault(number))


class Pair:
    """A broker on each side of one connection."""

    def __init__(self, kind: str, carrier: Carrier, **options: Any) -> None:
        self._runner = asyncio.Runner() if kind == "aio" else None
        self.carrier: Any = carrier
        make: Any = aio.Broker if kind == "aio" else Broker
        # On a clock that stands still no announcement is forgotten, however slow the machine is.
        self.host: Any = make(Side.PLUGIN, self.carrier, clock=lambda: 0.0, **options)
        self.plugin: Any = make(Side.HOST, self.carrier, clock=lambda: 0.0)
        for ours, theirs in ((self.host, self.plugin), (self.plugin, self.host)):
            self._join(ours, theirs)

    def run(self, step: Callable[[], Any]) -> Any:
        async def stepped() -> Any:
            result = step()
            return await result if inspect.isawaitable(result) else result

        return step() if self._runner is None else self._runner.run(stepped())

    def serve(self, broker: Any, id: int, **options: Any) -> Any:
        return self.run(lambda: broker.accept_and_serve(id, Answers(b"yes").register, **options))

    def dial(self, broker: Any, id: int, timeout: float = 5) -> Any:
        return self.run(lambda: broker.dial(id, timeout))

    def ask(self, channel: Any) -> bytes:
        answer: bytes = self.run(lambda: channel.unary_unary(METHOD)(b"?", timeout=10))
        return answer

    def close(self) -> None:
        self.run(lambda: self.host.close())
        self.run(lambda: self.plugin.close())
        if self._runner is not None:
            self._runner.close()

    @staticmethod
    def _join(ours: Any, theirs: Any) -> None:
        def send() -> None:
            theirs.told(ours.outgoing(stream))

        stream = Stream(send)
        ours.opened(stream)


@pytest.fixture(params=["sync", "aio"])
def kind(request: pytest.FixtureRequest) -> str:
    shell: str = request.param
    return shell


@pytest.fixture
def pair(kind: str, tmp_path: Path) -> Any:
    pair = Pair(kind, CountedCarrier(tmp_path))
    yield pair
    pair.close()


def test_a_channel_that_is_closed_takes_its_route_with_it_and_one_left_open_goes_with_the_broker(pair: Pair) -> None:
    for id in range(2):
        pair.serve(pair.plugin, id)
    left, closed = pair.dial(pair.host, 0), pair.dial(pair.host, 1)
    assert (pair.ask(left), pair.ask(closed)) == (b"yes ?", b"yes ?")
    for _ in range(2):
        pair.run(lambda: closed.close())
    assert [*pair.carrier.closed] == [1]
    pair.run(lambda: pair.host.close())
    assert [*pair.carrier.closed] == [1, 0]


FORMS = ["unary_unary", "unary_stream", "stream_unary", "stream_stream"]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("typed", [False, True])
def test_a_route_lasts_as_long_as_a_stub_and_no_longer(pair: Pair, form: str, typed: bool) -> None:
    def serializer(request: bytes) -> bytes:
        return request

    pair.serve(pair.plugin, 0)
    methods = [getattr(pair.dial(pair.host, 0), form)(METHOD, *[serializer] * (2 * typed))]
    gc.collect()
    assert not pair.carrier.closed
    if form == "unary_unary":
        assert pair.run(lambda: methods[0](b"?", timeout=10)) == b"yes ?"
    methods.clear()
    gc.collect()
    assert [*pair.carrier.closed] == [0]


@pytest.mark.parametrize("form", FORMS)
def test_a_route_lasts_as_long_as_a_call_even_if_all_else_is_dropped(pair: Pair, form: str) -> None:
    pair.serve(pair.plugin, 0)
    methods, calls = [getattr(pair.dial(pair.host, 0), form)(METHOD)], list[Any]()

    def call() -> None:
        method: Any = methods.pop()
        begin = method.future if isinstance(pair.host, Broker) and form.endswith("unary") else method
        calls.append(begin(b"?" if form.startswith("unary") else iter([b"?"]), timeout=10))

    pair.run(call)
    gc.collect()
    assert not pair.carrier.closed
    pair.run(calls.pop().cancel)
    pair.run(lambda: pair.host.close())
    assert [*pair.carrier.closed] == [0]


def test_over_a_relay_a_stub_is_answered_by_whom_it_dialled_whatever_is_dialled_later(
    kind: str, tmp_path: Path
) -> None:
    """Its relay is known to grpcio by the number of a descriptor, which must not become another's meanwhile."""
    one = Foreign.make("P-521").identity
    asked = PluginEnvironment(socket_dir=str(tmp_path))
    carrier = TlsCarrier(MutualTls(one, one.certificate), lambda _: None, asked)
    pair = Pair(kind, carrier)
    for id, word in ((1, b"one"), (2, b"two")):
        pair.run(lambda: pair.plugin.accept_and_serve(id, Answers(word).register))  # noqa: B023 - called at once
    methods = [pair.dial(pair.host, id).unary_unary(METHOD) for id in (1, 2)]
    gc.collect()
    answers = [pair.run(lambda: method(b"?", timeout=10)) for method in methods]  # noqa: B023 - called at once
    assert answers == [b"one ?", b"two ?"]
    pair.close()
    carrier.close()


def test_the_close_closes_servers_and_channels_and_may_be_repeated(pair: Pair, tmp_path: Path) -> None:
    pair.serve(pair.host, 1)
    channel = pair.dial(pair.plugin, 1)
    assert len(list(tmp_path.iterdir())) == 1
    for _ in range(2):
        pair.run(lambda: pair.host.close())
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(grpc.RpcError):
        pair.ask(channel)
    with pytest.raises(Misuse, match="the broker is closed"):
        pair.serve(pair.host, 2)


def test_what_is_registered_while_the_broker_closes_is_not_served(pair: Pair, tmp_path: Path) -> None:
    def close(_: object) -> Any:
        return pair.host.close()

    with pytest.raises(Misuse, match="the broker is closed"):
        pair.run(lambda: pair.host.accept_and_serve(1, close))
    assert list(tmp_path.iterdir()) == []


def test_a_broker_that_refuses_leaves_what_is_there(pair: Pair) -> None:
    pair.serve(pair.host, 1)
    channel = pair.dial(pair.plugin, 1)
    pair.host.refuse()
    assert pair.ask(channel) == b"yes ?"
    with pytest.raises(Misuse, match="the broker is closed"):
        pair.dial(pair.host, 1)


def test_a_dial_of_no_seconds_only_looks(pair: Pair) -> None:
    with pytest.raises(HostDialTimeout, match="within 0 s"):
        pair.dial(pair.plugin, 1, timeout=0)
    pair.serve(pair.host, 1)
    assert pair.ask(pair.dial(pair.plugin, 1, timeout=0)) == b"yes ?"


def test_the_sockets_of_a_process_that_is_ended_by_force_are_removed(tmp_path: Path) -> None:
    pair = Pair("aio", CountedCarrier(tmp_path))
    served = pair.serve(pair.plugin, 1)
    pair.plugin.unlink()
    assert not os.path.exists(served.address.path)
    pair.close()


def test_server_options_and_workers_are_the_authors(pair: Pair) -> None:
    pair.serve(pair.host, 1, workers=1, server_options=[("grpc.max_receive_message_length", 10)])
    channel = pair.dial(pair.plugin, 1)
    with pytest.raises(grpc.RpcError) as refused:
        pair.run(lambda: channel.unary_unary(METHOD)(b"x" * 11, timeout=10))
    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_the_host_dresses_channels_and_explains_the_loss_of_its_plugin(kind: str, tmp_path: Path) -> None:
    def dress(channel: Any) -> Any:
        return [channel]

    def explain(error: GoPluginError) -> Exception:
        return error if isinstance(error, Misuse) else PluginLost("ended")

    async def explain_later(error: GoPluginError) -> Exception:
        return explain(error)

    pair = Pair(kind, CountedCarrier(tmp_path), dress=dress, explain=explain_later if kind == "aio" else explain)
    pair.serve(pair.plugin, 1)
    [channel] = pair.dial(pair.host, 1)
    assert pair.ask(channel) == b"yes ?"
    pair.serve(pair.host, 2)
    with pytest.raises(Misuse, match="served already"):
        pair.serve(pair.host, 2)
    pair.host.ended(pair.host._ledger._stream)
    with pytest.raises(PluginLost) as lost:
        pair.dial(pair.host, 9)
    assert "ended its broker stream" in str(lost.value.__cause__)
    pair.close()


def test_a_dial_that_is_cancelled_makes_room_for_the_next(tmp_path: Path) -> None:
    pair = Pair("aio", CountedCarrier(tmp_path))

    async def cancelled() -> None:
        dial = asyncio.create_task(pair.plugin.dial(1))
        await asyncio.sleep(0)
        dial.cancel()
        with pytest.raises(asyncio.CancelledError):
            await dial

    pair.run(cancelled)
    pair.serve(pair.host, 1)
    assert pair.ask(pair.dial(pair.plugin, 1)) == b"yes ?"
    pair.close()


class Unresolved(CountedCarrier):
    """Finds no address for the host of the other side, after some time."""

    def __init__(self, directory: Path, seconds: float = 0.0) -> None:
        super().__init__(directory)
        self.go_on, self._seconds, self.found = threading.Event(), seconds, False

    def route(self, address: Address) -> Route:
        self.go_on.wait(self._seconds)
        if self.found:
            return super().route(address)
        raise PeerRefused(Refusal.UNREACHABLE, "no such host")


def test_an_announced_host_without_an_address_is_the_fault_of_who_announced_it(kind: str, tmp_path: Path) -> None:
    pair = Pair(kind, Unresolved(tmp_path))
    for broker, fault in ((pair.plugin, HostFault), (pair.host, PluginFault)):
        broker.told(Announcement(1, Tcp("nowhere.example", 1)))
        with pytest.raises(
            fault, match=r"announced .* 1 at nowhere.example:1, but the peer cannot be reached: no such"
        ):
            pair.dial(broker, 1)
    pair.close()


@pytest.mark.parametrize("found", [False, True])
def test_looking_a_host_up_stops_no_loop_and_no_clock(found: bool, tmp_path: Path) -> None:
    carrier = Unresolved(tmp_path, PATIENCE)
    carrier.found = found
    pair = Pair("aio", carrier)

    async def dial() -> None:
        pair.plugin.told(Announcement(1, Tcp("slow.example", 1)))
        with pytest.raises(HostDialTimeout):
            await pair.plugin.dial(1, timeout=0.1)
        pair.plugin.told(Announcement(2, Tcp("slow.example", 1)))
        waiting = asyncio.create_task(pair.plugin.dial(2, PATIENCE))
        await asyncio.sleep(0)
        carrier.go_on.set()
        if found:
            await (await waiting).close()
        else:
            with pytest.raises(HostFault):
                await waiting

    pair.run(dial)
    pair.close()
    assert len(carrier.closed) == (2 if found else 0)  # nobody waits for the first any more


def test_an_address_that_is_none_of_a_name_is_not_looked_up_on_a_thread(tmp_path: Path) -> None:
    """A dial of no seconds would fail of that."""
    pair = Pair("aio", CountedCarrier(tmp_path))
    pair.plugin.told(Announcement(1, Tcp("127.0.0.1", 1)))
    pair.dial(pair.plugin, 1, 0)
    pair.close()


class Fragile:
    """A server of grpc.aio's, which is freed by the first ``stop`` that ends, whoever else is in the midst of one."""

    def __init__(self) -> None:
        self.graces: list[float | None] = []

    async def stop(self, grace: float | None) -> None:
        self.graces.append(grace)
        await asyncio.sleep(0)


def test_a_server_that_is_closed_by_two_at_once_is_stopped_once() -> None:
    """grpc.aio can crash the process where it is not."""
    server, closed = Fragile(), list[str]()

    async def close_twice() -> None:
        undo = ExitStack()
        undo.callback(closed.append, "released")
        made: Any = server
        served = aio.BrokeredServer(1, made, None, lambda: None, undo)
        await asyncio.gather(served.close(), served.close(0.1))
        await served.close()

    asyncio.run(close_twice())
    assert (server.graces, closed) == ([0.0], ["released"])


def test_a_signal_handler_may_release_a_server_while_its_thread_releases_it() -> None:
    """As when it stops the client."""
    released: list[str] = []

    class Interrupted(ExitStack):
        def pop_all(self) -> Self:
            if not released:
                released.append("once")
                served.release()
            return super().pop_all()

    undo = Interrupted()
    undo.callback(released.append, "what it held")
    server: Any = None  # a release has no need of it
    served = BrokeredServer(1, server, None, undo)
    thread = threading.Thread(target=served.release, daemon=True)
    thread.start()
    thread.join(10)
    assert not thread.is_alive()
    assert released == ["once", "what it held"]
