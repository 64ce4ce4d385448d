"""What a host asks of every plugin."""

import pytest
from grpc_health.v1.health_pb2 import HealthCheckResponse

from goplugin.handshake import PluginFault
from goplugin.hostlib._services import HEALTH, judge_health


def test_health_is_asked_for_the_name_that_go_plugin_uses() -> None:
    assert HEALTH.SerializeToString() == b"\n\x06plugin"


def test_a_plugin_that_serves_is_healthy() -> None:
    judge_health(HealthCheckResponse(status=HealthCheckResponse.SERVING))


@pytest.mark.parametrize(("raw", "named"), [(b"\x08\x02", "NOT_SERVING"), (b"", "UNKNOWN"), (b"\x08\x63", "99")])
def test_any_other_state_is_the_plugins_fault(raw: bytes, named: str) -> None:
    with pytest.raises(PluginFault, match=named):
        judge_health(HealthCheckResponse.FromString(raw))
