"""go-plugin's own services, package `plugin`: broker, controller and stdio.

Holds the messages and the tables of methods; never talks to anybody.
"""

from typing import TYPE_CHECKING

from ._generated.plugin_grpc_broker_pb2 import ConnInfo
from ._generated.plugin_grpc_controller_pb2 import Empty
from ._generated.plugin_grpc_stdio_pb2 import StdioData
from ._pool import known
from .rpc import Method, Service

if TYPE_CHECKING:
    from google.protobuf.empty_pb2 import Empty as GoogleEmpty
else:
    GoogleEmpty = known("google.protobuf.Empty")

__all__ = [
    "ConnInfo",
    "StdioData",
    "Empty",
    "GoogleEmpty",
    "START_STREAM",
    "SHUTDOWN",
    "STREAM_STDIO",
    "GRPC_BROKER",
    "GRPC_CONTROLLER",
    "GRPC_STDIO",
]

START_STREAM = Method(
    path="/plugin.GRPCBroker/StartStream",
    request=ConnInfo,
    response=ConnInfo,
    client_streaming=True,
    server_streaming=True,
)
SHUTDOWN = Method(path="/plugin.GRPCController/Shutdown", request=Empty, response=Empty)
STREAM_STDIO = Method(
    path="/plugin.GRPCStdio/StreamStdio", request=GoogleEmpty, response=StdioData, server_streaming=True
)

GRPC_BROKER = Service(name="plugin.GRPCBroker", methods=(START_STREAM,))
GRPC_CONTROLLER = Service(name="plugin.GRPCController", methods=(SHUTDOWN,))
GRPC_STDIO = Service(name="plugin.GRPCStdio", methods=(STREAM_STDIO,))
