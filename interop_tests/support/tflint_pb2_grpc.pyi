"""What the generated stubs are to type checkers."""

from typing import Any

import grpc
import grpc.aio

class RuleSetServicer: ...
class RunnerServicer: ...

class RuleSetStub:
    GetSDKVersion: Any
    Check: Any
    def __init__(self, channel: grpc.Channel | grpc.aio.Channel) -> None: ...

class RunnerStub:
    GetModuleContent: Any
    EmitIssue: Any
    def __init__(self, channel: grpc.Channel | grpc.aio.Channel) -> None: ...

def add_RuleSetServicer_to_server(servicer: RuleSetServicer, server: grpc.Server | grpc.aio.Server) -> None: ...
def add_RunnerServicer_to_server(servicer: RunnerServicer, server: grpc.Server | grpc.aio.Server) -> None: ...
