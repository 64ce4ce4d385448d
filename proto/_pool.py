"""The room's own descriptor pool, and how a generated module enters it.

Programs often carry another copy of these definitions, copied from a tutorial or installed with a package. Two
copies in protobuf's default pool raise `TypeError: duplicate symbol`; a pool of our own cannot meet them, whoever
is imported first. Never adds anything to the default pool.
"""

from typing import cast

from google.protobuf.descriptor import Descriptor, FileDescriptor
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.reflection import GeneratedProtocolMessageType

POOL = DescriptorPool()


def adopt(known: FileDescriptor) -> None:
    """Make a well-known file (google/protobuf/*.proto) importable by the files of this pool."""
    POOL.AddSerializedFile(known.serialized_pb)


def publish(file: FileDescriptor, module: dict[str, object]) -> None:
    """Put the classes, enums and services of `file` into the namespace of its generated module.

    protobuf's own builder does this too, but records every class in the default symbol database as well, which
    under the pure Python implementation is the default pool.
    """
    for name, enum in file.enum_types_by_name.items():
        module["_" + name.upper()] = enum
        module[name] = EnumTypeWrapper(enum)
        module.update((value.name, value.number) for value in enum.values)
    for name, service in file.services_by_name.items():
        module["_" + name.upper()] = service
    for name, message in file.message_types_by_name.items():
        module[name] = _class(message, str(module["__name__"]), "")


def _class(message: Descriptor, module: str, outer: str) -> type[Message]:
    name = outer + message.name
    nested = {inner.name: _class(inner, module, name + ".") for inner in message.nested_types}
    namespace = {"DESCRIPTOR": message, "__module__": module, "__qualname__": name}
    return cast("type[Message]", GeneratedProtocolMessageType(message.name, (Message,), namespace | nested))


def known(name: str) -> type[Message]:
    """Return the class of a message that a well-known file defines, as this pool has it."""
    return GetMessageClass(POOL.FindMessageTypeByName(name))
