"""A multiplexing host of either shell and plugins that multiplex badly, or not at all."""

import asyncio
import inspect
import time
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest
from brokering import Answers
from shells import HANDSHAKE, SUPPORT, program
from waiting import until

from goplugin import hostlib
from goplugin.handshake import (
    HandshakeRefused,
    Misuse,
    MultiplexingNotSupported,
    PluginDialTimeout,
    PluginFault,
    PluginLost,
    StartTimeout,
)
from goplugin.hostlib import aio

PATIENCE = 60.0  # seconds for what takes milliseconds


class Host:
    """A client of either shell."""

    def __init__(self, kind: str, how: str, **options: Any) -> None:
        self._runner = asyncio.Runner() if kind == "aio" else None
        make: Any = aio.Client if kind == "aio" else hostlib.Client
        plugins: dict[str, Callable[[Any], Any]] = {"bad": lambda channel: channel}
        command = program("multiplexes_badly.py")
        options = {"stop_budget": hostlib.StopBudget(shutdown=PATIENCE / 2, kill=PATIENCE / 4)} | options
        self.client: Any = make([*command, how], HANDSHAKE, plugins, multiplex=True, env=SUPPORT, **options)

    def run(self, step: Callable[[], Any]) -> Any:
        async def stepped() -> Any:
            result = step()
            return await asyncio.wait_for(result, PATIENCE) if inspect.isawaitable(result) else result

        return step() if self._runner is None else self._runner.run(stepped())

    def start(self) -> "Host":
        self.run(lambda: self.client.start())
        return self

    def call(self, method: str, request: bytes) -> bytes:
        call = self.client.channel.unary_unary(f"/test.Bad/{method}")
        answer: bytes = self.run(lambda: call(request, timeout=PATIENCE))
        return answer

    def stop(self) -> Any:
        return self.run(lambda: self.client.stop())

    def close(self) -> None:
        self.stop()
        if self._runner is not None:
            self._runner.close()


Hosting = Callable[..., Host]


@pytest.fixture(params=["sync", "aio"])
def host(request: pytest.FixtureRequest) -> Iterator[Hosting]:
    made: list[Host] = []

    def make(how: str, **options: Any) -> Host:
        made.append(Host(request.param, how, **options))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.mark.parametrize("how", ["says-nothing", "says-false"])
def test_a_plugin_that_cannot_multiplex_is_refused_as_such(host: Hosting, how: str) -> None:
    with pytest.raises(MultiplexingNotSupported) as refused:
        host(how).start()
    assert (refused.value.field, refused.value.got) == ("multiplexing", "" if how == "says-nothing" else "false")


def test_a_plugin_that_talks_nonsense_of_multiplexing_is_refused_for_that(host: Hosting) -> None:
    with pytest.raises(HandshakeRefused, match="perhaps") as refused:
        host("says-nonsense").start()
    assert not isinstance(refused.value, MultiplexingNotSupported)


def test_a_plugin_that_only_claims_to_multiplex_is_lost_at_once(host: Hosting) -> None:
    began = time.monotonic()
    with pytest.raises(PluginLost, match="broke off the connection that everything was multiplexed on") as lost:
        host("speaks-no-yamux", start_timeout=PATIENCE).start()
    assert not isinstance(lost.value, StartTimeout)
    assert time.monotonic() - began < PATIENCE / 2


def test_a_plugin_that_says_nothing_has_the_start_timeout(host: Hosting, late: float) -> None:
    with pytest.raises(StartTimeout, match="gave no answer"):
        host("is-silent", start_timeout=late + 1).start()


def test_a_plugin_that_runs_on_without_its_connection_is_lost(host: Hosting) -> None:
    running = host("cuts").start()
    assert running.call("Echo", b"x") == b"x"
    with pytest.raises(PluginLost, match="everything was multiplexed on") as lost:
        running.call("Do", b"0")
    assert lost.value.exit_code is None
    with pytest.raises(PluginLost, match="everything was multiplexed on"):
        running.run(lambda: running.client.broker.dial(1000))
    running.stop()
    assert running.client.exited


def test_a_knock_that_is_never_answered_is_a_timeout(host: Hosting) -> None:
    running = host("ignores").start()
    with pytest.raises(PluginDialTimeout, match="connection 1000 within 0"):
        running.run(lambda: running.client.broker.dial(1000, 0.3))
    assert running.call("Echo", b"x") == b"x"


def test_a_knock_that_is_refused_says_so_in_harmless_text(host: Hosting) -> None:
    running = host("refuses").start()
    with pytest.raises(PluginFault, match=r"refuses the brokered connection 1000: .nobody\\x1b\[0m is at home"):
        running.run(lambda: running.client.broker.dial(1000))
    assert running.call("Echo", b"x") == b"x"


def test_a_stream_that_nobody_knocked_for_is_refused(host: Hosting, caplog: pytest.LogCaptureFixture) -> None:
    running = host("intrudes").start()
    with pytest.raises(grpc.RpcError) as failed:
        running.call("Do", b"5")
    assert failed.value.code() is grpc.StatusCode.UNKNOWN, "the plugin's own call of us has failed"
    until(lambda: "opened without a knock" in caplog.text, PATIENCE)  # it is told by another thread
    assert running.call("Echo", b"x") == b"x"


def test_a_flood_of_knocks_leaves_the_host_able_to_work(host: Hosting) -> None:
    running = host("floods").start()
    broker = running.client.broker
    running.run(lambda: broker.accept_and_serve(3, Answers(b"host").register))
    assert running.call("Do", b"3") == b"done"
    assert running.call("Echo", b"x") == b"x"
    assert running.stop().how == "shutdown"


def test_multiplexing_needs_a_plugin_that_is_started_and_prints_a_line() -> None:
    plugins: dict[str, Callable[[Any], Any]] = {"bad": lambda channel: channel}
    with pytest.raises(Misuse, match="multiplex needs a handshake line"):
        hostlib.Client(["x"], HANDSHAKE, plugins, multiplex=True, address_variable="HERE")
