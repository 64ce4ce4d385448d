"""A plugin on bare grpcio, without a line of goplugin: health, controller, stdio, and an echo to call.

Many programs in `tests/hostlib/programs` and `interop_tests/badplugins` are this one with a fault.
"""

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc

STDOUT, STDERR = b"\x08\x01\x12\x03", b"\x08\x02\x12\x03"  # a StdioData each, up to its three bytes of data


class Plugin(grpc.GenericRpcHandler):
    """Methods by their path: bytes to bytes. A test changes or removes them before `serve`."""

    def __init__(self) -> None:
        self.over = threading.Event()
        self.unary: dict[str, Callable[[bytes, Any], Any]] = {
            "/grpc.health.v1.Health/Check": lambda request, _: (
                b"\x08\x01" if request == b"\n\x06plugin" else b"\x08\x03"
            ),
            "/plugin.GRPCController/Shutdown": self._shut_down,
            "/test.Echo/Echo": lambda request, _: request,
            "/test.Echo/Exit": lambda request, _: os._exit(request[0]),
            "/test.Echo/Hang": lambda request, _: time.sleep(60),
            "/test.Echo/Fail": lambda request, context: context.abort(grpc.StatusCode.UNAVAILABLE, request.decode()),
        }
        self.stream: dict[str, Callable[[bytes, Any], Iterable[bytes]]] = {
            "/plugin.GRPCStdio/StreamStdio": self._stdio,
            "/test.Echo/Count": lambda request, _: (str(n).encode() for n in range(int(request))),
        }
        self.join: dict[str, Callable[[Iterator[bytes], Any], bytes]] = {
            "/test.Echo/Join": lambda requests, _: b"".join(requests)
        }
        self.each: dict[str, Callable[[Iterator[bytes], Any], Iterable[bytes]]] = {
            "/plugin.GRPCBroker/StartStream": lambda requests, _: requests,
            "/test.Echo/Each": lambda requests, _: requests,
        }

    def without(self, *methods: str) -> "Plugin":
        """Forget some methods."""
        for table in (self.unary, self.stream, self.each):
            for method in methods:
                table.pop(method, None)
        return self

    def listen(self) -> str:
        """Start to answer; return the handshake line."""
        address = os.path.join(os.environ["PLUGIN_UNIX_SOCKET_DIR"], "plugin")
        self._server = grpc.server(ThreadPoolExecutor(8), handlers=[self])
        self.bind(self._server, f"unix:{address}")
        self._server.start()
        return f"1|1|unix|{address}|grpc|\n"

    def bind(self, server: grpc.Server, address: str) -> None:
        """Bind the server; a subclass does it otherwise."""
        server.add_insecure_port(address)

    def serve(self) -> None:
        """Print the line, and answer until Shutdown."""
        os.write(1, self.listen().encode())
        self.over.wait()
        self._server.stop(0.1).wait()

    def service(self, handler_call_details: Any) -> "grpc.RpcMethodHandler[Any, Any] | None":
        """Find the handler of a method, as grpc asks for it."""
        name = handler_call_details.method
        if name in self.unary:
            return grpc.unary_unary_rpc_method_handler(self.unary[name])
        if name in self.stream:
            return grpc.unary_stream_rpc_method_handler(self.stream[name])
        if name in self.join:
            return grpc.stream_unary_rpc_method_handler(self.join[name])
        return grpc.stream_stream_rpc_method_handler(self.each[name]) if name in self.each else None

    def _shut_down(self, request: bytes, context: Any) -> bytes:
        self.over.set()
        return b""

    def _stdio(self, request: bytes, context: Any) -> Iterator[bytes]:
        yield STDOUT + b"out"
        yield STDERR + b"err"
        self.over.wait()
