"""The channel that stubs get, on a server in this process: deadlines, errors, generated stubs."""

from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest
from probe_pb2 import AddRequest
from probe_pb2_grpc import ProbeStub

from goplugin.handshake import Misuse, PluginLost
from goplugin.hostlib._channel import LostInCall, PluginChannel


def verdict(error: Exception) -> Exception | None:
    """Judge as a client does whose plugin has ended."""
    if isinstance(error, grpc.RpcError) and error.code() is grpc.StatusCode.UNAVAILABLE:
        return LostInCall(PluginLost("ended during a call", pid=7, status=3), error)
    return Misuse("the plugin was stopped") if isinstance(error, ValueError) else None


@pytest.fixture
def channel(target: str) -> Iterator[Any]:
    with PluginChannel(grpc.insecure_channel(target), 6000.0, verdict) as channel:
        yield channel


def test_a_stub_that_grpcio_tools_generate_works_unchanged(channel: Any) -> None:
    stub = ProbeStub(channel)
    request = AddRequest(a=40, b=2)
    assert stub.Add(request).sum == 42
    assert stub.Add.future(request, timeout=10).result().sum == 42
    response, call = stub.Add.with_call(request)
    assert (response.sum, call.code()) == (42, grpc.StatusCode.OK)


def test_a_unary_call_gets_the_default_deadline_unless_it_has_its_own(channel: Any) -> None:
    left = channel.unary_unary("/test/Left")
    for ask in (left, left.future, left.with_call):
        answers: Any = [ask(b""), ask(b"", timeout=2000), ask(b"", 3000)]
        if ask == left.future:
            answers = [future.result(10) for future in answers]
        elif ask == left.with_call:
            answers = [answer for answer, _ in answers]
        assert answers == [b"6000", b"2000", b"3000"]


def test_a_channel_without_a_default_has_calls_without_a_deadline(target: str) -> None:
    with PluginChannel(grpc.insecure_channel(target), None, verdict) as without:
        channel: Any = without
        assert channel.unary_unary("/test/Left")(b"") == b"none"


def test_a_stream_has_no_deadline_but_its_callers(channel: Any) -> None:
    stream = channel.unary_stream("/test/Stream")
    assert list(stream(b"")) == [b"none"]
    assert list(stream(b"", timeout=2000)) == [b"2000"]
    assert list(channel.stream_stream("/test/Each")(iter([b"a", b"b"]))) == [b"none", b"none"]


CALLS: dict[str, Callable[[Any], object]] = {
    "call": lambda channel: channel.unary_unary("/test/Fail")(b""),
    "with_call": lambda channel: channel.unary_unary("/test/Fail").with_call(b""),
    "future": lambda channel: channel.unary_unary("/test/Fail").future(b"").result(10),
    "stream": lambda channel: list(channel.unary_stream("/test/Stream")(b"fail")),
    "join": lambda channel: channel.stream_unary("/test/Join")(iter([b"a"])),
    "each": lambda channel: list(channel.stream_stream("/test/Each")(iter([b"fail"]))),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_call_that_ends_with_the_plugin_is_lost_and_still_an_rpc_error(
    channel: Any, call: Callable[[Any], object]
) -> None:
    with pytest.raises(PluginLost) as caught:
        call(channel)
    error: Any = caught.value
    assert (error.pid, error.exit_code, error.reason) == (7, 3, "ended during a call")
    assert str(error) == "the plugin ended during a call; exit code 3; pid 7"
    assert isinstance(error, grpc.RpcError)
    assert (error.code(), error.details()) == (grpc.StatusCode.UNAVAILABLE, "gone")
    assert isinstance(error.__cause__, grpc.RpcError)


def test_the_lost_call_knows_what_else_grpc_knew(channel: Any) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary("/test/Fail")(b"")
    error: Any = caught.value
    assert [tuple(pair) for pair in error.trailing_metadata()] == [("why", "because")]
    with pytest.raises(AttributeError):
        getattr(caught.value, "nonsense")  # noqa: B009


def test_the_exception_of_a_future_is_the_lost_call_too(channel: Any) -> None:
    future: Any = channel.unary_unary("/test/Fail").future(b"")
    assert isinstance(future.exception(10), PluginLost)
    seen: list[Any] = []
    future.add_done_callback(seen.append)
    assert seen == [future]
    fine = channel.unary_unary("/test/Left").future(b"")
    assert fine.exception(10) is None
    assert fine.done()


def test_an_error_that_is_no_loss_is_left_as_it_is(channel: Any) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary("/test/Nowhere")(b"")
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert caught.value.__cause__ is None
    with pytest.raises(grpc.RpcError):
        next(channel.unary_stream("/test/Nowhere")(b""))


def test_a_call_on_a_closed_channel_is_judged_too(channel: Any) -> None:
    left, stream = channel.unary_unary("/test/Left"), channel.unary_stream("/test/Stream")
    channel.close()
    for call in (left, left.future, left.with_call, stream):
        with pytest.raises(Misuse, match="was stopped"):
            call(b"")


def test_its_state_can_be_watched(channel: Any) -> None:
    seen: list[grpc.ChannelConnectivity] = []
    channel.subscribe(seen.append, try_to_connect=True)
    channel.unary_unary("/test/Left")(b"")
    channel.unsubscribe(seen.append)
    assert set(seen) <= set(grpc.ChannelConnectivity)
