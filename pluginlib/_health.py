"""What the plugin answers to grpc.health.v1. Imported when first asked: few hosts ping before they work."""

from grpc_health.v1 import health_pb2

from ._services import HEALTHY

Request = health_pb2.HealthCheckRequest
Response = health_pb2.HealthCheckResponse
ListRequest = health_pb2.HealthListRequest
ListResponse = health_pb2.HealthListResponse


def check(service: str, serving: bool) -> Response | None:
    """Return the state of a name, or None where Check answers NOT_FOUND."""
    if service not in HEALTHY:
        return None
    return Response(status=Response.SERVING if serving else Response.NOT_SERVING)


def watch(service: str, serving: bool) -> Response:
    """Return the state of a name as Watch tells it."""
    return check(service, serving) or Response(status=Response.SERVICE_UNKNOWN)


def states(serving: bool) -> ListResponse:
    """Return the state of every name."""
    response = ListResponse()
    for service in HEALTHY:
        response.statuses[service].status = Response.SERVING if serving else Response.NOT_SERVING
    return response
