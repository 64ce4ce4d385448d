"""What the generated stubs are to type checkers."""

from typing import Any

import grpc
import grpc.aio
import notifier_pb2

class NotifierStub:
    def __init__(self, channel: grpc.Channel | grpc.aio.Channel) -> None: ...
    Notify: grpc.UnaryUnaryMultiCallable[notifier_pb2.Notification, notifier_pb2.Empty]
    Configure: grpc.UnaryUnaryMultiCallable[notifier_pb2.Config, notifier_pb2.Empty]

class NotifierServicer:
    def Notify(self, request: Any, context: Any) -> Any: ...
    def Configure(self, request: Any, context: Any) -> Any: ...

def add_NotifierServicer_to_server(servicer: NotifierServicer, server: grpc.Server | grpc.aio.Server) -> None: ...
