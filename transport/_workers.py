"""Threads that run handlers. Daemonic, so that a handler that never returns cannot keep the process alive."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from queue import Empty, SimpleQueue
from typing import Any, ParamSpec, TypeVar

_P = ParamSpec("_P")
_R = TypeVar("_R")


class Workers(ThreadPoolExecutor):
    """An executor of at most ``count`` daemonic threads named ``name-N``, each started when it is first needed.

    The standard pool's threads are joined when the interpreter ends, so one hung handler would keep a plugin, and
    its host waiting, for ever; a Go process just ends. It is a ThreadPoolExecutor in name because grpcio tests for
    that class where a handler brings its own pool; it shares none of its code.
    """

    def __init__(self, count: int, name: str) -> None:  # the base class would make threads of its own kind
        if count < 1:
            raise ValueError(f"count must be at least 1, got {count}")
        self._count, self._prefix = count, name
        # One wake-up for each call, made in C: a condition costs three, which a busy interpreter feels.
        self._jobs: SimpleQueue[tuple[Future[Any], Callable[[], None]] | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._finished = threading.Condition(self._lock)
        self._unfinished = 0
        self._closed = False
        self._alive: list[threading.Thread] = []

    def submit(self, fn: Callable[_P, _R], /, *args: _P.args, **kwargs: _P.kwargs) -> Future[_R]:
        """Queue a call.

        Raises:
            RuntimeError: the executor was shut down, or there can be no thread for it.
        """
        future: Future[_R] = Future()

        def job() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                result = fn(*args, **kwargs)
            except BaseException as error:  # noqa: BLE001 - whoever holds the future gets it
                future.set_exception(error)
            else:
                future.set_result(result)

        with self._lock:
            if self._closed:
                raise RuntimeError("cannot submit to workers that were shut down")
            if len(self._alive) < min(self._unfinished + 1, self._count):
                name = f"{self._prefix}-{len(self._alive)}"
                thread = threading.Thread(target=self._work, name=name, daemon=True)
                try:
                    thread.start()
                except RuntimeError:  # the system has no more: those that there are take their turns
                    if not self._alive:
                        raise
                else:
                    self._alive.append(thread)
            self._unfinished += 1
            self._jobs.put((future, job))  # under the lock, so that no call comes behind the end of the queue
        return future

    def finish(self, within: float) -> bool:
        """Wait until no call runs or waits, at most ``within`` seconds; return whether that is so."""
        with self._lock:
            return self._finished.wait_for(lambda: not self._unfinished, within)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more calls; ``cancel_futures`` drops those not begun, ``wait`` waits for those that are.

        Unlike the standard pool's, ``wait`` ends after five seconds: no wait here is without end.
        """
        with self._lock:
            self._closed = True
            threads = list(self._alive)
        while cancel_futures and (dropped := self._next()) is not None:
            dropped[0].cancel()
            self._count_down()
        for _ in threads:
            self._jobs.put(None)
        if wait:
            limit = 5.0 / max(1, len(threads))
            for thread in threads:
                thread.join(limit)

    def _next(self) -> tuple[Future[Any], Callable[[], None]] | None:
        try:
            return self._jobs.get_nowait()
        except Empty:
            return None

    def _work(self) -> None:
        while (item := self._jobs.get()) is not None:
            item[1]()
            del item  # or an idle thread would keep the last call's request
            self._count_down()

    def _count_down(self) -> None:
        with self._lock:
            self._unfinished -= 1
            if not self._unfinished:
                self._finished.notify_all()
