"""The channel that stubs get under asyncio, on a server in this process: deadlines, errors, generated stubs."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from grpc import aio
from probe_pb2 import AddRequest
from probe_pb2_grpc import ProbeStub

from goplugin.handshake import Misuse, PluginLost
from goplugin.hostlib._aio_channel import LostInCall, PluginChannel


async def verdict(error: aio.AioRpcError) -> Exception | None:
    """Judge as a client does whose plugin has ended."""
    if error.code() is grpc.StatusCode.UNAVAILABLE:
        return LostInCall(PluginLost("ended during a call", pid=7, status=3), error)
    return None


@asynccontextmanager
async def opened(target: str, call_timeout: float | None = 6000.0) -> AsyncGenerator[Any]:
    async with PluginChannel(aio.insecure_channel(target), call_timeout, verdict, lambda: None) as channel:
        yield channel


def test_a_stub_that_grpcio_tools_generate_works_unchanged(target: str) -> None:
    async def run() -> None:
        async with opened(target) as channel:
            stub: Any = ProbeStub(channel)
            assert (await stub.Add(AddRequest(a=40, b=2))).sum == 42
            call = stub.Add(AddRequest(a=40, b=2), timeout=10)
            assert await call.code() is grpc.StatusCode.OK
            several = await asyncio.gather(*(stub.Add(AddRequest(a=n, b=1)) for n in range(3)))
            assert [answer.sum for answer in several] == [1, 2, 3]

    asyncio.run(run())


def test_a_unary_call_gets_the_default_deadline_unless_it_has_its_own(target: str) -> None:
    async def run() -> None:
        async with opened(target) as channel:
            left = channel.unary_unary("/test/Left")
            assert await left(b"") == b"6000"
            assert await left(b"", timeout=2000) == b"2000"
        async with opened(target, None) as channel:
            assert await channel.unary_unary("/test/Left")(b"") == b"none"

    asyncio.run(run())


def test_a_stream_has_no_deadline_but_its_callers(target: str) -> None:
    async def run() -> None:
        async with opened(target) as channel:
            stream = channel.unary_stream("/test/Stream")
            assert [item async for item in stream(b"")] == [b"none"]
            assert [item async for item in stream(b"", timeout=2000)] == [b"2000"]
            each: Any = channel.stream_stream("/test/Each")()
            await each.write(b"a")
            assert await each.read() == b"none"
            await each.done_writing()
            assert await each.read() is aio.EOF

    asyncio.run(run())


async def _read(call: Any) -> None:
    while await call.read() is not aio.EOF:
        pass


async def _listed(call: Any) -> None:
    async for _ in call:
        pass


CALLS: dict[str, Callable[[Any], Awaitable[Any]]] = {
    "call": lambda channel: channel.unary_unary("/test/Fail")(b""),
    "stream": lambda channel: _listed(channel.unary_stream("/test/Stream")(b"fail")),
    "read": lambda channel: _read(channel.unary_stream("/test/Stream")(b"fail")),
    "join": lambda channel: channel.stream_unary("/test/Join")(iter([b"a"])),
    "each": lambda channel: _listed(channel.stream_stream("/test/Each")(iter([b"fail"]))),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_call_that_ends_with_the_plugin_is_lost_and_still_an_rpc_error(
    target: str, call: Callable[[Any], Awaitable[Any]]
) -> None:
    async def run() -> None:
        async with opened(target) as channel:
            with pytest.raises(PluginLost) as caught:
                await call(channel)
            error: Any = caught.value
            assert (error.pid, error.exit_code, error.reason) == (7, 3, "ended during a call")
            assert str(error) == "the plugin ended during a call; exit code 3; pid 7"
            assert isinstance(error, aio.AioRpcError)
            assert (error.code(), error.details()) == (grpc.StatusCode.UNAVAILABLE, "gone")
            assert error.trailing_metadata() is not None
            assert isinstance(error.__cause__, aio.AioRpcError)

    asyncio.run(run())


def test_an_error_that_is_no_loss_is_left_as_it_is(target: str) -> None:
    async def run() -> None:
        async with opened(target) as channel:
            with pytest.raises(aio.AioRpcError) as caught:
                await channel.unary_unary("/test/Nowhere")(b"")
            assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
            assert caught.value.__cause__ is None

    asyncio.run(run())


def test_a_call_on_the_channel_of_a_stopped_plugin_is_a_misuse(target: str) -> None:
    async def run() -> None:
        stopped = Misuse("the plugin was stopped")
        channel: Any = PluginChannel(aio.insecure_channel(target), 6000.0, verdict, lambda: stopped)
        async with channel:
            with pytest.raises(Misuse, match="was stopped"):
                channel.unary_unary("/test/Left")(b"")

    asyncio.run(run())


def test_its_state_can_be_watched(target: str) -> None:
    async def run() -> None:
        async with opened(target) as channel:
            state = channel.get_state(try_to_connect=True)
            await asyncio.wait_for(channel.wait_for_state_change(state), 10)
            await asyncio.wait_for(channel.channel_ready(), 10)
            assert channel.get_state() is grpc.ChannelConnectivity.READY

    asyncio.run(run())
