"""How the plugin's own services enter a grpcio server of either kind, and how the author's are noticed."""

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import grpc

from ._services import Directory, service_of

if TYPE_CHECKING:
    Handler: TypeAlias = grpc.RpcMethodHandler[Any, Any]
else:
    Handler = grpc.RpcMethodHandler  # generic in the stubs alone

Handlers: TypeAlias = Mapping[str, Handler]
"""By the name of the method."""


class Residents(grpc.GenericRpcHandler):
    """Finds the handlers of own services. Each service is built when it is first asked for: start-up pays for none."""

    def __init__(self, builders: Mapping[str, Callable[[], Handlers]]) -> None:
        self._builders = builders
        self._built: dict[str, Handlers] = {}

    def build(self, *services: str) -> None:
        """Build services ahead of the first call."""
        for service in services:
            if service not in self._built:
                self._built[service] = self._builders[service]()

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Handler | None:
        """Return the handler for a call, or None where the service is not ours."""
        service = service_of(handler_call_details.method)
        if service not in self._builders:
            return None
        self.build(service)
        return self._built[service].get(handler_call_details.method.rpartition("/")[2])


class Registering(Protocol):
    """What generated code calls on a server of either kind."""

    def add_generic_rpc_handlers(self, generic_rpc_handlers: Iterable[grpc.GenericRpcHandler]) -> None: ...

    def add_registered_method_handlers(self, service_name: str, method_handlers: Any) -> None: ...


class _Adapted(grpc.GenericRpcHandler):
    """A generic handler whose answers are adapted."""

    def __init__(self, inner: grpc.GenericRpcHandler, adapt: Callable[[Handler], Handler]) -> None:
        self._inner, self._adapt = inner, adapt

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Handler | None:
        found = self._inner.service(handler_call_details)
        return None if found is None else self._adapt(found)


def note_services(server: Registering, directory: Directory, adapt: Callable[[Handler], Handler] | None = None) -> None:
    """Let the directory know each service that is added to this server from now on; adapt its handlers.

    The author gets grpcio's own server, so everything that can be done with one works.
    """
    add_generic, add_registered = server.add_generic_rpc_handlers, server.add_registered_method_handlers

    def generic(generic_rpc_handlers: Iterable[grpc.GenericRpcHandler]) -> None:
        handlers = list(generic_rpc_handlers)
        for handler in handlers:
            # Only a handler that stands for one service has its name.
            if isinstance(handler, grpc.ServiceRpcHandler):
                directory.add(handler.service_name())
        add_generic(handlers if adapt is None else [_Adapted(handler, adapt) for handler in handlers])

    def registered(service_name: str, method_handlers: Handlers) -> None:
        # Generated code adds a service in both ways, the generic one first.
        directory.mention(service_name)
        add_registered(
            service_name,
            method_handlers if adapt is None else {name: adapt(handler) for name, handler in method_handlers.items()},
        )

    vars(server).update(add_generic_rpc_handlers=generic, add_registered_method_handlers=registered)
