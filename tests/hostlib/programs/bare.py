"""A plugin on bare grpcio, without a line of goplugin: health, controller, stdio, and an echo to call."""

import os
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import grpc

STDOUT, STDERR = b"\x08\x01", b"\x08\x02"


class Plugin(grpc.GenericRpcHandler):
    def __init__(self):
        self.over = threading.Event()
        self.pieces = [STDOUT + b"\x12\x03out", STDERR + b"\x12\x03err"]
        self.unary = {
            "/grpc.health.v1.Health/Check": lambda request, _: b"\x08\x01" if request == b"\n\x06plugin" else b"\x08\x03",
            "/plugin.GRPCController/Shutdown": self.shut_down,
            "/test.Echo/Echo": lambda request, _: request,
            "/test.Echo/Exit": lambda request, _: os._exit(request[0]),
            "/test.Echo/Hang": lambda request, _: time.sleep(60),
            "/test.Echo/Fail": lambda request, context: context.abort(grpc.StatusCode.UNAVAILABLE, request.decode()),
        }
        self.stream = {
            "/plugin.GRPCStdio/StreamStdio": self.stdio,
            "/test.Echo/Count": lambda request, _: (str(n).encode() for n in range(int(request))),
        }
        self.joined = {"/test.Echo/Join": lambda requests, _: b"".join(requests)}
        self.both = {
            "/plugin.GRPCBroker/StartStream": lambda requests, _: requests,
            "/test.Echo/Each": lambda requests, _: requests,
        }

    def shut_down(self, request, context):
        self.over.set()
        return b""

    def stdio(self, request, context):
        yield from self.pieces
        self.over.wait()

    def service(self, details):
        if details.method in self.unary:
            return grpc.unary_unary_rpc_method_handler(self.unary[details.method])
        if details.method in self.stream:
            return grpc.unary_stream_rpc_method_handler(self.stream[details.method])
        if details.method in self.joined:
            return grpc.stream_unary_rpc_method_handler(self.joined[details.method])
        if details.method in self.both:
            return grpc.stream_stream_rpc_method_handler(self.both[details.method])
        return None

    def without(self, *methods):
        for table in (self.unary, self.stream, self.both):
            for method in methods:
                table.pop(method, None)
        return self

    def listen(self):
        address = os.path.join(os.environ["PLUGIN_UNIX_SOCKET_DIR"], "plugin")
        self.server = grpc.server(ThreadPoolExecutor(8), handlers=[self])
        self.server.add_insecure_port(f"unix:{address}")
        self.server.start()
        return f"1|1|unix|{address}|grpc|\n"

    def serve(self):
        sys.stdout.write(self.listen())
        sys.stdout.flush()
        self.over.wait()
        self.server.stop(1).wait()


if __name__ == "__main__":
    Plugin().serve()
