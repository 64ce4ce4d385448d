"""What host and plugin serve and call over brokered connections in tests: one method, bytes to bytes."""

import os
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import grpc

if TYPE_CHECKING:
    from goplugin.transport._broker import Ledger
    from goplugin.transport._knocks import Turn
    from goplugin.transport.multiplex import Multiplexer

METHOD = "/test.Brokered/Ask"


def asked(channel: Any) -> Any:
    """Return the callable of the method."""
    return channel.unary_unary(METHOD)


def dialled(broker: Any) -> list[int]:
    """Return the ids for which dials of a broker, of either shell, are waiting."""
    ledger: Ledger = getattr(broker, "_ledger")  # noqa: B009 - it is nobody else's business
    multiplexer: Multiplexer | None = getattr(broker, "_multiplexing")  # noqa: B009
    if multiplexer is None:
        return [*getattr(ledger, "_dials")]  # noqa: B009
    queue: list[Turn[Any]] = [*getattr(getattr(multiplexer, "_turns"), "_queue")]  # noqa: B009
    return [turn.id for turn in queue if turn.outcome is None and turn.id is not None]


def descriptors() -> int:
    """Return how many descriptors this process has."""
    return len(os.listdir("/proc/self/fd"))


def relayed() -> bool:
    """Return whether anything in this process goes over a relay, which has a thread."""
    return "goplugin-relay" in {thread.name for thread in threading.enumerate()}


@contextmanager
def lying(broker: Any, how: str) -> Generator[None]:
    """Let a broker of either shell serve in ``"plain text"`` in spite of AutoMTLS, with ``"another key"``, or well."""
    if not how:
        yield
        return
    from unittest.mock import patch

    from foreign_certificates import Foreign

    from goplugin.transport import PlainCarrier
    from goplugin.transport.multiplex import Multiplexer
    from goplugin.transport.tls import MutualTls, TlsCarrier

    lie: Any
    carrier: Any = broker._carrier
    tls = MutualTls(Foreign.make("P-256").identity, carrier._tls._peer) if how == "another key" else None
    if isinstance(carrier, Multiplexer):
        lie = patch.object(carrier, "_tls", tls)
    elif tls is None:
        lie = patch.object(broker, "_carrier", PlainCarrier(carrier._asked, carrier._network))
    else:
        lie = patch.object(broker, "_carrier", TlsCarrier(tls, print, carrier._asked, carrier._network))
    with lie:
        yield


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
