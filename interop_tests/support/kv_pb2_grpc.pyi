"""What the generated stubs are to type checkers."""

from typing import Any

import grpc
import grpc.aio
import kv_pb2

class KVStub:
    def __init__(self, channel: grpc.Channel | grpc.aio.Channel) -> None: ...
    Get: grpc.UnaryUnaryMultiCallable[kv_pb2.GetRequest, kv_pb2.GetResponse]
    Put: grpc.UnaryUnaryMultiCallable[kv_pb2.PutRequest, kv_pb2.Empty]

class KVServicer:
    def Get(self, request: kv_pb2.GetRequest, context: Any) -> Any: ...
    def Put(self, request: kv_pb2.PutRequest, context: Any) -> Any: ...

def add_KVServicer_to_server(servicer: KVServicer, server: grpc.Server | grpc.aio.Server) -> None: ...
