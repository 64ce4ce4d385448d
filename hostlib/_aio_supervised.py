"""The asyncio twin of ``_supervised.py``: keeps a plugin running, from a task of its own."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from time import monotonic
from types import TracebackType
from typing import Generic, Self, TypeVar, assert_never

from ..handshake import Misuse, PluginFault, PluginLost
from ._aio_client import Client
from ._aio_watcher import within
from ._ladder import SECONDS_MAX, Stopped, bounded
from ._supervised import chance
from ._supervision import Attempts, Do, Event, HealthCheck, RestartPolicy, Supervision

T = TypeVar("T")
R = TypeVar("R")

_LOGGER = logging.getLogger("goplugin.hostlib")


class Supervised(Generic[T]):
    """A plugin that is started again whenever it is lost, on the event loop that runs when it starts.

    ::

        def client() -> aio.Client[KVStub]:
            return aio.Client(["./kv-plugin"], HANDSHAKE, plugins={"kv": KVStub})

        async with aio.Supervised(client) as plugin:
            value = await plugin.call("kv", lambda kv: kv.Get(request), idempotent=True)

    Args:
        make: makes the client of each start, with all its options. What it raises ends the supervision.
        policy: when to start the plugin again, and when to give it up.
        health: how to find one that runs and does not work; None for no Pings.
        on_event: is called with each event, in order, on the event loop. The ``put_nowait`` of an ``asyncio.Queue``
            makes a stream of them.

    Raises:
        Misuse: an argument makes no sense.
    """

    _current: Client[T]  # the last made, from the first start on

    def __init__(
        self,
        make: Callable[[], Client[T]],
        *,
        policy: RestartPolicy = RestartPolicy(),  # noqa: B008 - frozen
        health: HealthCheck | None = HealthCheck(),  # noqa: B008 - frozen
        on_event: Callable[[Event], object] | None = None,
    ) -> None:
        self._make, self._on_event = make, on_event if on_event is not None else lambda _: None
        self._supervision = Supervision(policy, health, chance)
        self._changed = asyncio.Event()  # a new one for each change
        self._task: asyncio.Task[None] | None = None
        self._client: Client[T] | None = None
        self._ready: Client[T] | None = None

    async def start(self) -> None:
        """Begin to supervise: the plugin is started in the background.

        Raises:
            Misuse: it was started or stopped before.
        """
        if self._task is not None or self._supervision.stopping:
            raise Misuse("a supervised plugin is started once")
        self._task = asyncio.create_task(self._run(), name="goplugin-supervised")

    async def ready(self, timeout: float = 30.0) -> Client[T]:
        """Return the client of the plugin that runs, and wait for it for ``timeout`` seconds.

        It is the client of one start: ask again after a loss, and leave its ``stop`` to the supervision.

        Raises:
            PluginLost: none is ready in time; it says how the last was lost.
            PluginGivenUp: it will not be started again.
            Misuse: it is not supervised, or was stopped.
        """
        return await self._next(None, monotonic() + bounded("timeout", timeout), timeout)

    async def call(
        self,
        name: str,
        work: Callable[[T], Awaitable[R]],
        *,
        idempotent: bool = False,
        attempts: int = 3,
        timeout: float = 60.0,
    ) -> R:
        """Return what ``work`` returns for a stub of the plugin ``name``.

        It waits for a plugin that is ready. Where the plugin is lost meanwhile, the work is done again on the next one
        only if it is ``idempotent``: nobody knows how much of it was done.

        Args:
            name: what to dispense.
            work: makes its calls on the stub, and lets their errors pass.
            idempotent: whether doing it twice is as good as once.
            attempts: how often an idempotent work is begun at most; one that crashes the plugin would do so for ever.
            timeout: seconds to wait for a plugin, for all attempts together. The calls have limits of their own.

        Raises:
            MayHaveRun: the plugin was lost meanwhile.
            PluginLost, PluginGivenUp, Misuse: as ``ready`` and ``Client.dispense``.
        """
        limit = monotonic() + bounded("timeout", timeout)
        tries = Attempts(idempotent=idempotent, attempts=attempts)
        client: Client[T] | None = None
        while True:
            client = await self._next(client, limit, timeout)
            try:
                stub = client.dispense(name)
            except (PluginLost, Misuse) as error:
                tries.unsent(error, current=self._ready is client)
                continue
            try:
                return await work(stub)
            except (PluginLost, Misuse) as error:
                tries.broken(error, current=self._ready is client, pid=client.id)
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if self._ready is client or (task is not None and task.cancelling()):
                    raise
                # grpc.aio's word for a call whose channel was closed, as that of a plugin is that was given up.
                tries.broken(PluginLost("was stopped meanwhile"), current=False)

    async def stop(self) -> Stopped | None:
        """Stop the plugin for good, whatever is under way; return how it went, or None where none was started.

        Takes no longer than the client's own ``stop``. Stopping again is fine. Cancelling the caller does not interrupt
        the stop.

        Raises:
            MachineFault: the kernel does not end the process.
        """
        self._supervision.stop()
        self._change()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None  # its cancellation would hold on to all that it had in its hands
        return await self._client.stop() if self._client is not None else None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def _next(self, lost: Client[T] | None, limit: float, seconds: float) -> Client[T]:
        """Return the client that is ready, once it is another than ``lost``."""
        while self._ready is None or self._ready is lost or self._ready.exited:
            self._supervision.refuse()
            if self._task is None:
                raise Misuse("the supervised plugin was not started")
            if not await within(self._changed, limit - monotonic()) and monotonic() >= limit:
                raise self._supervision.unready(seconds)
        return self._ready

    async def _run(self) -> None:
        supervision = self._supervision
        try:
            while True:
                do = supervision.due(monotonic())
                self._tell()
                match do:
                    case Do.START:
                        await self._start()
                    case Do.WATCH:
                        await self._watch()
                    case Do.PING:
                        await self._ping()
                    case Do.CLEAR:
                        await self._clear()
                        supervision.cleared(monotonic())
                    case Do.REST:
                        await asyncio.sleep(supervision.deadline - monotonic())
                    case Do.END:
                        return
                    case _ as never:
                        assert_never(never)
        except Exception as error:
            _LOGGER.exception("the supervision of a plugin failed")
            await self._clear()
            supervision.failed(error)
            self._tell()
        finally:
            await self._clear()

    async def _start(self) -> None:
        try:
            client = self._client = self._current = self._make()
            await client.start()
        except Exception as error:  # noqa: BLE001 - whatever the caller's function raises is told
            self._supervision.lost(monotonic(), error)
        else:
            self._supervision.ready(monotonic(), client.id)

    async def _watch(self) -> None:
        loss = await self._current.wait(min(max(0.0, self._supervision.deadline - monotonic()), SECONDS_MAX))
        if loss is not None:
            self._supervision.lost(monotonic(), loss)

    async def _ping(self) -> None:
        try:
            await self._current.ping(self._supervision.patience)
        except (PluginLost, Misuse) as error:
            self._supervision.lost(monotonic(), error)
        except PluginFault as error:
            self._supervision.missed(monotonic(), error)
        else:
            self._supervision.healthy(monotonic())

    async def _clear(self) -> None:
        try:
            if self._client is not None:
                await self._client.stop()
        except Exception:  # a fault of the machine, mostly
            _LOGGER.exception("a plugin that was lost stays behind")

    def _tell(self) -> None:
        self._ready = self._client if self._supervision.running else None
        self._change()
        for event in self._supervision.news():
            try:
                self._on_event(event)
            except Exception:
                _LOGGER.exception("on_event failed; the supervision goes on")

    def _change(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
