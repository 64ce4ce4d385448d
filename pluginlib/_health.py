"""What the plugin answers to grpc.health.v1. Imported when first asked: few hosts ping before they work."""

from ..proto.health import HealthCheckResponse, HealthListResponse
from ._services import HEALTHY


def check(service: str, serving: bool) -> HealthCheckResponse | None:
    """Return the state of a name, or None where Check answers NOT_FOUND."""
    if service not in HEALTHY:
        return None
    return HealthCheckResponse(
        status=HealthCheckResponse.SERVING if serving else HealthCheckResponse.NOT_SERVING,
    )


def watch(service: str, serving: bool) -> HealthCheckResponse:
    """Return the state of a name as Watch tells it."""
    return check(service, serving) or HealthCheckResponse(status=HealthCheckResponse.SERVICE_UNKNOWN)


def states(serving: bool) -> HealthListResponse:
    """Return the state of every name."""
    response = HealthListResponse()
    for service in HEALTHY:
        state = check(service, serving)
        if state is not None:
            response.statuses[service].CopyFrom(state)
    return response
