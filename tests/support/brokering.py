"""What host and plugin serve and call over brokered connections in tests: one method, bytes to bytes."""

import threading
import time
from typing import Any

import grpc

METHOD = "/test.Brokered/Ask"


def asked(channel: Any) -> Any:
    """Return the callable of the method."""
    return channel.unary_unary(METHOD)


class Answers(grpc.GenericRpcHandler):
    """Answers with a word and what it was asked. For servers of both shells."""

    def __init__(self, word: bytes, seconds: float = 0.0) -> None:
        self._word, self._seconds = word, seconds
        self.begun = threading.Semaphore(0)
        """Released whenever a call begins."""

    def service(self, handler_call_details: Any) -> "grpc.RpcMethodHandler[Any, Any] | None":
        """Find the handler of the method."""
        return grpc.unary_unary_rpc_method_handler(self._answer) if handler_call_details.method == METHOD else None

    def _answer(self, request: bytes, _: Any) -> bytes:
        self.begun.release()
        time.sleep(self._seconds)
        return self._word + b" " + request

    def register(self, server: Any) -> None:
        """Add it to a server."""
        server.add_generic_rpc_handlers((self,))
