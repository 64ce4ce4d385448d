"""How connections are carried."""

from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
import pytest

from goplugin.handshake import PluginEnvironment, Tcp, Unix
from goplugin.transport import SERVER_OPTIONS, Carrier, Network, PlainCarrier, Route


def answers(route: Route) -> bool:
    with route.channel() as channel:
        grpc.channel_ready_future(channel).result(timeout=10)
    return True


def refusal(route: Route) -> grpc.StatusCode:
    channel: Any = route.channel()
    with channel, pytest.raises(grpc.RpcError) as refused:
        channel.unary_unary("/nobody/Answers")(b"", timeout=10)
    return refused.value.code()


@pytest.mark.parametrize(("network", "kind"), [("unix", Unix), ("tcp", Tcp)])
def test_plain_connections_follow_the_rules_of_the_main_one(network: Network, kind: type, tmp_path: Path) -> None:
    carrier: Carrier = PlainCarrier(PluginEnvironment(socket_dir=str(tmp_path)), network)
    server = grpc.server(futures.ThreadPoolExecutor(1), options=SERVER_OPTIONS)
    listener = carrier.listen(server)
    server.start()
    try:
        assert type(listener.address) is kind
        assert answers(carrier.route(listener.address))
    finally:
        server.stop(None).wait(5)
        listener.close()
    assert list(tmp_path.iterdir()) == []


def test_a_route_with_credentials_has_a_channel_with_tls(tmp_path: Path) -> None:
    """To a server that has none: it must not answer."""
    carrier = PlainCarrier(PluginEnvironment(socket_dir=str(tmp_path)))
    server = grpc.server(futures.ThreadPoolExecutor(1), options=SERVER_OPTIONS)
    listener = carrier.listen(server)
    server.start()
    try:
        plain = carrier.route(listener.address)
        route = Route(target=plain.target, credentials=grpc.ssl_channel_credentials())
        assert refusal(route) is grpc.StatusCode.UNAVAILABLE
        assert refusal(plain) is grpc.StatusCode.UNIMPLEMENTED
    finally:
        server.stop(None).wait(5)
        listener.close()
