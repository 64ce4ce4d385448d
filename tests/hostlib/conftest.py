"""For every test of this folder: it leaves nothing behind. For those of the channels: a server to call.

For those of starts and losses: what keeps a busy machine from being taken for a plugin's fault.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from time import monotonic
from typing import Any, ClassVar, NoReturn

import grpc
import pytest
from leftovers import nothing_left as nothing_left
from leftovers import sockets as sockets
from leftovers import warm_grpc as warm_grpc
from probe_pb2 import AddRequest, AddResponse
from shells import LIMIT

from goplugin.handshake import Line
from goplugin.hostlib._launch import Launch


def _unary(request: bytes, context: Any) -> bytes:
    remaining = context.time_remaining()
    # Without a deadline grpcio tells of one in the far future. By hundreds, for some seconds may have passed.
    return b"none" if remaining is None or remaining > 1e6 else f"{round(remaining, -2):.0f}".encode()


def _fail(request: bytes, context: Any) -> NoReturn:
    context.set_trailing_metadata((("why", "because"),))
    context.abort(grpc.StatusCode.UNAVAILABLE, "gone")
    raise AssertionError("abort returned")


def _join(requests: Iterator[bytes], context: Any) -> NoReturn:
    _fail(b"".join(requests), context)


def _add(request: bytes, context: Any) -> bytes:
    numbers = AddRequest.FromString(request)
    return AddResponse(sum=numbers.a + numbers.b).SerializeToString()


def _stream(request: bytes, context: Any) -> Iterator[bytes]:
    yield _unary(request, context)
    if request == b"fail":
        context.abort(grpc.StatusCode.UNAVAILABLE, "gone")


def _each(requests: Iterator[bytes], context: Any) -> Iterator[bytes]:
    for request in requests:
        yield from _stream(request, context)


class _Answers(grpc.GenericRpcHandler):
    """Answers with the seconds that a call has left, or fails, as the method's name says."""

    methods: ClassVar[dict[str, "grpc.RpcMethodHandler[Any, Any]"]] = {
        "/test/Left": grpc.unary_unary_rpc_method_handler(_unary),
        "/test/Fail": grpc.unary_unary_rpc_method_handler(_fail),
        "/interop.v1.Probe/Add": grpc.unary_unary_rpc_method_handler(_add),
        "/test/Stream": grpc.unary_stream_rpc_method_handler(_stream),
        "/test/Join": grpc.stream_unary_rpc_method_handler(_join),
        "/test/Each": grpc.stream_stream_rpc_method_handler(_each),
    }

    def service(self, handler_call_details: Any) -> "grpc.RpcMethodHandler[Any, Any] | None":
        return self.methods.get(handler_call_details.method)


@pytest.fixture
def settled_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a client wait longer for the end of a process whose pipes or connection have ended, and for its last words.

    A test whose plugin lives on then would take that long.
    """
    monkeypatch.setattr("goplugin.hostlib._launch.SETTLE", LIMIT)
    for client in ("_client", "_aio_client"):
        monkeypatch.setattr(f"goplugin.hostlib.{client}.Client._loss.__defaults__", (LIMIT,))
        monkeypatch.setattr(f"goplugin.hostlib.{client}.DRAIN", LIMIT)


@pytest.fixture
def late(monkeypatch: pytest.MonkeyPatch) -> float:
    """Let so many seconds of a start pass at once when the line has come; until then the program may take them."""
    outcome = Launch.outcome

    def passing(launch: Launch, now: float) -> Line | None:
        line = outcome(launch, now)
        if line is not None:
            for client in ("_client", "_aio_client"):
                monkeypatch.setattr(f"goplugin.hostlib.{client}.monotonic", lambda: monotonic() + LIMIT)
        return line

    monkeypatch.setattr(Launch, "outcome", passing)
    return LIMIT


@pytest.fixture
def target(nothing_left: str) -> Iterator[str]:
    """Give the address of a server in this process."""
    address = f"unix:{nothing_left}/server"
    with ThreadPoolExecutor(4) as workers:
        server = grpc.server(workers, handlers=[_Answers()])
        server.add_insecure_port(address)
        server.start()
        yield address
        server.stop(None).wait(10)
