"""A component served over a real gRPC connection in the test's own process, and asked as a host in Go asks it."""

import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import grpc
from google.protobuf.message import Message as WireMessage

from goplugin.batch import Value
from goplugin.batch._component import component_of
from goplugin.batch._services import added
from goplugin.batch._value import write_value
from goplugin.proto import redpanda
from goplugin.proto.rpc import Method
from goplugin.transport import CHANNEL_OPTIONS, Workers, server_arguments

LIMIT = 20.0  # seconds for one call, whatever it is

_Req = TypeVar("_Req", bound=WireMessage)
_Res = TypeVar("_Res", bound=WireMessage)


class Served:
    """Use it as a context; its calls are those of the full schema, which a Go host speaks."""

    def __init__(self, target: object) -> None:
        self._target = target

    def __enter__(self) -> Self:
        self._directory = tempfile.mkdtemp(dir=None)
        path = f"unix:{self._directory}/s"
        self._workers = Workers(40, "test-call")
        self._server = grpc.server(self._workers, options=server_arguments(()))
        self.service: Any = added(component_of(self._target), self._server)
        self._server.add_insecure_port(path)
        self._server.start()
        self.channel = grpc.insecure_channel(path, CHANNEL_OPTIONS)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.channel.close()
        self.service.leave()
        self._server.stop(0).wait(LIMIT)
        self._workers.shutdown()
        Path(self._directory).rmdir()

    def begin(self, method: Method[_Req, _Res], request: Any = None, timeout: float = LIMIT) -> Any:
        """Begin a call and return its future."""
        call = self.channel.unary_unary(method.path, method.request_bytes, method.response_from)
        return call.future(method.request() if request is None else request, timeout=timeout)

    def call(self, method: Method[_Req, _Res], request: Any = None) -> _Res:
        """Call a method, with an empty request unless one is given."""
        response: _Res = self.begin(method, request).result()
        return response

    def good(self, method: Method[_Req, _Res], request: Any = None) -> _Res:
        """Call a method that must succeed."""
        response: Any = self.call(method, request)
        assert response.error == redpanda.Error()
        found: _Res = response
        return found

    def init(self, method: Method[_Req, _Res], config: Value = None) -> _Res:
        """Call Init, with a configuration if one is given."""
        request: Any = method.request()
        if config is not None:
            write_value(request.config, config)
        return self.call(method, request)


def waited(condition: Callable[[], bool], events: threading.Condition) -> None:
    """Wait until ``condition`` holds."""
    with events:
        assert events.wait_for(condition, LIMIT)
