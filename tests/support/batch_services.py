"""Batch plugins for tests that answer just as they are told, well or badly, served in either way.

A program defines a class with a method for each RPC that it answers, `init(request)` and so on, and calls `serve`.
What it does not define is answered with an empty response.
"""

import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import grpc

from goplugin import pluginlib
from goplugin.batch import HANDSHAKE
from goplugin.proto import redpanda
from goplugin.proto.rpc import Service

KINDS = {"input": redpanda.BATCH_INPUT, "processor": redpanda.BATCH_PROCESSOR, "output": redpanda.BATCH_OUTPUT}
NAMES = {"ReadBatch": "read", "ProcessBatch": "process"}


def _answer(answer: Callable[[Any], Any] | None, empty: Callable[[], Any], request: Any, _context: object) -> Any:
    return empty() if answer is None else answer(request)


def add(service: Service, answers: object, server: grpc.Server) -> None:
    handlers: dict[str, Any] = {}
    for method in service.methods:
        name = NAMES.get(method.name, method.name.lower())
        handlers[method.name] = grpc.unary_unary_rpc_method_handler(
            partial(_answer, getattr(answers, name, None), method.response),
            request_deserializer=method.request_from,
            response_serializer=method.response_bytes,
        )
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service.name, handlers),))


def serve(kind: str, answers: object) -> None:
    """Serve as a go-plugin plugin, or as Redpanda's SDKs do where the first argument says so."""
    if sys.argv[1:2] != ["redpanda"]:
        pluginlib.serve(HANDSHAKE, plugins={kind: lambda server, _broker: add(KINDS[kind], answers, server)})
        return
    print("Successfully loaded Redpanda Connect RPC plugin", flush=True)
    server = grpc.server(ThreadPoolExecutor(8))
    add(KINDS[kind], answers, server)
    server.add_insecure_port(os.environ["REDPANDA_CONNECT_PLUGIN_ADDRESS"])
    server.start()
    server.wait_for_termination()


def notes(here: Path) -> list[str]:
    """Return what such a plugin noted in the file of that name, in all its lives."""
    return (here / "notes").read_text().splitlines()
