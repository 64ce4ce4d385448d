"""The least plugin that a Go host with AutoMTLS can use: KV and the host's own calls, on grpcio and the relay alone."""

import os
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import grpc
from google.protobuf.empty_pb2 import Empty as GoogleEmpty
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from kv_pb2 import Empty, GetRequest, GetResponse, PutRequest
from kv_pb2_grpc import KVServicer, add_KVServicer_to_server

from goplugin.handshake import Line
from goplugin.transport import SERVER_OPTIONS, PrivateDirectory, Workers, socket_path
from goplugin.transport.tls import Identity, InnerServer, MutualTls, host_certificate, listening, serve

leaving = threading.Event()


class KV(KVServicer):
    def __init__(self) -> None:
        self.values: dict[str, bytes] = {}

    def Get(self, request: GetRequest, context: Any) -> GetResponse:
        return GetResponse(value=self.values[request.key])

    def Put(self, request: PutRequest, context: Any) -> Empty:
        self.values[request.key] = request.value
        return Empty()


def shut_down(request: bytes, context: grpc.ServicerContext) -> bytes:
    leaving.set()
    return GoogleEmpty().SerializeToString()


def hear_broker(requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
    for _ in requests:
        pass
    yield from ()


def main() -> None:
    ours, now = Identity.generate(time.time()), time.time()
    mutual = MutualTls(ours, host_certificate(os.environ["PLUGIN_CLIENT_CERT"], now))
    server = grpc.server(Workers(8, "call"), options=SERVER_OPTIONS)
    checks = health.HealthServicer()
    checks.set("plugin", health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(checks, server)
    add_KVServicer_to_server(KV(), server)
    own: dict[str, dict[str, Any]] = {
        "plugin.GRPCController": {"Shutdown": grpc.unary_unary_rpc_method_handler(shut_down)},
        "plugin.GRPCBroker": {"StartStream": grpc.stream_stream_rpc_method_handler(hear_broker)},
    }
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(*service) for service in own.items()])

    directory = PrivateDirectory(os.environ)
    address = socket_path(directory.path)
    inner = InnerServer(server, os.environ)
    relay = serve(
        listening(address),
        inner,
        mutual.server,
        lambda refused: print(f"[WARN] {refused}", file=sys.stderr, flush=True),
    )
    server.start()
    sys.stdout.write(Line(version=1, address=address, server_cert=ours.certificate.der).format().decode())
    sys.stdout.flush()
    leaving.wait()
    server.stop(1.0).wait(2.0)
    relay.close()
    directory.close()


if __name__ == "__main__":
    main()
