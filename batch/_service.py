"""BatchProcessorService on top of one processor: what its calls answer. Imported once a host has started us."""

import logging
import threading
from collections.abc import Callable, Iterable
from typing import Any, TypeVar, cast

import grpc
from google.protobuf.message import Message as WireMessage

from ..handshake import Misuse
from ..proto import redpanda
from ..proto.rpc import Method
from ._errors import BadValue
from ._message import Message
from ._processor import Config, Processor, Step
from ._value import read_value

_Req = TypeVar("_Req", bound=WireMessage)
_Res = TypeVar("_Res", bound=WireMessage)

_log = logging.getLogger("goplugin.batch")
_RETURNS = "a processor returns a Message, several of them, or None"
_NOT_OPEN = "this processor is not initialised: Init comes before ProcessBatch, and nothing after Close"


class ProcessorService:
    """Answers Init, ProcessBatch and Close.

    One batch at a time, whatever the host does, so a processor need not be safe for threads. A new Init replaces the
    processor made by the last one. No method raises for what a processor does: errors travel in the responses.
    """

    def __init__(self, processor: Processor[..., object]) -> None:
        self._processor = processor
        self._lock = threading.Lock()
        self._step: Step | None = None
        self._close: Callable[[], None] = lambda: None
        self._told = False

    def init(self, request: redpanda.BatchProcessorInitRequest) -> redpanda.BatchProcessorInitResponse:
        """Make the processor; what its constructor raises is the error."""
        response = redpanda.BatchProcessorInitResponse()
        with self._lock:
            try:
                self._end()
                self._step, self._close = self._processor.open(_config(request))
            except (Exception, SystemExit) as error:  # noqa: BLE001 - it belongs to the host, in the response
                _log.debug("Init failed", exc_info=True)
                response.error.message = _spelled(error)
        return response

    def process(
        self, request: redpanda.BatchProcessorProcessBatchRequest
    ) -> redpanda.BatchProcessorProcessBatchResponse:
        """Process every message of the batch into one batch, or into none where all were dropped."""
        response = redpanda.BatchProcessorProcessBatchResponse()
        with self._lock:
            if self._step is None:
                response.error.message = _NOT_OPEN
                return response
            done = response.batches.add()
            for message, origin in zip(Message.from_wire(request.batch), request.batch.messages, strict=True):
                self._apply(self._step, message, origin, done)
        if not done.messages:
            del response.batches[:]
        return response

    def close(self) -> redpanda.BatchProcessorCloseResponse:
        """End the processor's work; what its ``close()`` raises is the error."""
        response = redpanda.BatchProcessorCloseResponse()
        with self._lock:
            try:
                self._end()
            except (Exception, SystemExit) as error:  # noqa: BLE001 - as in init
                _log.debug("Close failed", exc_info=True)
                response.error.message = _spelled(error)
        return response

    def _end(self) -> None:
        close, self._close, self._step = self._close, lambda: None, None
        close()

    def _apply(self, step: Step, message: Message, origin: redpanda.Message, done: redpanda.MessageBatch) -> None:
        start = len(done.messages)
        try:
            result = step(message)
            if type(result) is Message:
                result.to_wire(done.messages.add())
            elif result is not None:
                for part in _parts(result):
                    part.to_wire(done.messages.add())
        except (Exception, SystemExit) as error:  # noqa: BLE001 - one bad message must not hurt its batch
            # What it made so far, perhaps half written, gives way to the message as it came.
            del done.messages[start:]
            failed = done.messages.add()
            failed.CopyFrom(origin)
            failed.error.Clear()
            failed.error.message = _spelled(error)
            if not self._told:
                # One traceback serves the author; a million would bury the host's log.
                self._told = True
                _log.warning(
                    "%s failed on a message; later failures are not logged", self._processor.name, exc_info=True
                )


def add_to_server(service: ProcessorService, server: grpc.Server) -> None:
    """Let ``server`` answer with ``service``."""
    handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
        redpanda.PROCESSOR_INIT.name: _handler(redpanda.PROCESSOR_INIT, service.init),
        redpanda.PROCESSOR_PROCESS_BATCH.name: _handler(redpanda.PROCESSOR_PROCESS_BATCH, service.process),
        redpanda.PROCESSOR_CLOSE.name: _handler(redpanda.PROCESSOR_CLOSE, lambda _: service.close()),
    }
    generic = grpc.method_handlers_generic_handler(redpanda.BATCH_PROCESSOR.name, handlers)
    server.add_generic_rpc_handlers((generic,))


def _handler(method: Method[_Req, _Res], answer: Callable[[_Req], _Res]) -> "grpc.RpcMethodHandler[_Req, _Res]":
    def behaviour(request: _Req, _context: grpc.ServicerContext) -> _Res:
        return answer(request)

    return grpc.unary_unary_rpc_method_handler(
        behaviour, request_deserializer=method.request_from, response_serializer=method.response_bytes
    )


def _parts(result: object) -> Iterable[Message]:
    kind = type(result).__name__
    if not isinstance(result, Iterable) or isinstance(result, str | bytes | dict):
        raise TypeError(f"{_RETURNS}, not {kind}")
    for part in cast("Iterable[object]", result):
        if not isinstance(part, Message):
            raise TypeError(f"{_RETURNS}, not an iterable of {type(part).__name__}")
        yield part


def _config(request: redpanda.BatchProcessorInitRequest) -> Config:
    if not request.HasField("config"):
        return {}
    config = read_value(request.config)
    if config is None:
        return {}
    if not isinstance(config, dict):
        raise BadValue(got=f"a configuration that is a {type(config).__name__}", want="a dict")
    return config


def _spelled(error: BaseException) -> str:
    """Return the text of an error, never empty: on the wire an empty one means success."""
    if isinstance(error, (BadValue, Misuse)):
        return str(error)
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
