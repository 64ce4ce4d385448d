"""What the generated stubs are to type checkers."""

from typing import Any

import grpc
import grpc.aio
import streamer_pb2

class StreamerServiceStub:
    def __init__(self, channel: grpc.Channel | grpc.aio.Channel) -> None: ...
    Configure: grpc.UnaryUnaryMultiCallable[streamer_pb2.Configure.Request, streamer_pb2.Configure.Response]
    Read: grpc.UnaryStreamMultiCallable[streamer_pb2.Read.Request, streamer_pb2.Read.ResponseChunk]
    Write: grpc.StreamUnaryMultiCallable[streamer_pb2.Write.RequestChunk, streamer_pb2.Write.Response]

class StreamerServiceServicer:
    def Configure(self, request: Any, context: Any) -> Any: ...
    def Read(self, request: Any, context: Any) -> Any: ...
    def Write(self, request: Any, context: Any) -> Any: ...

def add_StreamerServiceServicer_to_server(
    servicer: StreamerServiceServicer, server: grpc.Server | grpc.aio.Server
) -> None: ...
