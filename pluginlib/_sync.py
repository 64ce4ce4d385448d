"""The shell with threads: grpcio's own server, and the plugin's services on it."""

import functools
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from queue import SimpleQueue
from time import monotonic
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import grpc

from ..handshake import Handshake
from ..transport import Broker, Side, Stream, Workers
from ._life import Cause
from ._options import Options
from ._residents import Handlers, Residents, note_services
from ._security import secured
from ._services import BROKER, CONTROLLER, HEALTH, REFLECTION, REFLECTION_ALPHA, RESIDENT, STDIO, Directory, service_of
from ._stage import FLUSH_WITHIN, Stage, staged

if TYPE_CHECKING:
    from ._serve import PluginSet

_P = ParamSpec("_P")
_R = TypeVar("_R")

SHORT_CALLS = 2  # threads for Check, List and Shutdown, which must be answered when every handler of the author hangs
LONG_CALLS = 32  # threads for streams, one each; a host needs two, and each that watches or reflects one more
CANCEL_WITHIN = 1.0  # seconds for grpcio to end calls that are cancelled; it waits for no handler


def run(
    handshake: Handshake,
    plugins: "PluginSet | None",
    versions: "Mapping[int, PluginSet] | None",
    options: Options,
    interceptors: "Sequence[grpc.ServerInterceptor]",
) -> None:
    """Serve until there is a reason to stop."""
    causes: SimpleQueue[Cause] = SimpleQueue()
    with staged(handshake, plugins, versions, options, causes.put) as stage:
        calls = Workers(options.workers, "goplugin-call")
        server = grpc.server(
            calls,
            interceptors=[_Sparing(interceptor) for interceptor in interceptors],
            options=options.channel_arguments,
        )
        carrier, certificate = secured(stage.plan.asked, options)
        directory = Directory()
        broker = Broker(Side.HOST, carrier)
        stage.on_close(broker.close)
        own = _Own(stage, broker, directory)
        server.add_generic_rpc_handlers((own.residents,))
        note_services(server, directory)
        for register in stage.plan.plugins.values():
            register(server, broker)
        listener = carrier.listen(server)
        stage.on_close(listener.close)
        server.start()
        try:
            stage.present(listener.address, certificate)
            own.residents.build(BROKER, STDIO)  # the host opens both first, and is still connecting
            causes.get()
            drained = monotonic() + options.drain
            limit = drained + FLUSH_WITHIN
            stopped = server.stop(options.drain + FLUSH_WITHIN)
            broker.refuse()
            own.end_streams()
            calls.finish(options.drain)
            broker.close(max(0.0, drained - monotonic()))
            stage.flush(limit - monotonic())
            stopped.wait(limit - monotonic())
        finally:
            broker.close()
            server.stop(0).wait(CANCEL_WITHIN)
            carrier.close()
            for pool in (calls, own.short, own.long, own.announcing):
                pool.shutdown(wait=False, cancel_futures=True)


class _Sparing(grpc.ServerInterceptor):
    """An interceptor that leaves own services alone.

    One that wraps handlers would take their threads from them, and one that demands metadata would lock out the host.
    """

    def __init__(self, inner: grpc.ServerInterceptor) -> None:
        self._inner = inner

    def intercept_service(self, continuation: Any, handler_call_details: grpc.HandlerCallDetails) -> Any:
        if service_of(handler_call_details.method) in RESIDENT:
            return continuation(handler_call_details)
        return self._inner.intercept_service(continuation, handler_call_details)


class _Own:
    """The plugin's own services. They run on threads of their own, so that the author's calls cannot hold them up."""

    def __init__(self, stage: Stage[Any], broker: Broker, directory: Directory) -> None:
        self._stage, self._broker, self._directory = stage, broker, directory
        self.short = Workers(SHORT_CALLS, "goplugin-own")
        self.long = Workers(LONG_CALLS, "goplugin-stream")
        self.announcing = Workers(1, "goplugin-announce")
        self._lock = threading.Lock()
        self._serving = True
        self._ends: set[Callable[[], None]] = set()
        self.residents = Residents(
            {
                HEALTH: self._build_health,
                REFLECTION: self._build_reflection,
                REFLECTION_ALPHA: self._build_reflection,
                BROKER: self._build_broker,
                CONTROLLER: self._build_controller,
                STDIO: self._build_stdio,
            }
        )

    def end_streams(self) -> None:
        """End all streams but that of stdio, which ends once it has everything."""
        with self._lock:
            self._serving = False
            ends = list(self._ends)
        for end in ends:
            end()

    def _until_over(self, context: grpc.ServicerContext, end: Callable[[], None]) -> None:
        """Call ``end`` when serving or this call is over."""

        def forget() -> None:
            with self._lock:
                self._ends.discard(end)
            end()

        with self._lock:
            serving = self._serving
            self._ends.add(end)
        if not context.add_callback(forget):
            forget()
        elif not serving:
            end()

    def _build_health(self) -> Handlers:
        from ..proto import health
        from . import _health
        from ._wire import entry

        def check(request: health.HealthCheckRequest, context: grpc.ServicerContext) -> health.HealthCheckResponse:
            answer = _health.check(request.service, self._serving)
            if answer is None:
                context.abort(grpc.StatusCode.NOT_FOUND, "unknown service")
            return answer

        def states(_: health.HealthListRequest, __: grpc.ServicerContext) -> health.HealthListResponse:
            return _health.states(self._serving)

        def watch(
            request: health.HealthCheckRequest, context: grpc.ServicerContext
        ) -> Iterator[health.HealthCheckResponse]:
            over = threading.Event()
            self._until_over(context, over.set)
            yield _health.watch(request.service, self._serving)
            over.wait()
            yield _health.watch(request.service, self._serving)

        return dict(
            [
                entry(health.CHECK, _on(self.short, check)),
                entry(health.LIST, _on(self.short, states)),
                entry(health.WATCH, _on(self.long, watch)),
            ]
        )

    def _build_reflection(self) -> Handlers:
        from ..proto import reflection
        from ._reflection import Reflection
        from ._wire import entry

        core = Reflection(self._directory.names)

        def answer(
            requests: Iterator[reflection.ServerReflectionRequest], _: grpc.ServicerContext
        ) -> Iterator[reflection.ServerReflectionResponse]:
            return map(core.answer, requests)

        return dict([entry(reflection.SERVER_REFLECTION_INFO, _on(self.long, answer))])

    def _build_broker(self) -> Handlers:
        from ..proto import plugin
        from ._wire import conn_info, entry, tell

        def start_stream(
            requests: Iterator[plugin.ConnInfo],
            context: grpc.ServicerContext,
            send: Callable[[plugin.ConnInfo | None], None],
        ) -> None:
            def announce_ours() -> None:
                while (ours := self._broker.outgoing(stream)) is not None:
                    send(conn_info(ours))

            # A thread of its own, for grpcio's send waits until the host has room.
            stream = Stream(lambda: self.announcing.submit(announce_ours))
            attendant = self._stage.attendant
            attendant.stream_opened()
            if not context.add_callback(attendant.stream_closed):
                attendant.stream_closed()
            end = _once(lambda: send(None))
            self._until_over(context, end)
            self._broker.opened(stream)
            try:
                for info in requests:
                    tell(self._broker, info)
            finally:
                self._broker.ended(stream)
            end()

        return dict([entry(plugin.START_STREAM, _on(self.long, start_stream, non_blocking=True))])

    def _build_controller(self) -> Handlers:
        from ..proto import plugin
        from ._wire import entry

        def shutdown(_: plugin.Empty, context: grpc.ServicerContext) -> plugin.Empty:
            # After the answer: the host is not to see its own call fail, as it does with a Go plugin.
            stop = functools.partial(self._stage.attendant.stop, Cause.SHUTDOWN)
            if not context.add_callback(stop):
                stop()
            return plugin.Empty()

        return dict([entry(plugin.SHUTDOWN, _on(self.short, shutdown))])

    def _build_stdio(self) -> Handlers:
        from ..proto import plugin
        from ._wire import entry, stdio_data

        def stream_stdio(_: plugin.GoogleEmpty, context: grpc.ServicerContext) -> Iterator[plugin.StdioData]:
            news = threading.Event()
            reader = self._stage.output.open(news.set)
            if not context.add_callback(reader.close):
                reader.close()
            while not reader.is_over:
                news.clear()
                chunk = reader.take()
                if chunk is not None:
                    yield stdio_data(chunk)
                elif not reader.is_over:
                    news.wait()

        return dict([entry(plugin.STREAM_STDIO, _on(self.long, stream_stdio))])


def _on(pool: Workers, behaviour: Callable[_P, _R], *, non_blocking: bool = False) -> Callable[_P, _R]:
    """Let grpcio run a handler on these threads.

    Both attributes are how grpcio's own health service does it. A non-blocking handler gets a third argument, which
    sends a response, or the status when it is given None; the stream then outlives the handler.
    """
    marked = functools.partial(behaviour)
    vars(marked).update(experimental_thread_pool=pool, experimental_non_blocking=non_blocking)
    return marked


def _once(action: Callable[[], None]) -> Callable[[], None]:
    lock = threading.Lock()  # taken for good by the first call

    def act() -> None:
        if lock.acquire(blocking=False):
            action()

    return act
