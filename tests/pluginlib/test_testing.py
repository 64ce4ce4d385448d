"""Plugins inside a test: served over a real socket, and gone without a trace."""

import asyncio
import gc
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, cast

import grpc
import kv_pb2
import kv_pb2_grpc
import pytest
from plugin_process import PATIENCE, call, open_broker
from waiting import until

from goplugin import pluginlib
from goplugin.handshake import Handshake, HostFault, Misuse, Reattach, Tcp, Unix
from goplugin.pluginlib import TestMode, testing
from goplugin.proto.health import CHECK, HealthCheckRequest, HealthCheckResponse
from goplugin.proto.plugin import SHUTDOWN, Empty
from goplugin.transport import CHANNEL_OPTIONS, target

HANDSHAKE = Handshake(protocol_version=3, cookie_key="K", cookie_value="v")


class KV(kv_pb2_grpc.KVServicer):
    def Get(self, request: Any, context: Any) -> kv_pb2.GetResponse:
        return kv_pb2.GetResponse(value=request.key.encode())


class AioKV(kv_pb2_grpc.KVServicer):
    async def Get(self, request: Any, context: Any) -> kv_pb2.GetResponse:
        return kv_pb2.GetResponse(value=request.key.encode())


def register(server: Any, broker: pluginlib.Broker) -> None:
    kv_pb2_grpc.add_KVServicer_to_server(KV(), server)


async def register_aio(server: Any, broker: pluginlib.aio.Broker) -> None:
    await asyncio.sleep(0)
    kv_pb2_grpc.add_KVServicer_to_server(AioKV(), server)


Serve = Callable[..., AbstractContextManager[Reattach]]


def in_threads(**options: Any) -> AbstractContextManager[Reattach]:
    chosen: dict[str, Any] = {"plugins": {"kv": register}} | options
    return testing.serve_in_background(HANDSHAKE, **chosen)


def in_asyncio(**options: Any) -> AbstractContextManager[Reattach]:
    chosen: dict[str, Any] = {"plugins": {"kv": register_aio}} | options
    return testing.serve_aio_in_background(HANDSHAKE, **chosen)


@pytest.fixture(params=[in_threads, in_asyncio], ids=["sync", "aio"])
def serve(request: pytest.FixtureRequest) -> Serve:
    found: Serve = request.param
    return found


def channel_to(reattach: Reattach) -> grpc.Channel:
    return grpc.insecure_channel(target(reattach.address), options=CHANNEL_OPTIONS)


def get(channel: grpc.Channel, key: str, timeout: float = PATIENCE) -> bytes:
    stub: Any = kv_pb2_grpc.KVStub(channel)
    value: bytes = stub.Get(kv_pb2.GetRequest(key=key), timeout=timeout).value
    return value


def until_refused(channel: grpc.Channel, timeout: float = PATIENCE) -> None:
    try:
        while True:
            get(channel, "key", timeout)
    except grpc.RpcError:
        pass  # as was to be seen


def test_a_test_gets_a_record_and_a_plugin(serve: Serve) -> None:
    with serve() as reattach, channel_to(reattach) as channel:
        assert reattach == Reattach(address=reattach.address, pid=os.getpid(), version=3, test=True)
        assert isinstance(reattach.address, Unix)
        assert get(channel, "key") == b"key"
        answer = call(channel, CHECK)(HealthCheckRequest(service="plugin"), timeout=PATIENCE)
        assert answer.status == HealthCheckResponse.SERVING
    assert not os.path.exists(os.path.dirname(reattach.address.path))


def test_neither_cookie_nor_line_nor_signals_nor_streams_are_touched(
    serve: Serve, capfd: pytest.CaptureFixture[str]
) -> None:
    before = sys.stdout, sys.stderr, signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM), sys.excepthook
    with serve():
        print("to the test's own stdout")
        during = sys.stdout, sys.stderr, signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    assert during == before[:4]
    assert sys.excepthook is before[4]
    assert capfd.readouterr() == ("to the test's own stdout\n", "")


def test_tcp_works_too(serve: Serve) -> None:
    with serve(network="tcp") as reattach, channel_to(reattach) as channel:
        assert isinstance(reattach.address, Tcp)
        assert get(channel, "key") == b"key"


@pytest.mark.fault(24)
def test_messages_of_100_mib_pass(serve: Serve) -> None:
    size = 100 * 2**20
    with serve() as reattach, channel_to(reattach) as channel:
        assert len(get(channel, "x" * size)) == size


def descriptors() -> int:
    gc.collect()
    return len(os.listdir("/proc/self/fd"))


def no_thread_left() -> bool:
    return not [thread.name for thread in threading.enumerate() if thread.name.startswith("goplugin")]


@pytest.mark.skipif(sys.platform != "linux", reason="counts in /proc")
def test_nothing_is_left_behind(serve: Serve) -> None:
    def use() -> None:
        with serve() as reattach, channel_to(reattach) as channel:
            stream = open_broker(channel)
            assert get(channel, "key") == b"key"
            del stream

    use()  # grpcio keeps some descriptors for good
    until(no_thread_left, PATIENCE)
    before = descriptors()
    for _ in range(20):
        time.sleep(0.01)
        before = min(before, descriptors())
    for _ in range(5):
        use()
    until(no_thread_left, PATIENCE)
    until(lambda: descriptors() <= before + 1, PATIENCE)  # of grpcio's own pollers, now and then one more is alive


def test_shutdown_ends_it_but_not_the_process(serve: Serve) -> None:
    with serve(drain=0.1) as reattach, channel_to(reattach) as channel:
        assert call(channel, SHUTDOWN)(Empty(), timeout=PATIENCE) == Empty()
        until_refused(channel)


def test_many_serve_at_once(serve: Serve) -> None:
    with serve() as one, serve() as two, channel_to(one) as to_one, channel_to(two) as to_two:
        assert one.address != two.address
        assert (get(to_one, "1"), get(to_two, "2")) == (b"1", b"2")


def test_a_plugin_that_cannot_start_says_why(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLUGIN_UNIX_SOCKET_DIR", "/nowhere/at/all")
    with pytest.raises(HostFault, match="PLUGIN_UNIX_SOCKET_DIR"), serve():
        pass


def test_what_registering_raises_is_raised_in_the_test(serve: Serve) -> None:
    def fail(server: Any, broker: Any) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), serve(plugins={"kv": fail}):
        pass


@pytest.mark.parametrize("twice", [True, False])
def test_a_service_that_is_there_already_is_refused(serve: Serve, twice: bool) -> None:
    def also_health(server: Any, broker: Any) -> None:
        from grpc_health.v1 import health, health_pb2_grpc

        health_pb2_grpc.add_HealthServicer_to_server(health.HealthServicer(), server)

    def again(server: Any, broker: Any) -> None:
        kv_pb2_grpc.add_KVServicer_to_server(KV(), server)

    plugins = {"one": again, "two": again} if twice else {"kv": also_health}
    with pytest.raises(Misuse, match="registered"), serve(plugins=plugins):
        pass


def test_a_start_that_hangs_has_a_deadline() -> None:
    release = threading.Event()

    def hang(server: Any, broker: Any) -> None:
        release.wait(PATIENCE)

    with pytest.raises(TimeoutError, match="did not start"), in_threads(plugins={"kv": hang}, timeout=0.2):
        pass
    release.set()


def test_an_end_that_hangs_has_a_deadline() -> None:
    entered, release = threading.Event(), threading.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    def hang() -> None:
        entered.set()
        release.wait(PATIENCE)

    async def show_the_loop(server: Any, broker: Any) -> None:
        loops.append(asyncio.get_running_loop())

    def hang_the_loop() -> None:
        with in_asyncio(plugins={"kv": show_the_loop}, timeout=5.0):  # for the start, too, which must not be late
            loops[0].call_soon_threadsafe(hang)
            assert entered.wait(PATIENCE)

    with pytest.raises(TimeoutError, match="did not end"):
        hang_the_loop()
    release.set()


def test_serving_by_hand_hands_over_the_record_and_obeys_stop() -> None:
    mode = TestMode(lambda _: mode.stop())
    pluginlib.serve(HANDSHAKE, plugins={"kv": register}, test=mode)
    asyncio.run(pluginlib.aio.serve(HANDSHAKE, plugins={"kv": register_aio}, test=mode))


def deny(_: Any, context: Any) -> Any:
    return context.abort(grpc.StatusCode.PERMISSION_DENIED, "")


async def deny_in_asyncio(_: Any, context: Any) -> Any:
    return await context.abort(grpc.StatusCode.PERMISSION_DENIED, "")


class Demanding(grpc.ServerInterceptor):
    """Lets nobody in, as far as it is asked."""

    def intercept_service(self, continuation: Any, handler_call_details: Any) -> Any:
        make: Any = grpc.unary_unary_rpc_method_handler
        return make(deny)


class AioDemanding(grpc.aio.ServerInterceptor):
    async def intercept_service(self, continuation: Any, handler_call_details: Any) -> Any:
        make: Any = grpc.unary_unary_rpc_method_handler
        return make(deny_in_asyncio)


@pytest.mark.parametrize("shell", ["sync", "aio"])
def test_interceptors_see_the_plugins_services_and_leave_the_hosts_alone(shell: str) -> None:
    serving = in_threads(interceptors=[Demanding()]) if shell == "sync" else in_asyncio(interceptors=[AioDemanding()])
    with serving as reattach, channel_to(reattach) as channel:
        with pytest.raises(grpc.RpcError) as refused:
            get(channel, "key")
        assert cast("grpc.Call", refused.value).code() is grpc.StatusCode.PERMISSION_DENIED
        answer = call(channel, CHECK)(HealthCheckRequest(service="plugin"), timeout=PATIENCE)
        assert answer.status == HealthCheckResponse.SERVING


def test_options_of_grpcio_come_over_ours(serve: Serve) -> None:
    options = [("grpc.max_receive_message_length", 100)]
    with serve(server_options=options) as reattach, channel_to(reattach) as channel:
        assert get(channel, "x" * 10) == b"x" * 10
        with pytest.raises(grpc.RpcError) as refused:
            get(channel, "x" * 1000)
        assert cast("grpc.Call", refused.value).code() is grpc.StatusCode.RESOURCE_EXHAUSTED
