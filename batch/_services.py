"""Which service belongs to which kind of component. Imported once a host has started us."""

from collections.abc import Callable
from typing import assert_never

import grpc

from ._component import Component
from ._service import Service


def added(component: Component, server: grpc.Server, changed: Callable[[bool], None] = lambda _: None) -> Service:
    """Let ``server`` answer for ``component``, and return its service; ``changed`` as `Service` takes it."""
    service = _kind(component)(component, changed)
    name, entries = service.entries()
    handlers = {
        one.name: grpc.unary_unary_rpc_method_handler(
            one.behaviour, request_deserializer=one.request_from, response_serializer=one.response_bytes
        )
        for one in entries
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, handlers),))
    return service


def _kind(component: Component) -> type[Service]:
    # Each is imported where it is used alone: what a plugin imports, it starts later by.
    match component.kind:
        case "input":
            from ._input_service import InputService

            return InputService
        case "processor":
            from ._processor_service import ProcessorService

            return ProcessorService
        case "output":
            from ._output_service import OutputService

            return OutputService
        case _:
            assert_never(component.kind)
