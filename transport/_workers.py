"""Threads that run handlers. Daemonic, so that a handler that never returns cannot keep the process alive."""

import itertools
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
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
        self._numbers = itertools.count()
        self._jobs: deque[tuple[Future[Any], Callable[[], None]]] = deque()
        self._wake = threading.Condition()
        self._closed = False
        self._idle = 0
        self._alive: set[threading.Thread] = set()

    def submit(self, fn: Callable[_P, _R], /, *args: _P.args, **kwargs: _P.kwargs) -> Future[_R]:
        """Queue a call.

        Raises:
            RuntimeError: the executor was shut down.
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

        with self._wake:
            if self._closed:
                raise RuntimeError("cannot submit to workers that were shut down")
            self._jobs.append((future, job))
            if self._idle >= len(self._jobs):
                self._wake.notify()
            elif len(self._alive) < self._count:
                thread = threading.Thread(target=self._work, name=f"{self._prefix}-{next(self._numbers)}", daemon=True)
                self._alive.add(thread)
                thread.start()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more calls; ``cancel_futures`` drops those not begun, ``wait`` waits for those that are.

        Unlike the standard pool's, ``wait`` ends after five seconds: no wait here is without end.
        """
        with self._wake:
            self._closed = True
            if cancel_futures:
                for future, _ in self._jobs:
                    future.cancel()
                self._jobs.clear()
            self._wake.notify_all()
            threads = list(self._alive)
        if wait:
            limit = 5.0 / max(1, len(threads))
            for thread in threads:
                thread.join(limit)

    def _work(self) -> None:
        while True:
            with self._wake:
                self._idle += 1
                while not self._jobs and not self._closed:
                    self._wake.wait()
                self._idle -= 1
                if not self._jobs:
                    self._alive.discard(threading.current_thread())
                    return
                _, job = self._jobs.popleft()
            job()
