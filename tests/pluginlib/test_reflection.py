"""Answers to reflection, from the private pool and from the default one, where an author's stubs lie."""

import subprocess
import sys

import kv_pb2
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool

from goplugin.pluginlib._reflection import Reflection
from goplugin.pluginlib._services import RESIDENT
from goplugin.proto.reflection import ExtensionRequest
from goplugin.proto.reflection import ServerReflectionRequest as Request
from goplugin.proto.reflection import ServerReflectionResponse as Response

NOT_FOUND, INVALID_ARGUMENT = 5, 3


@pytest.fixture(scope="module")
def core() -> Reflection:
    return Reflection([*RESIDENT, "proto.KV"])


def files(response: Response) -> list[str]:
    raw = response.file_descriptor_response.file_descriptor_proto
    return [FileDescriptorProto.FromString(file).name for file in raw]


def test_the_services_are_listed(core: Reflection) -> None:
    request = Request(host="h", list_services="*")
    response = core.answer(request)
    assert [service.name for service in response.list_services_response.service] == [*RESIDENT, "proto.KV"]
    assert (response.valid_host, response.original_request) == ("h", request)


@pytest.mark.parametrize("service", RESIDENT)
def test_every_resident_service_is_described(core: Reflection, service: str) -> None:
    response = core.answer(Request(file_containing_symbol=service))
    first = FileDescriptorProto.FromString(response.file_descriptor_response.file_descriptor_proto[0])
    assert [f"{first.package}.{found.name}" for found in first.service] == [service]


@pytest.mark.parametrize("symbol", ["proto.KV", "proto.KV.Get", "proto.GetRequest", "proto.GetRequest.key"])
def test_an_authors_symbol_is_found_in_the_default_pool(core: Reflection, symbol: str) -> None:
    assert files(core.answer(Request(file_containing_symbol=symbol)))[0] == kv_pb2.DESCRIPTOR.name


def test_a_file_comes_with_what_it_imports_once(core: Reflection) -> None:
    names = files(core.answer(Request(file_by_filename="plugin/grpc_stdio.proto")))
    assert names == ["plugin/grpc_stdio.proto", "google/protobuf/empty.proto"]


def extensible() -> DescriptorPool:
    pool = DescriptorPool()
    file = FileDescriptorProto(name="x.proto", package="x", syntax="proto2")
    file.message_type.add(name="Open").extension_range.add(start=100, end=200)
    for name, number in (("later", 150), ("sooner", 101)):
        file.extension.add(name=name, number=number, extendee=".x.Open", type=9, label=1)
    pool.AddSerializedFile(file.SerializeToString())
    return pool


def test_extensions_are_found_by_message_and_number() -> None:
    core = Reflection([], [DescriptorPool(), extensible()])
    wanted = ExtensionRequest(containing_type="x.Open", extension_number=150)
    assert files(core.answer(Request(file_containing_extension=wanted))) == ["x.proto"]
    numbers = core.answer(Request(all_extension_numbers_of_type="x.Open")).all_extension_numbers_response
    assert (numbers.base_type_name, list(numbers.extension_number)) == ("x.Open", [101, 150])


@pytest.mark.parametrize(
    "request_",
    [
        Request(file_by_filename="no.proto"),
        Request(file_containing_symbol="no.Symbol"),
        Request(file_containing_extension=ExtensionRequest(containing_type="x.Open", extension_number=199)),
        Request(file_containing_extension=ExtensionRequest(containing_type="no.Type", extension_number=1)),
        Request(all_extension_numbers_of_type="no.Type"),
    ],
    ids=str,
)
def test_what_nobody_knows_is_not_found(request_: Request) -> None:
    response = Reflection([], [extensible()]).answer(request_)
    assert response.error_response.error_code == NOT_FOUND
    assert response.original_request == request_


def test_a_request_for_nothing_is_an_answer_too(core: Reflection) -> None:
    assert core.answer(Request()).error_response.error_code == INVALID_ARGUMENT


def test_a_program_with_its_own_copy_of_the_older_version_is_served_from_that() -> None:
    program = """
from google.protobuf import descriptor_pb2, descriptor_pool
from grpc_tools import protoc
import pathlib, tempfile
copy = descriptor_pb2.FileDescriptorProto(name="their/reflection.proto", package="grpc.reflection.v1alpha")
copy.service.add(name="ServerReflection")
for name in ("ServerReflectionRequest", "ServerReflectionResponse", "ExtensionRequest", "FileDescriptorResponse",
             "ExtensionNumberResponse", "ListServiceResponse", "ServiceResponse", "ErrorResponse"):
    copy.message_type.add(name=name)
descriptor_pool.Default().AddSerializedFile(copy.SerializeToString())
from goplugin.pluginlib._reflection import Reflection, Request
answer = Reflection([]).answer(Request(file_containing_symbol="grpc.reflection.v1alpha.ServerReflection"))
found = answer.file_descriptor_response.file_descriptor_proto
print(descriptor_pb2.FileDescriptorProto.FromString(found[0]).name)
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (run.stdout, run.stderr) == ("their/reflection.proto\n", "")
