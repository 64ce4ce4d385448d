"""gRPC server reflection, package `grpc.reflection.v1`, and the pool that a reflecting server looks into.

Holds the messages and the table of methods; never talks to anybody.
"""

from ._generated.grpc_reflection_v1_reflection_pb2 import (
    ErrorResponse,
    ExtensionNumberResponse,
    ExtensionRequest,
    FileDescriptorResponse,
    ListServiceResponse,
    ServerReflectionRequest,
    ServerReflectionResponse,
    ServiceResponse,
)
from ._pool import POOL
from .rpc import Method, Service

__all__ = [
    "POOL",
    "ServerReflectionRequest",
    "ExtensionRequest",
    "ServerReflectionResponse",
    "FileDescriptorResponse",
    "ExtensionNumberResponse",
    "ListServiceResponse",
    "ServiceResponse",
    "ErrorResponse",
    "SERVER_REFLECTION_INFO",
    "SERVER_REFLECTION",
]

SERVER_REFLECTION_INFO = Method(
    path="/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    request=ServerReflectionRequest,
    response=ServerReflectionResponse,
    client_streaming=True,
    server_streaming=True,
)

SERVER_REFLECTION = Service(name="grpc.reflection.v1.ServerReflection", methods=(SERVER_REFLECTION_INFO,))
