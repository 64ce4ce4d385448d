"""The records that describe a service: enough to build a server or a client, sync or asyncio, without stubs.

Never imports grpc. A caller:

    channel.unary_unary(m.path, request_serializer=m.request_bytes, response_deserializer=m.response_from)

and a server:

    grpc.unary_unary_rpc_method_handler(
        answer, request_deserializer=m.request_from, response_serializer=m.response_bytes
    )
"""

from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

from google.protobuf.message import Message

__all__ = ["Method", "Service"]

# Covariant although the serializers take a message: at run time each of them takes any message at all. So a
# table can hold methods of different types as Method[Message, Message].
Req = TypeVar("Req", bound=Message, covariant=True)
Res = TypeVar("Res", bound=Message, covariant=True)


class Method(NamedTuple, Generic[Req, Res]):
    """One method of a service, with the classes of its messages.

    Two records may share a path and differ in their classes: one method under two schemas that agree on the wire.
    """

    path: str
    """As gRPC sends it: `/package.Service/Method`."""
    request: type[Req]
    response: type[Res]
    client_streaming: bool = False
    server_streaming: bool = False

    @property
    def name(self) -> str:
        """The last part of the path, which names the method within its service."""
        return self.path.rpartition("/")[2]

    @property
    def request_bytes(self) -> Callable[[Req], bytes]:
        """Serializes a request."""
        return self.request.SerializeToString

    @property
    def request_from(self) -> Callable[[bytes], Req]:
        """Parses a request; raises `google.protobuf.message.DecodeError`."""
        return self.request.FromString

    @property
    def response_bytes(self) -> Callable[[Res], bytes]:
        """Serializes a response."""
        return self.response.SerializeToString

    @property
    def response_from(self) -> Callable[[bytes], Res]:
        """Parses a response; raises `google.protobuf.message.DecodeError`."""
        return self.response.FromString


class Service(NamedTuple):
    """A service by its full name, and all its methods."""

    name: str
    """As reflection and health checks know it: `package.Service`."""
    methods: tuple[Method[Message, Message], ...]
