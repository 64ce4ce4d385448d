"""gRPC health checking, package `grpc.health.v1`, in the private pool: many programs carry a copy of their own.

Holds the messages and the table of methods; never talks to anybody.
"""

from ._generated.grpc_health_v1_health_pb2 import (
    HealthCheckRequest,
    HealthCheckResponse,
    HealthListRequest,
    HealthListResponse,
)
from .rpc import Method, Service

__all__ = [
    "HealthCheckRequest",
    "HealthCheckResponse",
    "HealthListRequest",
    "HealthListResponse",
    "CHECK",
    "WATCH",
    "LIST",
    "HEALTH",
]

CHECK = Method(path="/grpc.health.v1.Health/Check", request=HealthCheckRequest, response=HealthCheckResponse)
WATCH = Method(
    path="/grpc.health.v1.Health/Watch", request=HealthCheckRequest, response=HealthCheckResponse, server_streaming=True
)
LIST = Method(path="/grpc.health.v1.Health/List", request=HealthListRequest, response=HealthListResponse)

HEALTH = Service(name="grpc.health.v1.Health", methods=(CHECK, WATCH, LIST))
