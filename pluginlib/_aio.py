"""The shell with asyncio: grpcio's server of that kind, and the plugin's services on it."""

import asyncio
import inspect
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import grpc.aio

from ..handshake import Handshake
from ..transport import Side, Stream, Workers
from ..transport.aio import Broker, Stop
from ._life import Cause
from ._options import Options
from ._residents import Handler, Handlers, Residents, note_services
from ._security import secured
from ._services import BROKER, CONTROLLER, HEALTH, REFLECTION, REFLECTION_ALPHA, RESIDENT, STDIO, Directory, service_of
from ._stage import FLUSH_WITHIN, Stage, staged

if TYPE_CHECKING:
    from .aio import PluginSet

LIMIT = 64 * 1024 * 1024
"""Bytes of output kept for a reader that is there. The loop cannot send while a callback prints: it all has to fit."""

CANCEL_WITHIN = 1.0  # seconds for calls that are cancelled to end


async def run(
    handshake: Handshake,
    plugins: "PluginSet | None",
    versions: "Mapping[int, PluginSet] | None",
    options: Options,
    interceptors: "Sequence[grpc.aio.ServerInterceptor]",
) -> None:
    """Serve until there is a reason to stop."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    with staged(handshake, plugins, versions, options, lambda _: _poke(loop, stop.set), LIMIT) as stage:
        stage.output.never_waits = threading.get_ident()
        pool, flusher = Workers(options.workers, "goplugin-call"), Workers(1, "goplugin-flush")
        server = grpc.aio.server(
            pool,
            interceptors=[_Sparing(interceptor) for interceptor in interceptors],
            options=options.channel_arguments,
        )
        stopping = Stop(server)
        carrier, certificate = secured(stage.plan.asked, options)
        directory = Directory()
        broker = Broker(Side.HOST, carrier)
        stage.on_close(broker.unlink)
        own, calls = _Own(stage, broker, directory), _Calls(loop)
        server.add_generic_rpc_handlers((own.residents,))
        note_services(server, directory, calls.counted)
        for register in stage.plan.plugins.values():
            registered = register(server, broker)
            if inspect.isawaitable(registered):
                await registered
        listener = carrier.listen(server)
        stage.on_close(listener.close)
        await server.start()
        try:
            stage.present(listener.address, certificate)
            own.residents.build(BROKER, STDIO)  # the host opens both first, and is still connecting
            await stop.wait()
            drained = loop.time() + options.drain
            limit = drained + FLUSH_WITHIN
            broker.refuse()
            own.over.set()
            stopped = stopping.begin(options.drain + FLUSH_WITHIN)
            await calls.wait(options.drain)
            await broker.close(max(0.0, drained - loop.time()))
            # On a thread, for the loop has to carry away what the pipe empties into.
            await loop.run_in_executor(flusher, stage.flush, limit - loop.time())
            await asyncio.wait({stopped}, timeout=max(0.0, limit - loop.time()))
        finally:
            await broker.close()
            await asyncio.wait({stopping.begin(0)}, timeout=CANCEL_WITHIN)
            carrier.close()
            pool.shutdown(wait=False, cancel_futures=True)
            flusher.shutdown(wait=False)


def _poke(loop: asyncio.AbstractEventLoop, callback: Callable[[], object]) -> None:
    """Call back on the loop, from any thread."""
    try:
        loop.call_soon_threadsafe(callback)
    except RuntimeError:
        pass  # the loop is closed, and whatever waited for this is gone with it


class _Calls:
    """The author's calls, counted. Handlers that are not async run on threads."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._lock = threading.Lock()
        self._running = 0
        self._idle = asyncio.Event()
        self._awaited = False

    def __enter__(self) -> None:
        with self._lock:
            self._running += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._running -= 1
            idle = self._awaited and self._running == 0  # while it serves nobody waits, and waking the loop is dear
        if idle:
            _poke(self._loop, self._idle.set)

    async def wait(self, within: float) -> None:
        """Wait until no call runs, at most ``within`` seconds."""
        with self._lock:
            self._awaited = True
        try:
            async with asyncio.timeout(within):
                while self._running:
                    self._idle.clear()
                    await self._idle.wait()
        except TimeoutError:
            pass  # they had their time; the server cancels them

    def counted(self, handler: Handler) -> Handler:
        """Return the handler with its calls counted, of the same kind: grpcio looks at what kind of function it is."""
        kinds: dict[tuple[bool, bool], tuple[Any, Any]] = {
            (False, False): (handler.unary_unary, grpc.unary_unary_rpc_method_handler),
            (False, True): (handler.unary_stream, grpc.unary_stream_rpc_method_handler),
            (True, False): (handler.stream_unary, grpc.stream_unary_rpc_method_handler),
            (True, True): (handler.stream_stream, grpc.stream_stream_rpc_method_handler),
        }
        behaviour, make = kinds[handler.request_streaming, handler.response_streaming]
        found: Handler = make(
            self._counted(behaviour, handler.response_streaming),
            handler.request_deserializer,
            handler.response_serializer,
        )
        return found

    def _counted(self, behaviour: Any, streams: bool) -> Any:
        async def coroutine(request: Any, context: Any) -> Any:
            with self:
                return await behaviour(request, context)

        async def async_generator(request: Any, context: Any) -> AsyncIterator[Any]:
            with self:
                async with aclosing(behaviour(request, context)) as responses:
                    async for response in responses:
                        yield response

        def generator(request: Any, context: Any) -> Iterator[Any]:
            with self:
                yield from behaviour(request, context)

        def function(request: Any, context: Any) -> Any:
            with self:
                return behaviour(request, context)

        if inspect.iscoroutinefunction(behaviour):
            return coroutine
        if inspect.isasyncgenfunction(behaviour):
            return async_generator
        return generator if streams else function


class _Sparing(grpc.aio.ServerInterceptor):
    """An interceptor that leaves own services alone: one that demands metadata would lock out the host."""

    def __init__(self, inner: grpc.aio.ServerInterceptor) -> None:
        self._inner = inner

    async def intercept_service(self, continuation: Any, handler_call_details: grpc.HandlerCallDetails) -> Any:
        if service_of(handler_call_details.method) in RESIDENT:
            return await continuation(handler_call_details)
        return await self._inner.intercept_service(continuation, handler_call_details)


class _Own:
    """The plugin's own services.

    Streams use the context's ``write``: grpcio cancels such a handler where it waits, but leaves a generator alone.
    """

    def __init__(self, stage: Stage[Any], broker: Broker, directory: Directory) -> None:
        self._stage, self._broker, self._directory = stage, broker, directory
        self.over = asyncio.Event()
        """Set when serving is over: ends all streams but that of stdio, which ends once it has everything."""
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

    def _build_health(self) -> Handlers:
        from ..proto import health
        from . import _health
        from ._wire import entry

        async def check(request: health.HealthCheckRequest, context: Any) -> health.HealthCheckResponse | None:
            answer = _health.check(request.service, not self.over.is_set())
            if answer is None:
                await context.abort(grpc.StatusCode.NOT_FOUND, "unknown service")
            return answer

        async def states(_: health.HealthListRequest, __: Any) -> health.HealthListResponse:
            return _health.states(not self.over.is_set())

        async def watch(request: health.HealthCheckRequest, context: Any) -> None:
            await context.write(_health.watch(request.service, not self.over.is_set()))
            await self.over.wait()
            await context.write(_health.watch(request.service, False))

        return dict([entry(health.CHECK, check), entry(health.LIST, states), entry(health.WATCH, watch)])

    def _build_reflection(self) -> Handlers:
        from ..proto import reflection
        from ._reflection import Reflection
        from ._wire import entry

        core = Reflection(self._directory.names)

        async def answer(requests: AsyncIterator[reflection.ServerReflectionRequest], context: Any) -> None:
            async for request in requests:
                await context.write(core.answer(request))

        return dict([entry(reflection.SERVER_REFLECTION_INFO, answer)])

    def _build_broker(self) -> Handlers:
        from ..proto import plugin
        from ._wire import conn_info, entry, tell

        async def read(requests: AsyncIterator[plugin.ConnInfo]) -> None:
            async for info in requests:
                tell(self._broker, info)

        async def write(stream: Stream, news: asyncio.Event, context: Any) -> None:
            while await news.wait():
                news.clear()
                while (ours := self._broker.outgoing(stream)) is not None:
                    await context.write(conn_info(ours))

        async def start_stream(requests: AsyncIterator[plugin.ConnInfo], context: Any) -> None:
            self._stage.attendant.stream_opened()
            news = asyncio.Event()
            stream = Stream(news.set)
            self._broker.opened(stream)
            parts = (read(requests), write(stream, news, context), self.over.wait())
            tasks = [asyncio.ensure_future(part) for part in parts]
            try:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in tasks:
                    task.cancel()
                self._broker.ended(stream)
                self._stage.attendant.stream_closed()
                await asyncio.gather(*tasks, return_exceptions=True)  # how a part ended says nothing more

        return dict([entry(plugin.START_STREAM, start_stream)])

    def _build_controller(self) -> Handlers:
        from ..proto import plugin
        from ._wire import entry

        async def shutdown(_: plugin.Empty, context: Any) -> plugin.Empty:
            # After the answer: the host is not to see its own call fail, as it does with a Go plugin.
            context.add_done_callback(lambda _: self._stage.attendant.stop(Cause.SHUTDOWN))
            return plugin.Empty()

        return dict([entry(plugin.SHUTDOWN, shutdown)])

    def _build_stdio(self) -> Handlers:
        from ..proto import plugin
        from ._wire import entry, stdio_data

        async def stream_stdio(_: plugin.GoogleEmpty, context: Any) -> None:
            loop, news = asyncio.get_running_loop(), asyncio.Event()
            reader = self._stage.output.open(lambda: _poke(loop, news.set))
            try:
                while not reader.is_over:
                    news.clear()
                    chunk = reader.take()
                    if chunk is not None:
                        await context.write(stdio_data(chunk))
                    elif not reader.is_over:
                        await news.wait()
            finally:
                reader.close()

        return dict([entry(plugin.STREAM_STDIO, stream_stdio)])
