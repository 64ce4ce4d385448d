"""What the plugin answers to gRPC server reflection. Imported when first asked.

Both versions of the service are the same on the wire, so one set of messages and one core answer both. The files
come from goplugin's private pool and from protobuf's default one, where generated code of the author's lies.
"""

import importlib
from collections.abc import Callable, Iterable

from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pool import Default, DescriptorPool

from ..proto import health as health  # the descriptors of these two are answers too
from ..proto import plugin as plugin
from ..proto import reflection
from ..proto.reflection import ServerReflectionRequest as Request
from ..proto.reflection import ServerReflectionResponse as Response

# grpc.StatusCode's numbers, as the service itself carries them.
_INVALID_ARGUMENT, _NOT_FOUND = 3, 5

# Its descriptors lie in the default pool once it is imported; nothing else of it is used.
_ALPHA = "grpc_reflection.v1alpha.reflection_pb2"


class Reflection:
    """Answers about the services that are named, and all that the pools know."""

    def __init__(self, services: Iterable[str], pools: Iterable[DescriptorPool] | None = None) -> None:
        self._services = tuple(services)
        if pools is None:
            _describe_alpha()
            pools = (reflection.POOL, Default())
        self._pools = tuple(pools)

    def answer(self, request: Request) -> Response:
        """Return the answer to one request; what is unknown is an answer too."""
        response = Response(valid_host=request.host, original_request=request)
        match request.WhichOneof("message_request"):
            case "list_services":
                response.list_services_response.service.extend(
                    reflection.ServiceResponse(name=name) for name in self._services
                )
            case "file_by_filename":
                self._files(response, lambda pool: pool.FindFileByName(request.file_by_filename))
            case "file_containing_symbol":
                self._files(response, lambda pool: _symbol(pool, request.file_containing_symbol))
            case "file_containing_extension":
                wanted = request.file_containing_extension
                self._files(response, lambda pool: _extension(pool, wanted.containing_type, wanted.extension_number))
            case "all_extension_numbers_of_type":
                self._extensions(response, request.all_extension_numbers_of_type)
            case _:
                _refuse(response, _INVALID_ARGUMENT, "the request asks for nothing")
        return response

    def _files(self, response: Response, find: Callable[[DescriptorPool], FileDescriptor]) -> None:
        for pool in self._pools:
            try:
                found = find(pool)
            except KeyError:
                continue
            files = _with_imports(found)
            response.file_descriptor_response.file_descriptor_proto.extend(file.serialized_pb for file in files)
            return
        _refuse(response, _NOT_FOUND, "not found")

    def _extensions(self, response: Response, name: str) -> None:
        for pool in self._pools:
            try:
                message = pool.FindMessageTypeByName(name)
            except KeyError:
                continue
            numbers = sorted(extension.number for extension in pool.FindAllExtensions(message))
            response.all_extension_numbers_response.base_type_name = name
            response.all_extension_numbers_response.extension_number.extend(numbers)
            return
        _refuse(response, _NOT_FOUND, "not found")


def _describe_alpha() -> None:
    try:
        importlib.import_module(_ALPHA)
    except TypeError:
        pass  # the program has a copy of that file in the default pool, which describes the same


def _symbol(pool: DescriptorPool, name: str) -> FileDescriptor:
    try:
        return pool.FindFileContainingSymbol(name)
    except KeyError:
        # The only kind of symbol that protobuf does not look for there, while Go does.
        return pool.FindMethodByName(name).containing_service.file


def _extension(pool: DescriptorPool, message: str, number: int) -> FileDescriptor:
    extension = pool.FindExtensionByNumber(pool.FindMessageTypeByName(message), number)
    return pool.FindFileContainingSymbol(extension.full_name)


def _with_imports(file: FileDescriptor) -> list[FileDescriptor]:
    """Return the file and all that it imports, itself first."""
    found = {file.name: file}
    queue = [file]
    for next_file in queue:
        for imported in next_file.dependencies:
            if imported.name not in found:
                found[imported.name] = imported
                queue.append(imported)
    return queue


def _refuse(response: Response, code: int, message: str) -> None:
    response.error_response.error_code = code
    response.error_response.error_message = message
