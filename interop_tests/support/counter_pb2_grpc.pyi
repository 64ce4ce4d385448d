"""What the generated stubs are to type checkers."""

from typing import Any

import counter_pb2
import grpc
import grpc.aio

class CounterServicer:
    def Get(self, request: Any, context: Any) -> Any: ...
    def Put(self, request: Any, context: Any) -> Any: ...

def add_CounterServicer_to_server(servicer: CounterServicer, server: grpc.Server | grpc.aio.Server) -> None: ...

class AddHelperStub:
    def __init__(self, channel: grpc.Channel | grpc.aio.Channel) -> None: ...
    Sum: grpc.UnaryUnaryMultiCallable[counter_pb2.SumRequest, counter_pb2.SumResponse]
