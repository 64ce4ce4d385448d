"""What a host asks of every plugin."""

import pytest
from grpc_health.v1.health_pb2 import HealthCheckResponse

from goplugin.handshake import HandshakeRefused, PluginFault, Tcp, Unix
from goplugin.hostlib._services import HEALTH, announcement, judge_health
from goplugin.proto import plugin


def test_health_is_asked_for_the_name_that_go_plugin_uses() -> None:
    assert HEALTH.SerializeToString() == b"\n\x06plugin"


def test_a_plugin_that_serves_is_healthy() -> None:
    judge_health(HealthCheckResponse(status=HealthCheckResponse.SERVING))


@pytest.mark.parametrize(("raw", "named"), [(b"\x08\x02", "NOT_SERVING"), (b"", "UNKNOWN"), (b"\x08\x63", "99")])
def test_any_other_state_is_the_plugins_fault(raw: bytes, named: str) -> None:
    with pytest.raises(PluginFault, match=named):
        judge_health(HealthCheckResponse.FromString(raw))


def test_an_announcement_has_an_address() -> None:
    unix = announcement(plugin.ConnInfo(service_id=3, network="unix", address="/tmp/p"))
    tcp = announcement(plugin.ConnInfo(service_id=4, network="tcp", address="127.0.0.1:7"))
    assert unix is not None
    assert tcp is not None
    assert (unix.id, unix.address) == (3, Unix("/tmp/p"))
    assert (tcp.id, tcp.address) == (4, Tcp("127.0.0.1", 7))


def test_a_knock_announces_nothing() -> None:
    assert announcement(plugin.ConnInfo(service_id=3, knock=plugin.ConnInfo.Knock(knock=True))) is None


def test_an_announcement_of_nonsense_is_refused() -> None:
    with pytest.raises(HandshakeRefused):
        announcement(plugin.ConnInfo(service_id=3, network="pipe", address="x"))
