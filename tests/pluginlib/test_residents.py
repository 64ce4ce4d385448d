"""How own services are found, and how the author's are noticed, on grpcio's own servers."""

from types import SimpleNamespace
from typing import Any, cast

import grpc
import kv_pb2_grpc
import pytest

from goplugin.handshake import HostDialTimeout, Misuse, PluginEnvironment
from goplugin.pluginlib._residents import Residents, note_services
from goplugin.pluginlib._services import RESIDENT, Directory
from goplugin.pluginlib._wire import entry, tell
from goplugin.proto import health, plugin
from goplugin.transport import Broker, PlainCarrier, Side, Workers


def details(path: str) -> Any:
    return SimpleNamespace(method=path, invocation_metadata=())


def test_a_service_is_built_when_it_is_first_asked_for_and_once() -> None:
    built: list[str] = []
    handler = object()

    def build() -> Any:
        built.append("s")
        return {"Do": handler}

    residents = Residents({"own.S": build})
    assert residents.service(details("/others.S/Do")) is None
    assert built == []
    assert residents.service(details("/own.S/Do")) is handler
    assert residents.service(details("/own.S/Undo")) is None
    residents.build("own.S")
    assert built == ["s"]


@pytest.fixture(autouse=True)
def nothing_left() -> None:
    """Nothing is started here, and grpcio keeps what a server has that was never started."""


@pytest.fixture
def server() -> grpc.Server:
    return grpc.server(Workers(1, "never"))


def test_generated_code_is_noticed(server: grpc.Server) -> None:
    directory = Directory()
    note_services(server, directory)
    kv_pb2_grpc.add_KVServicer_to_server(kv_pb2_grpc.KVServicer(), server)
    assert directory.names == (*RESIDENT, "proto.KV")


def test_a_service_that_is_only_registered_by_its_methods_is_noticed(server: grpc.Server) -> None:
    directory = Directory()
    note_services(server, directory)
    server.add_registered_method_handlers("only.Registered", {})
    assert "only.Registered" in directory.names


def test_a_handler_for_no_single_service_has_no_name(server: grpc.Server) -> None:
    class Anything(grpc.GenericRpcHandler):
        def service(self, handler_call_details: grpc.HandlerCallDetails) -> None:
            return None

    directory = Directory()
    note_services(server, directory)
    server.add_generic_rpc_handlers((Anything(),))
    assert directory.names == RESIDENT


def test_a_resident_service_is_refused_in_either_way(server: grpc.Server) -> None:
    note_services(server, Directory())
    with pytest.raises(Misuse, match="Health"):
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("grpc.health.v1.Health", {}),))
    with pytest.raises(Misuse, match="Health"):
        server.add_registered_method_handlers("grpc.health.v1.Health", {})


class Recording:
    """A server that only remembers what was added."""

    def __init__(self) -> None:
        self.added: list[Any] = []

    def add_generic_rpc_handlers(self, generic_rpc_handlers: Any) -> None:
        self.added.extend(generic_rpc_handlers)

    def add_registered_method_handlers(self, service_name: str, method_handlers: Any) -> None:
        self.added.append(method_handlers)


def test_handlers_are_adapted_in_either_way() -> None:
    def adapt(handler: Any) -> Any:
        return "adapted", handler

    server, handlers = Recording(), cast("Any", {"Do": "handler"})
    note_services(server, Directory(), adapt)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("a.S", handlers),))
    server.add_registered_method_handlers("a.S", handlers)
    generic, registered = server.added
    assert generic.service(details("/a.S/Do")) == ("adapted", "handler")
    assert generic.service(details("/a.S/Undo")) is None
    assert registered == {"Do": ("adapted", "handler")}


@pytest.mark.parametrize(
    ("method", "kind"),
    [
        (health.CHECK, (False, False)),
        (health.WATCH, (False, True)),
        (plugin.START_STREAM, (True, True)),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_a_handler_is_of_the_methods_kind(method: Any, kind: tuple[bool, bool]) -> None:
    name, handler = entry(method, print)
    assert name == method.name
    assert (handler.request_streaming, handler.response_streaming) == kind
    assert print in (handler.unary_unary, handler.unary_stream, handler.stream_stream)


def test_an_announcement_reaches_the_broker_and_a_bad_one_the_log(caplog: pytest.LogCaptureFixture) -> None:
    broker = Broker(Side.HOST, PlainCarrier(PluginEnvironment()), clock=lambda: 0.0)
    tell(broker, plugin.ConnInfo(service_id=5, network="unix", address="/a"))
    broker.dial(5, timeout=0).close()
    assert caplog.records == []
    tell(broker, plugin.ConnInfo(service_id=6, network="tcp", address="no port"))
    with pytest.raises(HostDialTimeout):
        broker.dial(6, timeout=0)
    [record] = caplog.records
    assert (record.levelname, record.__dict__["id"]) == ("WARNING", 6)
