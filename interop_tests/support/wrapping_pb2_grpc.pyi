"""What the generated stubs are to type checkers."""

from typing import Any

import grpc
import grpc.aio

class WrappingServicer: ...

class WrappingStub:
    Type: Any
    SetConfig: Any
    Encrypt: Any
    Decrypt: Any
    def __init__(self, channel: grpc.Channel | grpc.aio.Channel) -> None: ...

def add_WrappingServicer_to_server(servicer: WrappingServicer, server: grpc.Server | grpc.aio.Server) -> None: ...
