"""Both shells of the broker, without a host or a plugin: two brokers whose streams are joined in memory."""

import asyncio
import gc
import inspect
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from brokering import METHOD, Answers

from goplugin.handshake import Address, GoPluginError, HostDialTimeout, Misuse, PluginEnvironment, PluginLost
from goplugin.transport import Broker, PlainCarrier, Route, Side, Stream, aio


class CountedCarrier(PlainCarrier):
    """Plain, and counts the routes that were closed."""

    def __init__(self, directory: Path) -> None:
        super().__init__(PluginEnvironment(socket_dir=str(directory)))
        self.closed = 0

    def route(self, address: Address) -> Route:
        def close() -> None:
            self.closed += 1

        return Route(target=super().route(address).target, close=close)


class Pair:
    """A broker on each side of one connection."""

    def __init__(self, kind: str, directory: Path, **options: Any) -> None:
        self._runner = asyncio.Runner() if kind == "aio" else None
        self.carrier = CountedCarrier(directory)
        make: Any = aio.Broker if kind == "aio" else Broker
        self.host: Any = make(Side.PLUGIN, self.carrier, **options)
        self.plugin: Any = make(Side.HOST, self.carrier)
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
            theirs.announced(ours.outgoing(stream))

        stream = Stream(send)
        ours.opened(stream)


@pytest.fixture(params=["sync", "aio"])
def kind(request: pytest.FixtureRequest) -> str:
    shell: str = request.param
    return shell


@pytest.fixture
def pair(kind: str, tmp_path: Path) -> Any:
    pair = Pair(kind, tmp_path)
    yield pair
    pair.close()


def test_a_channel_that_is_dropped_takes_its_route_with_it(pair: Pair) -> None:
    for id in range(3):
        pair.serve(pair.plugin, id)
    kept, dropped = pair.dial(pair.host, 0), pair.dial(pair.host, 1)
    assert (pair.ask(kept), pair.ask(dropped)) == (b"yes ?", b"yes ?")
    del dropped
    gc.collect()
    assert pair.carrier.closed == 1
    pair.run(lambda: pair.host.close())
    assert pair.carrier.closed == 2


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
    pair = Pair("aio", tmp_path)
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

    pair = Pair(kind, tmp_path, dress=dress, explain=explain_later if kind == "aio" else explain)
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
    pair = Pair("aio", tmp_path)

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
