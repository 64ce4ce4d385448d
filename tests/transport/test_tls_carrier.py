"""Connections with TLS, from one grpcio to another: on grpcio's own TLS with P-256, over the relay with P-521."""

import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from foreign_certificates import NOW, Foreign, context
from leftovers import nothing_left as nothing_left
from leftovers import warm_grpc as warm_grpc

from goplugin.handshake import Address, HostFault, Misuse, PluginEnvironment, Tcp, Unix
from goplugin.transport import SERVER_OPTIONS, Carrier, Listener, Network, TlsConfig, Workers
from goplugin.transport.tls import Identity, MutualTls, OwnTls, PeerRefused, Refusal, TlsCarrier

CURVES = ["P-256", "P-521"]
NETWORKS: list[Network] = ["unix", "tcp"]
NEVER: Any = None  # the server where it must not come to that


class Served:
    """A grpcio server behind a carrier; it answers every call with what it was sent."""

    def __init__(self, carrier: Carrier) -> None:
        self.carrier = carrier
        self._pool = Workers(2, "echo")
        self.server: Any = grpc.server(self._pool, options=SERVER_OPTIONS)
        self.server.add_generic_rpc_handlers((_Echo(),))
        self.listener: Listener = carrier.listen(self.server)
        self.server.start()

    @property
    def address(self) -> Address:
        return self.listener.address

    def close(self) -> None:
        if self.server is not None:
            self.server.stop(None).wait(5)
            self.server = None
        self._pool.shutdown()
        self.listener.close()
        self.carrier.close()


def _echoed(request: bytes, _: Any) -> bytes:
    return request


class _Echo(grpc.GenericRpcHandler):
    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        make: Any = grpc.unary_unary_rpc_method_handler
        return make(_echoed)


def answer(carrier: Carrier, address: Address, data: bytes = b"x") -> bytes:
    """Send ``data`` to who listens there and return the answer."""
    route = carrier.route(address)
    try:
        with route.channel() as channel:
            caller: Any = channel
            return bytes(caller.unary_unary("/echo/Echo")(data, timeout=10))
    finally:
        route.close()
        carrier.close()


@pytest.fixture
def refused() -> list[PeerRefused]:
    return []


@pytest.fixture
def carrier(refused: list[PeerRefused], tmp_path: Path) -> Callable[..., TlsCarrier]:
    def make(tls: MutualTls | OwnTls, network: Network = "unix") -> TlsCarrier:
        return TlsCarrier(tls, refused.append, PluginEnvironment(socket_dir=str(tmp_path)), network)

    return make


@pytest.fixture
def serving() -> Iterator[Callable[[Carrier], Served]]:
    made: list[Served] = []

    def serve(carrier: Carrier) -> Served:
        made.append(Served(carrier))
        return made[-1]

    yield serve
    for served in made:
        served.close()


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("curve", CURVES)
def test_both_sides_verify_each_other_in_either_direction(
    curve: str,
    network: Network,
    carrier: Callable[..., TlsCarrier],
    serving: Callable[[Carrier], Served],
    refused: list[PeerRefused],
    tmp_path: Path,
) -> None:
    ours, theirs = Identity.generate(NOW.timestamp()), Foreign.make(curve).identity
    one = carrier(MutualTls(ours, theirs.certificate), network)
    other = carrier(MutualTls(theirs, ours.certificate), network)
    for here, there in ((one, other), (other, one)):
        served = serving(here)
        assert type(served.address) is (Tcp if network == "tcp" else Unix)
        data = bytes(3_000_000)
        assert answer(there, served.address, data) == data
        served.close()
    assert refused == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("curve", CURVES)
def test_a_stranger_gets_no_answer_and_the_right_peer_still_does(
    curve: str, carrier: Callable[..., TlsCarrier], serving: Callable[[Carrier], Served], refused: list[PeerRefused]
) -> None:
    ours, theirs, stranger = (Foreign.make(curve).identity for _ in range(3))
    served = serving(carrier(MutualTls(ours, theirs.certificate)))
    with pytest.raises(grpc.RpcError) as error:
        answer(carrier(MutualTls(stranger, ours.certificate)), served.address)
    assert error.value.code() is grpc.StatusCode.UNAVAILABLE
    assert answer(carrier(MutualTls(theirs, ours.certificate)), served.address) == b"x"
    if curve == "P-521":  # grpcio tells nobody but its own log
        # One more of its attempts may have been under way as its channel was closed.
        found = {error.refusal for error in refused} - {Refusal.VANISHED}
        assert found == {Refusal.OTHER_CERTIFICATE, Refusal.REFUSED_US}


@pytest.mark.parametrize("curve", CURVES)
def test_a_server_that_is_a_stranger_is_not_talked_to(
    curve: str, carrier: Callable[..., TlsCarrier], serving: Callable[[Carrier], Served], refused: list[PeerRefused]
) -> None:
    ours, theirs, stranger = (Foreign.make(curve).identity for _ in range(3))
    served = serving(carrier(MutualTls(stranger, ours.certificate)))
    with pytest.raises(grpc.RpcError) as error:
        answer(carrier(MutualTls(ours, theirs.certificate)), served.address)
    assert error.value.code() is grpc.StatusCode.UNAVAILABLE


def test_without_a_peer_everybody_is_refused(
    carrier: Callable[..., TlsCarrier], serving: Callable[[Carrier], Served], refused: list[PeerRefused]
) -> None:
    ours, theirs = (Foreign.make().identity for _ in range(2))
    served = serving(carrier(MutualTls(ours, None)))
    with pytest.raises(grpc.RpcError):
        answer(carrier(MutualTls(theirs, ours.certificate)), served.address)
    assert Refusal.OTHER_CERTIFICATE in {error.refusal for error in refused}


def own(ours: Foreign, theirs: Foreign, name: str = "localhost") -> TlsConfig:
    """TLS as users make it: here each side knows the other's certificate."""
    accept, dial = context(ssl.PROTOCOL_TLS_SERVER, ours), context(ssl.PROTOCOL_TLS_CLIENT, ours)
    for made in (accept, dial):
        made.load_verify_locations(cadata=theirs.pem)
        made.verify_mode = ssl.CERT_REQUIRED
    dial.check_hostname = True
    return TlsConfig(accept, dial, name)


def test_tls_of_ones_own_goes_both_ways(
    carrier: Callable[..., TlsCarrier], serving: Callable[[Carrier], Served], refused: list[PeerRefused]
) -> None:
    one, other = Foreign.make("RSA", name="one.example"), Foreign.make("P-384")
    here, there = (
        OwnTls(own(one, other), "accept"),
        OwnTls(own(other, one, "one.example"), "dial"),
    )
    served = serving(carrier(here))
    assert answer(carrier(there), served.address) == b"x"
    served = serving(carrier(there))
    assert answer(carrier(here), served.address) == b"x"
    assert refused == []


def test_a_server_of_another_name_is_refused(
    carrier: Callable[..., TlsCarrier], serving: Callable[[Carrier], Served], refused: list[PeerRefused]
) -> None:
    one, other = Foreign.make(name="one.example"), Foreign.make()
    served = serving(carrier(OwnTls(own(one, other), "accept")))
    with pytest.raises(grpc.RpcError):
        answer(carrier(OwnTls(own(other, one), "dial")), served.address)
    assert Refusal.OTHER_NAME in {error.refusal for error in refused}


def test_a_server_of_another_authority_is_refused(
    carrier: Callable[..., TlsCarrier], serving: Callable[[Carrier], Served], refused: list[PeerRefused]
) -> None:
    one, other, stranger = Foreign.make(), Foreign.make(), Foreign.make()
    served = serving(carrier(OwnTls(own(one, other), "accept")))
    with pytest.raises(grpc.RpcError):
        answer(carrier(OwnTls(own(other, stranger), "dial")), served.address)
    assert Refusal.OTHER_AUTHORITY in {error.refusal for error in refused}


def test_a_direction_without_a_context_is_the_callers_mistake_and_never_in_plain_text(
    carrier: Callable[..., TlsCarrier], tmp_path: Path
) -> None:
    certificate = Foreign.make()
    accepting = carrier(OwnTls(context(ssl.PROTOCOL_TLS_SERVER, certificate), "accept"))
    with pytest.raises(Misuse, match="TlsConfig\\(dial="):
        accepting.route(Unix(str(tmp_path / "s")))
    trusting = context(ssl.PROTOCOL_TLS_CLIENT)
    trusting.verify_mode = ssl.CERT_REQUIRED
    with pytest.raises(Misuse, match="TlsConfig\\(accept="):
        carrier(OwnTls(trusting, "dial")).listen(NEVER)
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_had_is_said_as_in_plain_text(refused: list[PeerRefused]) -> None:
    mutual = MutualTls(Identity.generate(NOW.timestamp()), None)
    carrier = TlsCarrier(mutual, refused.append, PluginEnvironment(socket_dir="/nowhere/at/all"), "unix")
    with pytest.raises(HostFault, match="PLUGIN_UNIX_SOCKET_DIR names no directory"):
        carrier.listen(NEVER)
