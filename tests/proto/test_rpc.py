"""The tables say what the definitions say, and a record is enough to serve and to call a method."""

from concurrent import futures
from pathlib import Path
from types import ModuleType

import grpc
import pytest
from google.protobuf.descriptor import FileDescriptor, ServiceDescriptor
from google.protobuf.message import DecodeError, Message

from goplugin.proto import health, plugin, redpanda, reflection
from goplugin.proto.reflection import POOL
from goplugin.proto.rpc import Method, Service

DEFINITIONS = Path(__file__).parents[2] / "proto" / "definitions"
PARTS: list[tuple[ModuleType, str]] = [
    (plugin, "plugin"),
    (redpanda, "redpanda/runtime/v1alpha1"),
    (health, "grpc/health/v1"),
    (reflection, "grpc/reflection/v1"),
]


def files(folder: str) -> list[FileDescriptor]:
    paths = (DEFINITIONS / folder).glob("*.proto")
    return [POOL.FindFileByName(path.relative_to(DEFINITIONS).as_posix()) for path in paths]


def defined(folder: str) -> dict[str, ServiceDescriptor]:
    return {s.full_name: s for file in files(folder) for s in file.services_by_name.values()}


def public(part: ModuleType) -> dict[str, object]:
    return {name: getattr(part, name) for name in part.__all__}


def services(part: ModuleType) -> list[Service]:
    return [value for value in public(part).values() if isinstance(value, Service)]


@pytest.mark.parametrize(("part", "folder"), PARTS)
def test_every_service_has_one_table(part: ModuleType, folder: str) -> None:
    assert sorted(service.name for service in services(part)) == sorted(defined(folder))


@pytest.mark.parametrize(("part", "folder"), PARTS)
def test_a_table_holds_every_method_as_it_is_defined(part: ModuleType, folder: str) -> None:
    for service in services(part):
        table = [
            (m.path, m.request.DESCRIPTOR, m.response.DESCRIPTOR, m.client_streaming, m.server_streaming)
            for m in service.methods
        ]
        assert table == [
            (f"/{service.name}/{m.name}", m.input_type, m.output_type, m.client_streaming, m.server_streaming)
            for m in defined(folder)[service.name].methods
        ]


@pytest.mark.parametrize(("part", "folder"), PARTS)
def test_every_public_method_is_in_a_table(part: ModuleType, folder: str) -> None:
    named = [value.path for value in public(part).values() if isinstance(value, Method)]
    assert sorted(named) == sorted(method.path for service in services(part) for method in service.methods)


@pytest.mark.parametrize(("part", "folder"), PARTS)
def test_every_message_is_public(part: ModuleType, folder: str) -> None:
    messages = {name for file in files(folder) for name in file.message_types_by_name}
    assert messages <= set(part.__all__)


def test_a_method_knows_its_name() -> None:
    assert redpanda.PROCESSOR_PROCESS_BATCH.name == "ProcessBatch"


def test_bytes_that_are_no_message_are_refused() -> None:
    with pytest.raises(DecodeError):
        plugin.START_STREAM.request_from(b"\xff")
    with pytest.raises(DecodeError):
        plugin.STREAM_STDIO.response_from(b"\xff")


def test_a_record_is_enough_to_serve_and_to_call() -> None:
    method = redpanda.PROCESSOR_INIT
    seen: list[Message] = []

    def init(
        request: redpanda.BatchProcessorInitRequest, _: grpc.ServicerContext
    ) -> redpanda.BatchProcessorInitResponse:
        seen.append(request)
        return redpanda.BatchProcessorInitResponse(error=redpanda.Error(message="no"))

    handler = grpc.unary_unary_rpc_method_handler(
        init, request_deserializer=method.request_from, response_serializer=method.response_bytes
    )
    server = grpc.server(futures.ThreadPoolExecutor(1))
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(redpanda.BATCH_PROCESSOR.name, {method.name: handler}),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            call = channel.unary_unary(
                method.path,
                request_serializer=method.request_bytes,
                response_deserializer=method.response_from,
            )
            request = redpanda.BatchProcessorInitRequest(config=redpanda.Value(string_value="a"))
            assert call(request, timeout=10).error.message == "no"
        assert seen == [request]
    finally:
        server.stop(None).wait(10)
