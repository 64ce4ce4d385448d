"""The asyncio client: an event loop around the pure parts of this room.

A caller's cancellation gives up its own wait, and a start. It can neither leak a process nor cut a stop short.
"""

import asyncio
import os
import signal
import threading
from collections.abc import Callable
from contextlib import AsyncExitStack
from functools import partial
from time import monotonic
from types import TracebackType
from typing import Any, Generic, Self, TypeVar, assert_never

import grpc
from grpc import aio

from ..handshake import DialTimeout, GoPluginError, Line, MachineFault, Misuse, PluginLost
from ..transport import Side
from ..transport.aio import Broker
from . import _at_exit
from ._aio_channel import LostInCall, PluginChannel
from ._aio_link import Link
from ._aio_watcher import Watcher, within
from ._child import DRAIN
from ._ladder import Ladder, Rung, StopBudget, Stopped, bounded
from ._launch import SETTLE
from ._plugin import TIDY, UNANSWERED, VETTED_AGAIN, Plugin, StartTimes
from ._process import Process
from ._services import CHECK, HEALTH, NO_ANSWER, judge_health, unhealthy
from ._sheltered import Sheltered
from ._silence import SILENCE
from ._states import State

T = TypeVar("T")
R = TypeVar("R")

_managed: "dict[Client[Any], asyncio.AbstractEventLoop]" = {}


class Client(Plugin[Callable[[aio.Channel], T]], Generic[T]):
    """Starts one plugin, talks to it and stops it, on the event loop that runs when it starts.

    ::

        async with aio.Client(["./kv-plugin"], HANDSHAKE, plugins={"kv": KVStub}) as client:
            kv = client.dispense("kv")

    Args:
        command: the program and its arguments. Without one, ``options`` must say where the plugin comes from.
        handshake: what host and plugin agreed on.
        plugins: by name, what makes a stub of a channel; for the handshake's one protocol version.
        versions: the same for several protocol versions, of which the plugin chooses; instead of ``plugins``.
        options: anything else, see ``Options``.

    Raises:
        Misuse: an argument makes no sense.
    """

    def _prepare(self) -> None:
        self._undo = AsyncExitStack()
        self._watcher: Watcher | None = None
        self._link: Link | None = None
        self._channel: PluginChannel | None = None
        self._news = asyncio.Event()  # that a step of the start is over, or the start given up
        self._starting: asyncio.Task[None] | None = None
        self._undoing: asyncio.Task[None] | None = None  # after a start that was cancelled
        self._stopping: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start the plugin and connect to it.

        Whatever goes wrong, nothing of it is left behind; that goes for a cancellation, too. Only where a runner or the
        check of a file hangs does a thread stay with that, which undoes it in the end.

        Raises:
            Misuse: this client was started or stopped before.
            MachineFault: the program, or a directory for its sockets, is not there.
            ChecksumMismatch: a file of the plugin is not what ``secure`` says.
            ProcessNotFound: there is nothing to reattach to.
            HandshakeRefused: its first line on stdout is no acceptable handshake line.
            StartTimeout: it took longer than ``start_timeout``.
            TlsRefused: it and this client do not trust each other's certificates.
            PluginLost: it ended first.
        """
        self._life.enter(State.STARTING)
        self._owner = os.getpid()
        if self._config.managed:
            _managed[self] = asyncio.get_running_loop()
        starting = self._starting = asyncio.create_task(self._start(), name=f"goplugin-start-{self._config.name}")
        starting.add_done_callback(self._started)
        try:
            await asyncio.shield(starting)
        except asyncio.CancelledError:
            # Tasks of their own, so that a second cancellation cannot reach what they do to tidy up.
            starting.cancel()
            self._undoing = asyncio.create_task(self._undone(starting), name=f"goplugin-undo-{self._config.name}")
            await asyncio.shield(self._undoing)
            raise

    def _started(self, _: object) -> None:
        self._starting = None  # its error would hold on to all that the start had in its hands
        if self._life.state is State.STARTING:
            self._gone()  # cancelled before its first step

    async def _undone(self, starting: "asyncio.Task[None]") -> None:
        await asyncio.wait([starting])
        if self._life.state is State.READY:  # it had just succeeded
            await self.stop()

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
            Misuse: none is running, or ``timeout`` is no number of seconds that can be waited for.
        """
        bounded("timeout", timeout)
        check = self.channel.unary_unary(CHECK.path, CHECK.request_bytes, CHECK.response_from)
        try:
            answer = await check(HEALTH, timeout=timeout)
        except LostInCall:
            raise
        except aio.AioRpcError as error:
            raise unhealthy(error) from error
        judge_health(answer)

    async def wait(self, timeout: float) -> PluginLost | None:
        """Wait until the plugin's process has ended, and return how; None where it runs on after ``timeout`` seconds.

        Raises:
            Misuse: none was started, or ``timeout`` is no number of seconds that can be waited for.
        """
        return await self._loss("ended", bounded("timeout", timeout))

    async def stop(self) -> Stopped:
        """Stop the plugin and release all that belongs to it; return how it went.

        A plugin in test mode that was reattached to is left running, as in go-plugin.

        Takes no longer than the stop budget, and a moment to tidy up, whatever the plugin does. Stopping again is fine
        and gives the same answer. A start that is under way in another task fails. Cancelling the caller does not
        interrupt the stop.

        Raises:
            MachineFault: the kernel does not end the process.
            Misuse: this process is a fork of the one that started it.
        """
        self._own()
        match self._life.state:
            case State.NEW:
                self._gone()
            case State.STARTING:
                self._abandoned = True
                self._news.set()
                if self._config.reattach is not None:
                    if self._watcher is not None:
                        self._watcher.give_up()
                elif self._child is not None:
                    self._child.send(signal.SIGKILL)
                if self._starting is not None:
                    total = self._config.stop_budget.total
                    _, late = await asyncio.wait([self._starting], timeout=total + TIDY)
                    if late:
                        raise MachineFault(f"the start of the plugin's process {self.id} has not ended yet")
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
            undo.callback(self._unguard)
            self._go_on()
            begun = monotonic()
            step = Sheltered(self._acquired, self._tell())
            undo.push_async_callback(self._let_go, step)
            child = await self._result(step, begun, self._unstarted)
            directory = self._known(self._directory)
            watcher = self._watcher = Watcher(child, self._output)
            undo.push_async_callback(watcher.close)
            self._guard(directory.path)
            try:
                self._go_on()
                self._line = self._recorded or await watcher.line(self._launch(child, begun, directory.path))
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

    async def _result(self, step: Sheltered[R], begun: float, late: str) -> R:
        if await self._in_time(step, begun + self._config.start_timeout):
            return step.result()
        self._go_on()
        raise self._late(late)

    async def _in_time(self, step: Sheltered[Any], limit: float) -> bool:
        """Run a step of the start; return whether it was over by ``limit``, and before the start was given up."""
        # Not by asyncio.to_thread: whether its threads are free is the caller's affair.
        step.begin()
        await self._until(lambda: step.over or self._abandoned, limit)
        return step.over

    async def _let_go(self, step: Sheltered[Any]) -> None:
        """Undo a step. Where it is not over, it has a moment: to make a process takes a few milliseconds."""
        step.give_up()
        try:
            await self._until(lambda: step.over, monotonic() + self._config.stop_budget.kill)
        finally:
            step.close()

    async def _until(self, done: Callable[[], bool], limit: float) -> None:
        while not done() and (left := limit - monotonic()) > 0:
            self._news.clear()
            await within(self._news, left)

    def _tell(self) -> Callable[[], object]:
        return partial(asyncio.get_running_loop().call_soon_threadsafe, self._news.set)

    async def _connect(self, watcher: Watcher, line: Line, socket_dir: str, begun: float, undo: AsyncExitStack) -> None:
        loop, refused = asyncio.get_running_loop(), asyncio.Event()
        address = line.address
        if self._config.runner is not None:
            translation = Sheltered(self._translated, self._tell())
            address = await self._result(translation, begun, "has an address that its runner did not translate")
        carrier = self._carrier(line, address, socket_dir, lambda: loop.call_soon_threadsafe(refused.set))
        undo.callback(carrier.close, 0.0)
        broker = Broker(Side.PLUGIN, self._brokered(carrier), dress=self._dressed, explain=self._explained)
        link = self._link = Link(carrier.route(address), broker, self._config.name, self._output.logger)
        undo.push_async_callback(link.close)
        limit = begun + self._config.start_timeout
        left = limit - monotonic()
        probe = asyncio.create_task(link.probe(left))
        ends = [asyncio.create_task(watcher.gone.wait()), asyncio.create_task(refused.wait())]
        settled = threading.Event()
        for task in (probe, *ends):
            task.add_done_callback(lambda _: settled.set())
        try:
            first = asyncio.FIRST_COMPLETED
            done, _ = await asyncio.wait((probe, *ends), timeout=min(SILENCE, left), return_when=first)
            if not done:
                look = Sheltered(lambda *_: self._tls_wanted(settled.wait), self._tell())
                if await self._in_time(look, limit) and (wanted := look.result()):
                    raise wanted
            await asyncio.wait((probe, *ends), timeout=limit - monotonic() + SETTLE, return_when=first)
            code, details = probe.result() if probe.done() else (grpc.StatusCode.DEADLINE_EXCEEDED, "")
        finally:
            for task in (probe, *ends):
                task.cancel()
        refusal = self._security.refusal(line, details)
        if code in NO_ANSWER or self.exited:
            loss = await self._loss(UNANSWERED)
            raise loss or self._unanswered(code, line, refusal)
        while not self._answered(last=monotonic() >= limit):
            if (loss := await self._loss(UNANSWERED, VETTED_AGAIN)) is not None:
                raise loss
        link.open(self._sync_stdout, self._sync_stderr)
        self._channel = self._dressed(link.channel)

    def _dressed(self, channel: aio.Channel) -> PluginChannel:
        return PluginChannel(channel, self._config.call_timeout, self._verdict, self._closed)

    async def _explained(self, error: GoPluginError) -> Exception:
        if self._life.state is not State.READY:
            return Misuse(f"the plugin {self._life.state.value}")
        if isinstance(error, Misuse | DialTimeout):
            return error
        return await self._loss("ended, and its brokered connections with it") or self._cut() or error

    async def _verdict(self, error: aio.AioRpcError) -> Exception | None:
        ended = error.code() is grpc.StatusCode.UNAVAILABLE
        loss = (await self._loss("ended during a call") or self._cut()) if ended else None
        return LostInCall(loss, error) if loss is not None else None

    def _closed(self) -> Exception | None:
        gone = self._life.state is State.GONE
        return Misuse(f"the plugin {self._life.state.value}") if gone else None

    async def _loss(self, reason: str, seconds: float = SETTLE) -> PluginLost | None:
        """Return the error that tells how the process ended, or None when ``seconds`` later it still runs."""
        watcher = self._known(self._watcher)
        # The connection breaks a moment before the process is gone.
        if not await within(watcher.gone, seconds):
            return None
        await within(watcher.drained, 2 * DRAIN)
        return self._lost(reason)

    async def _descend(self, budget: StopBudget) -> None:
        child, link, watcher = self._known(self._child), self._known(self._link), self._known(self._watcher)
        begun = monotonic()
        ladder = Ladder(budget, begun, connected=True)
        try:
            while not (self._spared or child.gone() or ladder.spent(monotonic())):
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
            left = not child.gone()
            self._stopped = Stopped.after(ladder.rung, child.status(), monotonic() - begun, left=left)
            await self._undo.aclose()

    async def _kill(self, child: Process, watcher: Watcher) -> None:
        if self._config.reattach is not None:
            return  # its life is not ours
        begun = monotonic()
        child.gone()  # one that has ended of itself was not killed
        child.send(signal.SIGKILL)
        await within(watcher.gone, self._config.stop_budget.kill)
        self._fell(monotonic() - begun)

    def _gone(self) -> None:
        self._life.enter(State.GONE)
        self._link = self._channel = None  # grpc.aio keeps a thread and descriptors as long as there is a channel
        if self._stopped is None:
            left = self._child is not None and not self._child.gone()
            self._stopped = Stopped.after(None, None, 0.0, left=left)
        _at_exit.forget(self._stop_at_exit)
        _managed.pop(self, None)

    def _ask(self) -> None:
        if self._child is not None and self._config.reattach is None:
            self._child.send(signal.SIGTERM)  # without an event loop there is no other way

    def _stop_at_exit(self, budget: StopBudget) -> None:
        """Stop without an event loop: the one it was started on has ended."""
        if self._child is not None and self._config.reattach is None:
            ladder = Ladder(budget, monotonic(), connected=False)
            while not self._child.gone() and not ladder.spent(monotonic()):
                rung = ladder.due(monotonic())
                if rung is None:
                    self._child.gone(ladder.deadline - monotonic())
                else:
                    self._child.send(signal.SIGTERM if rung is Rung.TERMINATE else signal.SIGKILL)
        if self._watcher is not None:
            self._watcher.abandon()
        if self._child is not None:
            self._child.end(budget.kill)
        self._unguard()
        if self._directory is not None:
            self._directory.close()


async def cleanup_clients() -> None:
    """Stop all managed clients of this event loop that were started and not stopped, at once.

    Raises:
        ExceptionGroup: of ``MachineFault``, where the kernel did not end processes, and of whatever else kept a client
            from being stopped; all the others were.
    """
    ours = [client for client, loop in list(_managed.items()) if loop is asyncio.get_running_loop()]
    ends = await asyncio.gather(*(client.stop() for client in ours), return_exceptions=True)
    faults = [end for end in ends if isinstance(end, BaseException)]
    if faults:
        raise BaseExceptionGroup("some plugins do not end", faults)
