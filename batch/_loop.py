"""Runs what the author wrote with ``async def``, on an event loop that has a thread of its own. Decides nothing.

The calls of the host wait on grpcio's threads, so nothing that they do can hold up the loop, and whatever holds up the
loop cannot keep the host from ending the plugin.
"""

import asyncio
import inspect
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from concurrent.futures import CancelledError, Future
from typing import Any, TypeVar

from ..handshake import HostFault
from ..proto import lazy
from ._calls import Caller
from ._failures import spelled
from ._message import Message

_T = TypeVar("_T")

_END_WITHIN = 1.0  # seconds for tasks that are cancelled to end; the thread is a daemon


class Loop:
    """Runs all but ordinary functions on the loop. A call of the host that is given up cancels what it began."""

    def __init__(self, max_in_flight: int) -> None:
        self.allow(max_in_flight)
        self._loop = asyncio.new_event_loop()
        self._closed = self._loop.create_future()
        self._thread = threading.Thread(target=self._run, name="goplugin-loop", daemon=True)
        self._thread.start()

    def allow(self, max_in_flight: int) -> None:
        self._max_in_flight = max_in_flight
        self._slots = asyncio.Semaphore(max_in_flight)

    def each(
        self,
        function: Callable[[Message], Any],
        wires: Iterable[lazy.Message],
        made: Callable[[int, Any], None],
        failed: Callable[[int, BaseException], None],
        caller: Caller | None,
    ) -> None:
        left = enumerate(Message.over(wires))

        async def work() -> None:
            async with self._slots:
                for index, message in left:
                    try:
                        result = await function(message)
                        if result is not message or message.was_seen:
                            made(index, result)
                    except BaseException as error:
                        if given_up():
                            raise
                        failed(index, error)

        async def share() -> None:
            try:
                async with asyncio.TaskGroup() as workers:
                    for _ in range(self._max_in_flight):
                        worker = workers.create_task(work())
                        # It now runs until it waits for something. One that ends at once finds nothing left to do.
                        await asyncio.sleep(0)
                        if worker.done():
                            break
            except BaseExceptionGroup as failures:
                raise failures.exceptions[0] from None

        self._wait(self._submit(share()), caller)

    def one(self, function: Callable[[_T], Any], item: _T, caller: Caller | None) -> Any:
        async def call() -> Any:
            async with self._slots:
                return await _contained(function(item))

        return self._wait(self._submit(call()), caller)

    def build(self, function: Callable[..., Any], *arguments: Any) -> Any:
        async def call() -> Any:
            return function(*arguments)

        return self._submit(_contained(call())).result()

    def aside(self, function: Callable[..., Any], *arguments: Any) -> Any:
        result = function(*arguments)  # here: an ordinary ack, or connect, may take its time
        return self._submit(_contained(result)).result() if inspect.isawaitable(result) else result

    def begin(self, function: Callable[[], Any]) -> "Future[Any]":
        return self._submit(_contained(function()))

    def responds(self, within: float) -> bool:
        heard = threading.Event()
        try:
            self._loop.call_soon_threadsafe(heard.set)
        except RuntimeError:
            return False  # closed before
        return heard.wait(within)

    def close(self) -> None:
        try:
            self._loop.call_soon_threadsafe(self._end)
        except RuntimeError:
            return  # closed before
        self._thread.join(_END_WITHIN)

    def _submit(self, work: Coroutine[Any, Any, _T]) -> "Future[_T]":
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def _wait(self, future: "Future[_T]", caller: Caller | None) -> _T:
        if caller is not None and not caller.add_callback(future.cancel):
            future.cancel()
        try:
            return future.result()
        except CancelledError:
            raise HostFault("this call was given up") from None

    def _end(self) -> None:
        # Not loop.stop: where the loop was held up, close is called again while it ends, and would stop it in that.
        if not self._closed.done():
            self._closed.set_result(None)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._closed)
            tasks = asyncio.all_tasks(self._loop)
            for task in tasks:
                task.cancel()
            if tasks:
                self._loop.run_until_complete(asyncio.wait(tasks, timeout=_END_WITHIN))
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        finally:
            self._loop.close()


def given_up() -> bool:
    """Return whether the task that asks is to end. If not, its CancelledError is of something that it awaited."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def _contained(work: Awaitable[_T]) -> _T:
    """Await ``work``; what is no Exception comes out in one, for it would end the task, or the loop, not the call."""
    try:
        return await work
    except Exception:
        raise
    except BaseException as error:
        if given_up():
            raise
        raise RuntimeError(spelled(error)) from error
