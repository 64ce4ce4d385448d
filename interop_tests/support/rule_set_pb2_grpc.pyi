"""What the generated stubs are to type checkers."""

from typing import Any

import grpc
import grpc.aio
import rule_set_pb2

class RuleSetServiceStub:
    def __init__(self, channel: grpc.Channel | grpc.aio.Channel) -> None: ...
    ListRules: grpc.UnaryUnaryMultiCallable[rule_set_pb2.ListRulesRequest, rule_set_pb2.ListRulesResponse]
    Apply: grpc.UnaryUnaryMultiCallable[rule_set_pb2.ApplyRequest, rule_set_pb2.ApplyResponse]

class RuleSetServiceServicer:
    def ListRules(self, request: Any, context: Any) -> Any: ...
    def Apply(self, request: Any, context: Any) -> Any: ...

def add_RuleSetServiceServicer_to_server(
    servicer: RuleSetServiceServicer, server: grpc.Server | grpc.aio.Server
) -> None: ...
