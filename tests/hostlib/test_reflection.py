"""What a plugin says that it serves: real servers of both versions, and answers that make no sense."""

import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import grpc
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto, MethodDescriptorProto, ServiceDescriptorProto
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import HealthServicer
from grpc_reflection.v1alpha import reflection as v1alpha
from hypothesis import given
from hypothesis import strategies as st

from goplugin.handshake import PluginFault
from goplugin.hostlib._reflection import (
    SERVICES_MAX,
    V1,
    V1ALPHA,
    MethodInfo,
    NoReflection,
    ServiceInfo,
    described,
    list_services,
    listed,
)
from goplugin.proto import reflection as rf
from goplugin.transport import CHANNEL_OPTIONS, SERVER_OPTIONS, Workers

Answers = Callable[[Iterator[rf.ServerReflectionRequest]], Iterator[bytes]]
HEALTH = ServiceInfo(
    name="grpc.health.v1.Health",
    methods=(
        MethodInfo(
            name="Check",
            request="grpc.health.v1.HealthCheckRequest",
            response="grpc.health.v1.HealthCheckResponse",
            client_streaming=False,
            server_streaming=False,
        ),
        MethodInfo(
            name="List",
            request="grpc.health.v1.HealthListRequest",
            response="grpc.health.v1.HealthListResponse",
            client_streaming=False,
            server_streaming=False,
        ),
        MethodInfo(
            name="Watch",
            request="grpc.health.v1.HealthCheckRequest",
            response="grpc.health.v1.HealthCheckResponse",
            client_streaming=False,
            server_streaming=True,
        ),
    ),
)


class Scripted(grpc.GenericRpcHandler):
    """A server whose reflection answers as a test tells it to, and with whatever bytes."""

    def __init__(self, answers: dict[str, Answers]) -> None:
        self._answers = answers

    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> "grpc.RpcMethodHandler[rf.ServerReflectionRequest, bytes] | None":
        answers = self._answers.get(handler_call_details.method)
        if answers is None:
            return None

        def answer(requests: Iterator[rf.ServerReflectionRequest], context: grpc.ServicerContext) -> Iterator[bytes]:
            return answers(requests)

        return grpc.stream_stream_rpc_method_handler(answer, rf.ServerReflectionRequest.FromString, bytes)


@contextmanager
def serving(path: Path, prepare: Callable[[grpc.Server], object]) -> Generator[grpc.Channel]:
    workers = Workers(4, "test")
    server = grpc.server(workers, options=SERVER_OPTIONS)
    prepare(server)
    server.add_insecure_port(f"unix:{path}/s")
    server.start()
    with grpc.insecure_channel(f"unix:{path}/s", CHANNEL_OPTIONS) as channel:
        yield channel
    server.stop(0).wait(10)
    workers.shutdown()


def scripted(path: Path, answers: dict[str, Answers]) -> AbstractContextManager[grpc.Channel]:
    return serving(path, lambda server: server.add_generic_rpc_handlers((Scripted(answers),)))


def names(*services: str) -> bytes:
    listing = rf.ListServiceResponse(service=[rf.ServiceResponse(name=name) for name in services])
    return rf.ServerReflectionResponse(list_services_response=listing).SerializeToString()


def files(*descriptors: bytes) -> bytes:
    found = rf.FileDescriptorResponse(file_descriptor_proto=descriptors)
    return rf.ServerReflectionResponse(file_descriptor_response=found).SerializeToString()


def error(code: int, message: str) -> bytes:
    complaint = rf.ErrorResponse(error_code=code, error_message=message)
    return rf.ServerReflectionResponse(error_response=complaint).SerializeToString()


def each(listing: bytes, *definitions: bytes) -> Answers:
    """Answer the question for the services with `listing`, those for their files with `definitions`, in order."""

    def answers(requests: Iterator[rf.ServerReflectionRequest]) -> Iterator[bytes]:
        left = iter(definitions)
        for request in requests:
            yield listing if request.HasField("list_services") else next(left)

    return answers


def kv(package: str, *, method: str = "Get", request: str = ".a.Key") -> bytes:
    get = MethodDescriptorProto(name=method, input_type=request, output_type=".b.Value", client_streaming=True)
    service = ServiceDescriptorProto(name="KV", method=[get])
    return FileDescriptorProto(name="kv.proto", package=package, service=[service]).SerializeToString()


GET = MethodInfo(name="Get", request="a.Key", response="b.Value", client_streaming=True, server_streaming=False)


def test_a_server_that_knows_only_v1alpha_tells_its_services_and_methods(tmp_path: Path) -> None:
    def prepare(server: grpc.Server) -> None:
        health_pb2_grpc.add_HealthServicer_to_server(HealthServicer(), server)
        health = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name
        v1alpha.enable_server_reflection((health, v1alpha.SERVICE_NAME, "not.in.any.Pool"), server)

    with serving(tmp_path, prepare) as channel:
        health, mirror, unknown = list_services(channel, 60)
    assert health.methods is not None
    assert ServiceInfo(name=health.name, methods=tuple(sorted(health.methods, key=lambda m: m.name))) == HEALTH
    assert mirror.name == "grpc.reflection.v1alpha.ServerReflection"
    assert [method.kind for method in mirror.methods or ()] == ["bidirectional"]
    assert unknown == ServiceInfo(name="not.in.any.Pool", methods=None)


def test_v1_is_asked_before_v1alpha(tmp_path: Path) -> None:
    answers = {V1: each(names("one.KV"), files(kv("one"))), V1ALPHA: each(names("two.KV"), files(kv("two")))}
    with scripted(tmp_path, answers) as channel:
        assert list_services(channel, 60) == (ServiceInfo(name="one.KV", methods=(GET,)),)


def test_a_server_without_reflection_is_told_from_one_that_fails(tmp_path: Path) -> None:
    with scripted(tmp_path, {}) as channel, pytest.raises(NoReflection):
        list_services(channel, 60)


def test_a_server_that_serves_nothing_lists_nothing(tmp_path: Path) -> None:
    with scripted(tmp_path, {V1: each(names())}) as channel:
        assert list_services(channel, 60) == ()


def test_an_answer_that_does_not_come_ends_at_the_deadline(tmp_path: Path) -> None:
    over = threading.Event()

    def silence(requests: Iterator[rf.ServerReflectionRequest]) -> Iterator[bytes]:
        over.wait(30)
        yield names()

    with scripted(tmp_path, {V1: silence}) as channel:
        with pytest.raises(PluginFault, match="DEADLINE_EXCEEDED"):
            list_services(channel, timeout=0.2)
        over.set()


def test_a_stream_that_ends_early_is_a_fault(tmp_path: Path) -> None:
    def one_of_two(requests: Iterator[rf.ServerReflectionRequest]) -> Iterator[bytes]:
        yield names("a.A", "b.B") if next(requests).HasField("list_services") else files()

    with scripted(tmp_path, {V1: one_of_two}) as channel, pytest.raises(PluginFault, match="1 answers to 2"):
        list_services(channel, 60)


def test_a_flood_of_answers_is_not_read_to_its_end(tmp_path: Path) -> None:
    def flood(requests: Iterator[rf.ServerReflectionRequest]) -> Iterator[bytes]:
        while True:
            yield names()

    with scripted(tmp_path, {V1: flood}) as channel:
        assert list_services(channel, 60) == ()


def test_answers_beyond_the_limit_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("goplugin.hostlib._reflection.ANSWERS_MAX", 1000)
    answers = each(names("a.A", "b.B"), files(b"\x0a\x00" * 300), files(b"\x0a\x00" * 300))
    with scripted(tmp_path, {V1: answers}) as channel, pytest.raises(PluginFault, match="more than 1000 bytes"):
        list_services(channel, 60)


def test_a_file_that_came_with_an_earlier_answer_need_not_come_again() -> None:
    answers = [files(kv("b"), kv("a")), files()]
    assert described(["a.KV", "b.KV"], answers) == (
        ServiceInfo(name="a.KV", methods=(GET,)),
        ServiceInfo(name="b.KV", methods=(GET,)),
    )


def test_a_service_of_no_package_is_found() -> None:
    assert described(["KV"], [files(kv(""))]) == (ServiceInfo(name="KV", methods=(GET,)),)


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (b"\xff\xff", "no such message"),
        (b"", "with nothing"),
        (files(), "with file_descriptor_response"),
        (error(5, "\x1b[2Jno"), r'5: "\\x1b\[2Jno"'),
        (names("a.A", "\x1b[2J"), "a name that is none"),
        (names("a.A", ""), "a name that is none"),
        (names("a" * 1000), "a name that is none"),
        (names(*["a.A"] * (SERVICES_MAX + 1)), f"lists {SERVICES_MAX + 1} services"),
    ],
)
def test_a_listing_that_makes_no_sense_is_a_fault_of_the_plugin(answer: bytes, says: str) -> None:
    with pytest.raises(PluginFault, match=says):
        listed([answer])


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (b"\xff\xff", "no such message"),
        (b"", "with nothing"),
        (names(), "with list_services_response"),
        (files(b"\xff\xff"), "a file that"),
        (files(kv("a", method="\x1b[2J")), "a name that is none"),
        (files(kv("a", request="Key Value")), "a name that is none"),
        (files(kv("a", method="Gxt").replace(b"Gxt", b"G\xfft")), r'a name that is none: "G\\\\xfft"'),
    ],
)
def test_a_definition_that_makes_no_sense_is_a_fault_of_the_plugin(answer: bytes, says: str) -> None:
    with pytest.raises(PluginFault, match=says):
        described(["a.KV"], [answer])


def wire_noise() -> st.SearchStrategy[bytes]:
    """Bytes that often get far: wrapped as answers and as files."""
    return (
        st.binary(max_size=60)
        | st.binary(max_size=60).map(files)
        | st.lists(st.text(max_size=8)).map(lambda texts: names(*texts))
    )


def outcome(read: Callable[[], object]) -> str:
    try:
        return repr(read())
    except PluginFault as fault:
        return str(fault)


@given(st.lists(wire_noise(), min_size=1, max_size=4))
def test_any_answers_give_services_or_a_fault_that_is_safe_to_print(answers: Sequence[bytes]) -> None:
    assert outcome(lambda: listed(answers)).isprintable()
    assert outcome(lambda: described(["a.KV"], answers)).isprintable()
