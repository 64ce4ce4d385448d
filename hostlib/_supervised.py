"""Keeps a plugin running, from a thread of its own: the synchronous shell around ``_supervision.py``."""

import logging
import os
import threading
from collections.abc import Callable
from time import monotonic
from types import TracebackType
from typing import Generic, Self, TypeVar, assert_never

from ..handshake import Misuse, PluginFault, PluginLost
from . import _at_exit
from ._client import Client, stop_within
from ._ladder import SECONDS_MAX, StopBudget, Stopped, bounded
from ._supervision import Attempts, Do, Event, HealthCheck, RestartPolicy, Supervision

T = TypeVar("T")
R = TypeVar("R")

_TIDY = 5.0  # seconds that the thread may need for its last step, once its plugin has stopped
_LOGGER = logging.getLogger("goplugin.hostlib")


def chance() -> float:
    """Return a random number from 0 to 1. Importing ``random`` for one a restart costs every host milliseconds."""
    return int.from_bytes(os.urandom(4)) / 2**32


class Supervised(Generic[T]):
    """A plugin that is started again whenever it is lost. Safe to use from any thread.

    ::

        def client() -> hostlib.Client[KVStub]:
            return hostlib.Client(["./kv-plugin"], HANDSHAKE, plugins={"kv": KVStub})

        with hostlib.Supervised(client) as plugin:
            value = plugin.call("kv", lambda kv: kv.Get(request), idempotent=True)

    Args:
        make: makes the client of each start, with all its options. What it raises ends the supervision.
        policy: when to start the plugin again, and when to give it up.
        health: how to find one that runs and does not work; None for no Pings.
        on_event: is called with each event, in order, on the supervising thread, which it must not hold up. The
            ``put`` of a ``queue.SimpleQueue`` makes a stream of them.

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
        self._changed = threading.Condition()  # reentrant: a signal handler may call stop
        self._thread = threading.Thread(target=self._run, name="goplugin-supervised", daemon=True)
        self._client: Client[T] | None = None
        self._ready: Client[T] | None = None

    def start(self) -> None:
        """Begin to supervise: the plugin is started in the background.

        Raises:
            Misuse: it was started or stopped before.
        """
        with self._changed:
            if self._thread.ident is not None or self._supervision.stopping:
                raise Misuse("a supervised plugin is started once")
            _at_exit.keep(self._end, self._supervision.stop)
            self._thread.start()

    def ready(self, timeout: float = 30.0) -> Client[T]:
        """Return the client of the plugin that runs, and wait for it for ``timeout`` seconds.

        It is the client of one start: ask again after a loss, and leave its ``stop`` to the supervision.

        Raises:
            PluginLost: none is ready in time; it says how the last was lost.
            PluginGivenUp: it will not be started again.
            Misuse: it is not supervised, or was stopped.
        """
        return self._next(None, monotonic() + bounded("timeout", timeout), timeout)

    def call(
        self,
        name: str,
        work: Callable[[T], R],
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
            client = self._next(client, limit, timeout)
            try:
                stub = client.dispense(name)
            except (PluginLost, Misuse) as error:
                tries.unsent(error, current=self._ready is client)
                continue
            try:
                return work(stub)
            except (PluginLost, Misuse) as error:
                tries.broken(error, current=self._ready is client, pid=client.id)

    def stop(self) -> Stopped | None:
        """Stop the plugin for good, whatever is under way; return how it went, or None where none was started.

        Takes no longer than the client's own ``stop``, and a moment to tidy up. Stopping again is fine.

        Raises:
            MachineFault: the kernel does not end the process.
            Misuse: the supervising thread is held up by ``make`` or ``on_event``.
        """
        with self._changed:
            self._supervision.stop()
            client = self._client
            self._changed.notify_all()
        stopped = client.stop() if client is not None else None
        if self._thread.ident is not None and self._thread is not threading.current_thread():
            self._thread.join(_TIDY)
            if self._thread.is_alive():
                raise Misuse("the supervising thread does not end: make or on_event, which it calls, does not return")
        return stopped

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _next(self, lost: Client[T] | None, limit: float, seconds: float) -> Client[T]:
        """Return the client that is ready, once it is another than ``lost``."""
        if self._thread.ident is None:
            raise Misuse("the supervised plugin was not started")
        with self._changed:
            while self._ready is None or self._ready is lost or self._ready.exited:
                self._supervision.refuse()
                if not self._changed.wait(limit - monotonic()) and monotonic() >= limit:
                    raise self._supervision.unready(seconds)
            return self._ready

    def _run(self) -> None:
        supervision = self._supervision
        try:
            while True:
                do = supervision.due(monotonic())
                self._tell()
                match do:
                    case Do.START:
                        self._start()
                    case Do.WATCH:
                        self._watch()
                    case Do.PING:
                        self._ping()
                    case Do.CLEAR:
                        self._clear()
                        supervision.cleared(monotonic())
                    case Do.REST:
                        self._rest()
                    case Do.END:
                        return
                    case _ as never:
                        assert_never(never)
        except Exception as error:
            _LOGGER.exception("the supervision of a plugin failed")
            self._clear()
            supervision.failed(error)
            self._tell()
        finally:
            self._clear()
            _at_exit.forget(self._end)

    def _start(self) -> None:
        try:
            client = self._make()
            with self._changed:
                if self._supervision.stopping:
                    return
                self._client = self._current = client
            client.start()
        except Exception as error:  # noqa: BLE001 - whatever the caller's function raises is told
            self._supervision.lost(monotonic(), error)
        else:
            self._supervision.ready(monotonic(), client.id)

    def _watch(self) -> None:
        loss = self._current.wait(min(max(0.0, self._supervision.deadline - monotonic()), SECONDS_MAX))
        if loss is not None:
            self._supervision.lost(monotonic(), loss)

    def _ping(self) -> None:
        try:
            self._current.ping(self._supervision.patience)
        except (PluginLost, Misuse) as error:
            self._supervision.lost(monotonic(), error)
        except PluginFault as error:
            self._supervision.missed(monotonic(), error)
        else:
            self._supervision.healthy(monotonic())

    def _clear(self) -> None:
        try:
            if self._client is not None:
                self._client.stop()
        except Exception:  # a fault of the machine, mostly
            _LOGGER.exception("a plugin that was lost stays behind")

    def _rest(self) -> None:
        with self._changed:
            if not self._supervision.stopping:
                self._changed.wait(self._supervision.deadline - monotonic())

    def _tell(self) -> None:
        with self._changed:
            self._ready = self._client if self._supervision.running else None
            self._changed.notify_all()
        for event in self._supervision.news():
            try:
                self._on_event(event)
            except Exception:
                _LOGGER.exception("on_event failed; the supervision goes on")

    def _end(self, budget: StopBudget) -> None:
        with self._changed:
            self._supervision.stop()
            client = self._client
            self._changed.notify_all()
        if client is not None:
            stop_within(client, budget)
