"""What a host asks of every plugin, and what the answers mean, whichever shell asks. Never calls anybody."""

import grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from ..handshake import PluginFault
from ..proto.rpc import Method
from ._hclog import legible

CHECK = Method(path="/grpc.health.v1.Health/Check", request=HealthCheckRequest, response=HealthCheckResponse)
HEALTH = HealthCheckRequest(service="plugin")  # the name under which every plugin reports (grpc_server.go:23)

NO_ANSWER = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED})
"""How a call ends that nobody answered. With any other status somebody did.

For the Shutdown RPC it is no failure: a Go plugin stops its server inside the handler (grpc_controller.go:23)."""

STREAM_OVER = frozenset({grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED})
"""How a stream ends where the plugin has none, where it has ended, and where we closed the connection."""


def judge_health(answer: HealthCheckResponse) -> None:
    """Raise ``PluginFault`` unless the plugin says that it serves."""
    if answer.status != HealthCheckResponse.SERVING:
        known = answer.status in HealthCheckResponse.ServingStatus.values()
        status = HealthCheckResponse.ServingStatus.Name(answer.status) if known else str(answer.status)
        raise PluginFault(f"the plugin says of its health: {status}")


def unhealthy(error: grpc.RpcError) -> PluginFault:
    """Return the error for a health check that failed."""
    return PluginFault(f"the plugin's health check failed: {error.code().name}: {legible(error.details() or '')}")
