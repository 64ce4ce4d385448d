"""One daemon thread for all relayed connections of the process. Waits and calls back; knows no protocol.

The thread starts with the first job and ends, with its descriptors, when nothing is left to wait for. Everything but
``call`` and ``is_current`` belongs to the thread itself.
"""

import heapq
import itertools
import logging
import math
import selectors
import socket
import threading
from collections.abc import Callable
from contextlib import ExitStack
from time import monotonic

from ..handshake import MachineFault
from ._scribe import SCRIBE

_logger = logging.getLogger("goplugin.transport")

READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE
Ready = Callable[[int], object]
"""Called with ``READ``, ``WRITE`` or both. May not block."""


class Timer:
    """A call that is due at some time, unless it is cancelled."""

    __slots__ = ("job",)

    def __init__(self, job: Callable[[], object]) -> None:
        self.job: Callable[[], object] | None = job

    def cancel(self) -> None:
        """Forget the call. Cancelling twice, or too late, is fine."""
        self.job = None


class Reactor:
    """The thread, and what it waits for."""

    def __init__(self) -> None:
        # Reentrant, as `call` is: finalizers and signal handlers come in the midst of anything, another call included.
        self._lock = threading.RLock()
        self._jobs: list[Callable[[], object]] = []
        self._thread: threading.Thread | None = None
        self._starting = False
        self._rung = True  # whether the thread looks at the jobs before it waits
        self._busy = False  # whether what the thread itself calls for needs no bell
        self._watched: dict[socket.socket, int] = {}
        self._timers: list[tuple[float, int, Timer]] = []
        self._order = itertools.count()

    def call(self, job: Callable[[], object]) -> None:
        """Have ``job`` called on the thread, soon; from any thread.

        Raises:
            MachineFault: there can be no thread.
        """
        with self._lock:
            self._jobs.append(job)
            if self._thread is None:
                self._start()
            elif not self._rung and not (self._busy and self.is_current()):
                self._rung = True
                self._bell.send(b"\0")

    def is_current(self) -> bool:
        """Whether the caller runs on the thread; from any thread."""
        return self._thread is threading.current_thread()

    def adopt(self, sock: socket.socket) -> None:
        """Know a socket before it is watched: the thread stays while there are any, and a forked child drops them."""
        self._watched.setdefault(sock, 0)

    def watch(self, sock: socket.socket, events: int, ready: Ready) -> None:
        """Call ``ready`` whenever the socket is; ``events`` replaces what was watched for before, and may be 0."""
        before = self._watched.get(sock, 0)
        self._watched[sock] = events
        if before and events:
            self._selector.modify(sock, events, (sock, ready))
        elif events:
            self._selector.register(sock, events, (sock, ready))
        elif before:
            self._selector.unregister(sock)

    def forget(self, sock: socket.socket) -> None:
        """Watch it no longer. Forgetting twice is fine."""
        if self._watched.pop(sock, 0):
            self._selector.unregister(sock)

    def later(self, seconds: float, job: Callable[[], object]) -> Timer:
        """Call ``job`` once, after that time."""
        timer = Timer(job)
        if seconds < math.inf:
            heapq.heappush(self._timers, (monotonic() + seconds, next(self._order), timer))
        return timer

    def abandon(self) -> None:
        """In a forked child: drop what is the parent's, whose connections the child must not keep open."""
        running, self._thread = self._thread is not None, None
        self._lock, self._starting, self._rung, self._busy = threading.RLock(), False, True, False
        self._jobs, self._timers = [], []
        watched, self._watched = self._watched, {}
        if running:
            # What the child unregistered would be unregistered for the parent too, so it only closes.
            self._close()
        for sock in watched:
            sock.close()

    def _start(self) -> None:
        if self._starting:  # and interrupted: the thread will take this job, too
            return
        self._starting = True
        try:
            if self._thread is None:
                self._start_thread()
        finally:
            self._starting = False

    def _start_thread(self) -> None:
        thread = threading.Thread(target=self._run, name="goplugin-relay", daemon=True)
        with ExitStack() as undo:
            undo.callback(self._jobs.clear)
            try:
                self._selector = undo.enter_context(selectors.DefaultSelector())
                self._ear, self._bell = (undo.enter_context(end) for end in socket.socketpair())
                self._ear.setblocking(False)
                self._bell.setblocking(False)
                self._selector.register(self._ear, READ, (self._ear, self._hear))
                thread.start()
            except (OSError, RuntimeError) as error:  # the latter of an interpreter that is ending, too
                raise MachineFault(f"there can be no thread for the relay: {error}") from None
            undo.pop_all()
        self._thread = thread

    def _hear(self, _: int) -> None:
        self._ear.recv(64)

    def _run(self) -> None:
        SCRIBE.hurry()
        while True:
            self._busy = False
            with self._lock:
                # In this order: whoever comes in between rings, and once too often is fine.
                self._rung, jobs, self._jobs = False, self._jobs, []
                if not jobs and not self._watched and all(timer.job is None for *_, timer in self._timers):
                    self._end()
                    if self._jobs:  # of a finalizer that came meanwhile
                        self._start()
                    return
            self._busy = bool(jobs)
            for job in jobs:
                self._run_job(job)
            happened = self._selector.select(0 if jobs else self._patience())
            self._busy = True
            for key, events in happened:
                sock, ready = key.data
                if sock is not self._ear and sock not in self._watched:
                    continue  # forgotten a moment ago, in the callback of another
                try:
                    ready(events)
                except Exception as error:  # noqa: BLE001 - a mistake of ours must not end the other connections
                    what = "a relayed connection failed in a way that it should not"
                    SCRIBE.log(_logger, logging.ERROR, what, error=error)
                    self.forget(sock)
            self._run_timers()

    def _end(self) -> None:
        self._rung = True
        self._close()
        self._timers.clear()
        self._thread = None

    def _close(self) -> None:
        self._selector.close()
        self._ear.close()
        self._bell.close()

    def _patience(self) -> float | None:
        while self._timers and self._timers[0][2].job is None:
            heapq.heappop(self._timers)
        return max(0.0, self._timers[0][0] - monotonic()) if self._timers else None

    def _run_timers(self) -> None:
        now = monotonic()
        while self._timers and self._timers[0][0] <= now:
            job = heapq.heappop(self._timers)[2].job
            if job is not None:
                self._run_job(job)

    def _run_job(self, job: Callable[[], object]) -> None:
        try:
            job()
        except Exception as error:  # noqa: BLE001 - as above
            SCRIBE.log(_logger, logging.ERROR, "a job of the relay failed in a way that it should not", error=error)


REACTOR = Reactor()
"""The process's own, on which everything runs."""
