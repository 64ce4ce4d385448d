"""The asyncio client: an event loop around the pure parts of this room.

A caller's cancellation gives up its own wait, and a start. It can neither leak a process nor cut a stop short.
"""

import asyncio
import os
import signal
from collections.abc import Callable
from contextlib import AsyncExitStack
from time import monotonic
from types import TracebackType
from typing import Generic, Self, TypeVar, assert_never

import grpc
from grpc import aio

from ..handshake import DialTimeout, GoPluginError, Line, Misuse, PluginLost
from ..transport import PlainCarrier, PrivateDirectory, Side, network_of
from ..transport.aio import Broker
from . import _at_exit
from ._aio_channel import LostInCall, PluginChannel
from ._aio_link import Link
from ._aio_watcher import Watcher, within
from ._child import DRAIN, Child
from ._ladder import Ladder, Rung, StopBudget, Stopped
from ._launch import SETTLE
from ._plugin import Plugin, StartTimes
from ._services import CHECK, HEALTH, NO_ANSWER, judge_health, unhealthy
from ._states import State

T = TypeVar("T")


class Client(Plugin[Callable[[aio.Channel], T]], Generic[T]):
    """Starts one plugin, talks to it and stops it, on the event loop that runs when it starts.

    ::

        async with aio.Client(["./kv-plugin"], HANDSHAKE, plugins={"kv": KVStub}) as client:
            kv = client.dispense("kv")

    Args:
        command: the program and its arguments.
        handshake: what host and plugin agreed on.
        plugins: by name, what makes a stub of a channel; for the handshake's one protocol version.
        versions: the same for several protocol versions, of which the plugin chooses; instead of ``plugins``.
        env: variables for the plugin, which win over inherited ones.
        skip_host_env: inherit no variable at all.
        cwd: the plugin's working directory.
        start_timeout: seconds from spawning it until it has answered its first call.
        call_timeout: seconds for a unary call whose caller gave no timeout; None for no limit.
        stop_budget: how long each step of ``stop`` may take.
        sync_stdout, sync_stderr: where the output goes that the plugin sends over gRPC; it is read in any case.
        stderr: where a copy of the process's own stderr goes, which is logged in any case.
        logger: the parent of the logger for what the plugin logs, ``goplugin.hostlib`` unless given. That logger is
            named for the plugin's file; records carry hclog's key-value pairs in the attribute ``hclog``.
        min_port, max_port: the range for a plugin that listens on TCP.

    Raises:
        Misuse: an argument makes no sense.
    """

    def _prepare(self) -> None:
        self._undo = AsyncExitStack()
        self._directory: PrivateDirectory | None = None
        self._watcher: Watcher | None = None
        self._link: Link | None = None
        self._channel: PluginChannel | None = None
        self._starting: asyncio.Task[None] | None = None
        self._stopping: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start the plugin and connect to it.

        Whatever goes wrong, nothing of it is left behind; that goes for a cancellation, too.

        Raises:
            Misuse: this client was started or stopped before.
            MachineFault: the program, or a directory for its sockets, is not there.
            HandshakeRefused: its first line on stdout is no acceptable handshake line.
            StartTimeout: it took longer than ``start_timeout``.
            PluginLost: it ended first.
        """
        self._life.enter(State.STARTING)
        starting = self._starting = asyncio.create_task(self._start(), name=f"goplugin-start-{self._config.name}")
        try:
            await asyncio.shield(starting)
        except asyncio.CancelledError:
            # A task of its own, so that a second cancellation cannot reach what it does to tidy up.
            starting.cancel()
            await asyncio.wait([starting])
            raise
        finally:
            if starting.done():
                self._starting = None  # its error would hold on to all that the start had in its hands
                if self._life.state is State.STARTING:
                    self._gone()  # cancelled before its first step

    def dispense(self, name: str) -> T:
        """Return a new stub of the plugin ``name``.

        Raises:
            Misuse: the negotiated version has no such plugin, or none is running.
            PluginLost: the plugin has ended.
        """
        make, channel = self._maker(name), self.channel
        if self.exited:
            raise self._lost("has ended")
        return make(channel)

    async def ping(self, timeout: float = 5.0) -> None:
        """Ask the plugin whether it is healthy, and wait for the answer for ``timeout`` seconds.

        Raises:
            PluginLost: it has ended.
            PluginFault: it does not answer in time, knows no health checks, or is not serving.
            Misuse: none is running.
        """
        check = self.channel.unary_unary(CHECK.path, CHECK.request_bytes, CHECK.response_from)
        try:
            answer = await check(HEALTH, timeout=timeout)
        except LostInCall:
            raise
        except aio.AioRpcError as error:
            raise unhealthy(error) from error
        judge_health(answer)

    async def stop(self) -> Stopped:
        """Stop the plugin and release all that belongs to it; return how it went.

        Takes no longer than the stop budget, and a moment to tidy up, whatever the plugin does. Stopping again is fine
        and gives the same answer. A start that is under way in another task fails. Cancelling the caller does not
        interrupt the stop.

        Raises:
            MachineFault: the kernel does not end the process.
        """
        match self._life.state:
            case State.NEW:
                self._gone()
            case State.STARTING:
                self._abandoned = True
                if self._child is not None:
                    self._child.send(signal.SIGKILL)
                if self._starting is not None:
                    await asyncio.wait([self._starting])
            case State.READY:
                self._life.enter(State.STOPPING)
                name = f"goplugin-stop-{self._config.name}"
                self._stopping = asyncio.create_task(self._descend(self._config.stop_budget), name=name)
            case State.STOPPING | State.GONE:
                pass
            case _ as never:
                assert_never(never)
        if self._stopping is not None:
            await asyncio.shield(self._stopping)
        return self._known(self._stopped)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    @property
    def channel(self) -> aio.Channel:
        """The connection. Unary calls on it have ``call_timeout``, and end in ``PluginLost`` where the plugin did."""
        self._life.require_ready()
        return self._known(self._channel)

    @property
    def broker(self) -> Broker:
        """More connections to the plugin, in both directions. They end with it."""
        return self._known(self._link).broker

    async def _start(self) -> None:
        async with AsyncExitStack() as undo:
            _at_exit.keep(self._stop_at_exit, self._ask)
            undo.callback(self._gone)
            self._go_on()
            directory = self._directory = PrivateDirectory(os.environ)
            undo.callback(directory.close)
            environment = self._config.environment(os.environ, directory.path)
            begun = monotonic()
            child = self._child = Child(self._config.command, environment, self._config.cwd)
            undo.callback(child.end, self._config.stop_budget.kill)
            watcher = self._watcher = Watcher(child, self._output)
            undo.push_async_callback(watcher.close)
            try:
                self._line = await watcher.line(self._launch(child, begun))
                named = monotonic()
                await self._connect(watcher, self._line, directory.path, begun, undo)
                self._times = StartTimes(line=named - begun, connected=monotonic() - begun)
                self._go_on()
                self._life.enter(State.READY)
                self._undo = undo.pop_all()
            except BaseException as error:
                await self._kill(child, watcher)
                if self._abandoned and isinstance(error, PluginLost):
                    raise self._given_up() from None
                raise

    async def _connect(self, watcher: Watcher, line: Line, socket_dir: str, begun: float, undo: AsyncExitStack) -> None:
        carrier = PlainCarrier(self._config.asked(socket_dir), network_of(line.address))
        broker = Broker(Side.PLUGIN, carrier, dress=self._dressed, explain=self._explained)
        link = self._link = Link(carrier.route(line.address), broker, self._config.name, self._output.logger)
        undo.push_async_callback(link.close)
        left = begun + self._config.start_timeout - monotonic()
        probe = asyncio.create_task(link.probe(left))
        gone = asyncio.create_task(watcher.gone.wait())
        try:
            await asyncio.wait((probe, gone), timeout=left + SETTLE, return_when=asyncio.FIRST_COMPLETED)
            code = probe.result() if probe.done() else grpc.StatusCode.DEADLINE_EXCEEDED
        finally:
            probe.cancel()
            gone.cancel()
        if code in NO_ANSWER or self.exited:
            loss = await self._loss("ended between its handshake line and its first answer")
            raise loss or self._silent(code, line)
        link.open(self._sync_stdout, self._sync_stderr)
        self._channel = self._dressed(link.channel)

    def _dressed(self, channel: aio.Channel) -> PluginChannel:
        return PluginChannel(channel, self._config.call_timeout, self._verdict, self._closed)

    async def _explained(self, error: GoPluginError) -> Exception:
        if self._life.state is not State.READY:
            return Misuse(f"the plugin {self._life.state.value}")
        if isinstance(error, Misuse | DialTimeout):
            return error
        return await self._loss("ended, and its brokered connections with it") or error

    async def _verdict(self, error: aio.AioRpcError) -> Exception | None:
        ended = error.code() is grpc.StatusCode.UNAVAILABLE
        loss = await self._loss("ended during a call") if ended else None
        return LostInCall(loss, error) if loss is not None else None

    def _closed(self) -> Exception | None:
        gone = self._life.state is State.GONE
        return Misuse(f"the plugin {self._life.state.value}") if gone else None

    async def _loss(self, reason: str) -> PluginLost | None:
        """Return the error that tells how the process ended, or None when a moment later it still runs."""
        watcher = self._known(self._watcher)
        # The connection breaks a moment before the process is gone.
        if not await within(watcher.gone, SETTLE):
            return None
        await within(watcher.drained, 2 * DRAIN)
        return self._lost(reason)

    async def _descend(self, budget: StopBudget) -> None:
        child, link, watcher = self._known(self._child), self._known(self._link), self._known(self._watcher)
        begun = monotonic()
        ladder = Ladder(budget, begun, connected=True)
        try:
            while child.status() is None and not ladder.spent(monotonic()):
                match ladder.due(monotonic()):
                    case Rung.SHUTDOWN:
                        if not await link.shut_down(ladder.deadline - monotonic()):
                            ladder.refused(monotonic())
                    case Rung.TERMINATE:
                        child.send(signal.SIGTERM)
                        child.send(signal.SIGCONT)  # a frozen process could not act on the signal
                    case Rung.KILL:
                        child.send(signal.SIGKILL)
                    case None:
                        await within(watcher.gone, ladder.deadline - monotonic())
                    case _ as never:
                        assert_never(never)
        except BaseException:
            child.send(signal.SIGKILL)
            await within(watcher.gone, budget.kill)
            raise
        finally:
            self._stopped = Stopped.after(ladder.rung, child.status(), monotonic() - begun)
            await self._undo.aclose()

    async def _kill(self, child: Child, watcher: Watcher) -> None:
        begun = monotonic()
        child.status()  # one that has ended of itself was not killed
        child.send(signal.SIGKILL)
        await within(watcher.gone, self._config.stop_budget.kill)
        self._fell(monotonic() - begun)

    def _gone(self) -> None:
        self._life.enter(State.GONE)
        self._link = self._channel = None  # grpc.aio keeps a thread and descriptors as long as there is a channel
        if self._stopped is None:
            self._stopped = Stopped.after(None, None, 0.0)
        _at_exit.forget(self._stop_at_exit)

    def _ask(self) -> None:
        if self._child is not None:
            self._child.send(signal.SIGTERM)  # without an event loop there is no other way

    def _stop_at_exit(self, budget: StopBudget) -> None:
        """Stop without an event loop: the one it was started on has ended."""
        if self._child is not None:
            ladder = Ladder(budget, monotonic(), connected=False)
            while self._child.status() is None and not ladder.spent(monotonic()):
                rung = ladder.due(monotonic())
                if rung is None:
                    self._child.wait(ladder.deadline - monotonic())
                else:
                    self._child.send(signal.SIGTERM if rung is Rung.TERMINATE else signal.SIGKILL)
        if self._watcher is not None:
            self._watcher.abandon()
        if self._child is not None:
            self._child.end(budget.kill)
        if self._directory is not None:
            self._directory.close()
