"""Runs what the author wrote, on the threads of the calls that ask for it. `_loop` does the same on an event loop.

Decides nothing but who has to wait: at most so many calls of a component run at once.
"""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, Protocol, TypeVar

from ..proto import lazy
from ..transport import Workers
from ._message import Message

_T = TypeVar("_T")


class Caller(Protocol):
    """The host's call, of which grpcio's context is one."""

    def add_callback(self, callback: Callable[[], object]) -> bool:
        """Call ``callback`` when the call is over; return False if it is already."""
        ...


class Calls(Protocol):
    """How the functions of one component are run."""

    def allow(self, max_in_flight: int) -> None:
        """Let so many calls run at once from now on."""
        ...

    def each(
        self,
        function: Callable[[Message], Any],
        wires: Sequence[lazy.Message],
        made: Callable[[int, Any], None],
        failed: Callable[[int, BaseException], None],
        caller: Caller | None,
    ) -> None:
        """Call ``function`` with each of these messages, and report as `Message.each` does."""
        ...

    def one(self, function: Callable[[_T], Any], item: _T, caller: Caller | None) -> Any:
        """Return what ``function`` makes of one item, counted among those in flight."""
        ...

    def build(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Return what ``function`` returns, called where the component runs: on the event loop, if it has one."""
        ...

    def aside(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Return what ``function`` returns; not counted. An ordinary function never runs on an event loop."""
        ...

    def begin(self, function: Callable[[], Any]) -> "Future[Any]":
        """Call ``function`` and do not wait; one such call at a time."""
        ...

    def responds(self, within: float) -> bool:
        """Return whether what is asked for would be begun within so many seconds."""
        ...

    def close(self) -> None:
        """Run nothing more."""
        ...


_THREADS_MAX = 1024  # of one component, each started when it is needed: an author may allow any number


class Threads:
    """Runs everything on the thread that asks, and what is only begun on one of its own.

    Args:
        max_in_flight: how many calls may run at once.
        shares: whether so many threads go through the messages of one batch; each batch then has its turn.
    """

    def __init__(self, max_in_flight: int, *, shares: bool = False) -> None:
        self.allow(max_in_flight)
        self._reader = Workers(1, "goplugin-read")
        self._count = min(max_in_flight, _THREADS_MAX)
        self._sharers = Workers(self._count, "goplugin-process") if shares and self._count > 1 else None

    def allow(self, max_in_flight: int) -> None:
        self._slots = threading.BoundedSemaphore(max_in_flight)

    def each(
        self,
        function: Callable[[Message], Any],
        wires: Sequence[lazy.Message],
        made: Callable[[int, Any], None],
        failed: Callable[[int, BaseException], None],
        caller: Caller | None,  # noqa: ARG002 - nothing stops a thread
    ) -> None:
        if self._sharers is not None:
            self._share(self._sharers, function, wires, made, failed)
            return
        with self._slots:
            Message.each(wires, function, made, failed)

    def one(self, function: Callable[[_T], Any], item: _T, caller: Caller | None) -> Any:  # noqa: ARG002 - as above
        with self._slots:
            return function(item)

    def build(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return function(*arguments)

    aside = build

    def begin(self, function: Callable[[], Any]) -> "Future[Any]":
        return self._reader.submit(function)

    def responds(self, within: float) -> bool:  # noqa: ARG002 - it is the asking thread that would do it
        return True

    def close(self) -> None:
        for workers in (self._reader, self._sharers):
            if workers is not None:
                workers.shutdown(wait=False, cancel_futures=True)

    def _share(
        self,
        workers: Workers,
        function: Callable[[Message], Any],
        wires: Sequence[lazy.Message],
        made: Callable[[int, Any], None],
        failed: Callable[[int, BaseException], None],
    ) -> None:
        left, lock = enumerate(Message.over(wires)), threading.Lock()

        def work() -> None:
            while True:
                with lock:
                    index, message = next(left, (-1, None))
                if message is None:
                    return
                try:
                    result = function(message)
                    if result is not message or message.was_seen:
                        made(index, result)
                except BaseException as error:  # noqa: BLE001 - it belongs to this message
                    with lock:
                        failed(index, error)

        # The threads are the limit: a batch that comes while all are busy waits behind the one before it.
        shares = [workers.submit(work) for _ in range(min(self._count, len(wires)))]
        for share in shares:
            share.result()
