"""The connection to one plugin: the channel, and the two streams that a host keeps open on it. Starts no process.

The broker's stream and StreamStdio are opened as soon as the plugin answers: a Go plugin's print blocks when nobody
reads StreamStdio (grpc_stdio.go:193). Plugins that lack either are fine.
"""

import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from queue import SimpleQueue
from time import monotonic
from typing import Any, TypeVar

import grpc
from google.protobuf.message import Message

from ..handshake import HandshakeRefused
from ..proto import plugin
from ..proto.rpc import Method
from ..transport import Broker, Route, Stream
from ..transport.wire import conn_info, parse_conn_info
from ._hclog import legible
from ._launch import SETTLE
from ._services import CHECK, HEALTH, NO_ANSWER, STREAM_OVER

Req = TypeVar("Req", bound=Message)
Res = TypeVar("Res", bound=Message)


class Link:
    """A connection, with nothing running on it yet.

    Attributes:
        channel: grpc's own channel.
        broker: the brokered connections beside it; they are closed with it.
    """

    def __init__(self, route: Route, broker: Broker, name: str, logger: logging.Logger) -> None:
        self._route = route
        self.channel = route.channel()
        self.broker = broker
        self._name, self._logger = name, logger
        self._to_announce: SimpleQueue[bool] = SimpleQueue()
        self._threads: list[threading.Thread] = []

    def probe(self, seconds: float, settled: Callable[[], object]) -> Any:
        """Ask for the plugin's health, as the first call on the connection; ``settled`` is called when it ended."""
        # A future has more than the type stubs of grpc know.
        # grpcio would try again and again to connect to a plugin that it does not trust.
        patient = self._route.credentials is None
        call: Any = self._unary(CHECK).future(HEALTH, timeout=max(0.0, seconds), wait_for_ready=patient)
        call.add_done_callback(lambda _: settled())
        return call

    def open(self, stdout: Callable[[bytes], object], stderr: Callable[[bytes], object]) -> None:
        """Open the two streams; what comes on StreamStdio goes to ``stdout`` and ``stderr``."""
        # Here and not in the threads that read: grpc starts threads of its own for a stream, and where Python starts
        # none any more, because the host is about to exit, closing the channel would then wait for ever.
        broker, stdio = plugin.START_STREAM, plugin.STREAM_STDIO
        open_broker = self.channel.stream_stream(broker.path, broker.request_bytes, broker.response_from)
        open_stdio = self.channel.unary_stream(stdio.path, stdio.request_bytes, stdio.response_from)
        stream = Stream(lambda: self._to_announce.put(True))
        announced, printed = open_broker(self._announcements(stream)), open_stdio(plugin.GoogleEmpty())
        self.broker.opened(stream)
        self._run("broker", self._read_broker, stream, announced)
        self._run("stdio", self._read_stdio, printed, stdout, stderr)

    def shut_down(self, seconds: float) -> bool:
        """Ask the plugin to end; return False where it cannot be asked."""
        try:
            self._unary(plugin.SHUTDOWN)(plugin.Empty(), timeout=max(0.0, seconds))
        except grpc.RpcError as error:
            return error.code() in NO_ANSWER
        except ValueError:  # grpc's answer where the caller has closed the channel
            return False
        return True

    def close(self) -> None:
        """Close the connection. What the plugin had sent on StreamStdio before it ended is delivered first."""
        self._join()
        self.broker.close()
        self._to_announce.put(False)
        self.channel.close()
        self._join()
        self._route.close()

    def _unary(self, method: Method[Req, Res]) -> "grpc.UnaryUnaryMultiCallable[Req, Res]":
        return self.channel.unary_unary(method.path, method.request_bytes, method.response_from)

    def _join(self) -> None:
        limit = monotonic() + SETTLE
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(max(0.0, limit - monotonic()))

    def _run(self, what: str, work: Callable[..., None], *arguments: Any) -> None:
        def guarded() -> None:
            try:
                work(*arguments)
            except grpc.RpcError as error:
                level = logging.DEBUG if error.code() in STREAM_OVER else logging.WARNING
                self._logger.log(level, "the %s stream ended: %s", what, error.code().name)

        thread = threading.Thread(target=guarded, name=f"goplugin-{what}-{self._name}", daemon=True)
        thread.start()
        self._threads.append(thread)

    def _read_broker(self, stream: Stream, announced: Iterable[plugin.ConnInfo]) -> None:
        try:
            for info in announced:
                try:
                    message = parse_conn_info(info)
                except HandshakeRefused as error:
                    self._logger.warning("ignored what the plugin told the broker: %s", legible(str(error)))
                else:
                    self.broker.told(message)
        finally:
            self.broker.ended(stream)

    def _announcements(self, stream: Stream) -> Iterator[plugin.ConnInfo]:
        while self._to_announce.get():
            while (ours := self.broker.outgoing(stream)) is not None:
                yield conn_info(ours)

    def _read_stdio(
        self,
        printed: Iterable[plugin.StdioData],
        stdout: Callable[[bytes], object],
        stderr: Callable[[bytes], object],
    ) -> None:
        sinks = {plugin.StdioData.STDOUT: stdout, plugin.StdioData.STDERR: stderr}
        for piece in printed:
            sink = sinks.get(piece.channel)
            if sink is not None:
                sink(piece.data)
