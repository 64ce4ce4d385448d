"""Asks a plugin what it serves, by gRPC server reflection, and reads its answers. Never trusts them.

What comes back is a stranger's bytes: each answer is parsed here, its names are checked to be names, and all of it has
a limit. So whatever a plugin answers, the result is safe to print, or there is an error that says what was wrong.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Literal

import grpc
from google.protobuf.descriptor_pb2 import FileDescriptorProto, MethodDescriptorProto, ServiceDescriptorProto
from google.protobuf.message import DecodeError

from ..handshake import PluginFault, PluginLost, quoted
from ..proto import reflection

V1 = reflection.SERVER_REFLECTION_INFO.path
V1ALPHA = V1.replace(".v1.", ".v1alpha.")  # the same messages under an older name: all that old servers know

SERVICES_MAX = 1000  # a plugin has ten or so, the largest API of a cloud a few hundred
ANSWERS_MAX = 64 * 1024 * 1024  # bytes in all; some servers repeat every imported file in every answer
NAME_MAX = 512  # characters; nothing defines a limit, and nobody writes a longer one

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*")


class NoReflection(PluginFault):
    """The plugin serves no reflection, neither v1 nor v1alpha: go-plugin 1.0 did not have it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodInfo:
    """A method that a plugin serves.

    Attributes:
        name: within its service, such as ``"Get"``.
        request, response: the full names of its message types, such as ``"proto.GetRequest"``.
        client_streaming, server_streaming: whether it takes or gives a stream of them.
    """

    name: str
    request: str
    response: str
    client_streaming: bool
    server_streaming: bool

    @property
    def kind(self) -> Literal["unary", "server streaming", "client streaming", "bidirectional"]:
        """Its streaming kind, as gRPC names it."""
        if self.client_streaming:
            return "bidirectional" if self.server_streaming else "client streaming"
        return "server streaming" if self.server_streaming else "unary"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceInfo:
    """A service that a plugin serves.

    Attributes:
        name: its full name, such as ``"proto.KV"``.
        methods: in the order of its definition; None where the plugin does not know its definition.
    """

    name: str
    methods: tuple[MethodInfo, ...] | None


def list_services(channel: grpc.Channel, timeout: float = 5.0) -> tuple[ServiceInfo, ...]:
    """Return the services behind ``channel``, sorted by name, within ``timeout`` seconds.

    Raises:
        NoReflection: it serves none.
        PluginLost: the plugin has ended.
        PluginFault: it did not answer in time, or what it answered makes no sense.
    """
    limit = monotonic() + timeout
    for path in (V1, V1ALPHA):
        try:
            names = listed(_ask(channel, path, [reflection.ServerReflectionRequest(list_services="*")], limit))
            questions = [reflection.ServerReflectionRequest(file_containing_symbol=name) for name in names]
            return described(names, _ask(channel, path, questions, limit))
        except PluginLost:
            raise
        except grpc.RpcError as error:
            if error.code() is not grpc.StatusCode.UNIMPLEMENTED:
                why = f"{error.code().name}: {quoted(error.details() or '')}"
                raise PluginFault(f"the plugin did not answer reflection: {why}") from error
    raise NoReflection("the plugin serves no reflection, so its services are not known")


def listed(answers: Sequence[bytes]) -> tuple[str, ...]:
    """Return the names of services in the answer to ``list_services``, sorted.

    Raises:
        PluginFault: it is no such answer.
    """
    answer = _parsed(answers[0])
    match answer.WhichOneof("message_response"):
        case "list_services_response":
            services = answer.list_services_response.service
        case "error_response":
            raise PluginFault(f"the plugin does not list its services: {_complaint(answer)}")
        case other:
            raise PluginFault(f"the plugin answered the question for its services with {other or 'nothing'}")
    if len(services) > SERVICES_MAX:
        raise PluginFault(f"the plugin lists {len(services)} services; the limit is {SERVICES_MAX}")
    return tuple(sorted({_name(service.name) for service in services}))


def described(names: Iterable[str], answers: Iterable[bytes]) -> tuple[ServiceInfo, ...]:
    """Return the services of these names, given the answers to the questions for the files that define them.

    An answer may leave out a file that an earlier one brought, so all of them make one collection. Where it is an
    error, the plugin does not know the definition.

    Raises:
        PluginFault: something in the answers is not what it should be.
    """
    found: dict[str, ServiceDescriptorProto] = {}
    for raw in answers:
        answer = _parsed(raw)
        match answer.WhichOneof("message_response"):
            case "file_descriptor_response":
                for file in map(_file, answer.file_descriptor_response.file_descriptor_proto):
                    found.update((f"{file.package}.{s.name}".removeprefix("."), s) for s in file.service)
            case "error_response":
                pass
            case other:
                raise PluginFault(f"the plugin answered the question for a file with {other or 'nothing'}")
    return tuple(
        ServiceInfo(name=name, methods=tuple(map(_method, found[name].method)) if name in found else None)
        for name in names
    )


def _ask(
    channel: grpc.Channel, path: str, questions: Sequence[reflection.ServerReflectionRequest], limit: float
) -> list[bytes]:
    """Return one answer to each question, unparsed: grpc would log a traceback for bytes that do not parse."""
    if not questions:
        return []
    method = channel.stream_stream(path, reflection.ServerReflectionRequest.SerializeToString, bytes)
    call = method(iter(questions), timeout=max(0.0, limit - monotonic()))
    try:
        answers = list(_bounded(call, len(questions)))
    finally:
        call.cancel()
    if len(answers) < len(questions):
        raise PluginFault(f"the plugin gave {len(answers)} answers to {len(questions)} questions of reflection")
    return answers


def _bounded(answers: Iterator[bytes], count: int) -> Iterator[bytes]:
    size = 0
    for _, answer in zip(range(count), answers, strict=False):
        size += len(answer)
        if size > ANSWERS_MAX:
            raise PluginFault(f"the plugin's reflection answers with more than {ANSWERS_MAX} bytes")
        yield answer


def _parsed(raw: bytes) -> reflection.ServerReflectionResponse:
    try:
        return reflection.ServerReflectionResponse.FromString(raw)
    except DecodeError:
        raise PluginFault(f"the plugin's answer to reflection is no such message: {quoted(raw)}") from None


def _file(raw: bytes) -> FileDescriptorProto:
    try:
        return FileDescriptorProto.FromString(raw)
    except DecodeError:
        raise PluginFault(f"a file that the plugin's reflection brought is none: {quoted(raw)}") from None


def _method(method: MethodDescriptorProto) -> MethodInfo:
    return MethodInfo(
        name=_name(method.name),
        request=_name(method.input_type, "."),
        response=_name(method.output_type, "."),
        client_streaming=method.client_streaming,
        server_streaming=method.server_streaming,
    )


def _name(text: object, prefix: str = "") -> str:
    # Where a descriptor's text is no UTF-8, protobuf gives bytes, whatever its types say.
    name = text.removeprefix(prefix) if isinstance(text, str) else ""
    if len(name) > NAME_MAX or not _NAME.fullmatch(name):
        shown = quoted(text) if isinstance(text, str | bytes) else repr(text)
        raise PluginFault(f"the plugin's reflection gives a name that is none: {shown}")
    return name


def _complaint(answer: reflection.ServerReflectionResponse) -> str:
    error = answer.error_response
    return f"{error.error_code}: {quoted(error.error_message)}"
