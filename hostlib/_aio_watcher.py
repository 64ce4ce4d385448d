"""The asyncio twin of ``_supervisor.py``: reads the pipes of one plugin and sees its end, on the event loop.

Not by ``asyncio.subprocess``, which waits for the pipes rather than for the process. Decides nothing.
"""

import asyncio
import signal
from collections.abc import Callable
from time import monotonic

from ..handshake import Line
from ._child import DRAIN, read
from ._launch import Launch
from ._output import Output
from ._process import Process


class Watcher:
    """The reader of one plugin.

    Attributes:
        gone: set once the process has ended.
        drained: set once what it wrote has been read, too.
    """

    def __init__(self, child: Process, output: Output) -> None:
        self._child, self._output = child, output
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()
        self._launch: Launch | None = None
        self._open = {descriptor for descriptor in (child.stdout, child.stderr) if descriptor >= 0}
        self.gone, self.drained = asyncio.Event(), asyncio.Event()
        for descriptor, hear in ((child.stdout, self._hear_stdout), (child.stderr, self._hear_stderr)):
            if descriptor >= 0:
                self._loop.add_reader(descriptor, self._read, descriptor, hear)
        self._loop.add_reader(child.exit, self._see_end)

    async def line(self, launch: Launch) -> Line:
        """Read until the outcome is clear; return the line or raise what ``launch`` raises."""
        self._launch = launch
        while (line := launch.outcome(monotonic())) is None:
            if launch.condemned and not self._child.killed:
                self._child.send(signal.SIGKILL)
            self._news.clear()
            await within(self._news, launch.deadline - monotonic())
        self._launch = None
        self._output.stdout(launch.rest)
        return line

    async def close(self) -> None:
        """Let go of the pipes. Where the process has ended, waits a moment for what it wrote last."""
        if self._child.gone():
            await within(self.drained, DRAIN)
        self._forget(self._child.exit)
        self._finish()

    def give_up(self) -> None:
        """Let everybody who waits for the end of the process believe that it has come."""
        self.gone.set()

    def abandon(self) -> None:
        """Let go of the pipes when no event loop runs any more."""
        if not self._loop.is_closed():
            self._forget(self._child.exit)
        self._finish()

    def _read(self, descriptor: int, hear: Callable[[bytes], None]) -> None:
        data = read(descriptor)
        if data is None:
            return
        if not data:
            self._forget(descriptor)
            self._open.discard(descriptor)
        hear(data)
        self._news.set()
        if self.gone.is_set() and not self._open:
            self._finish()

    def _hear_stdout(self, data: bytes) -> None:
        if self._launch is not None:
            self._launch.stdout(data)
        else:
            self._output.stdout(data)

    def _hear_stderr(self, data: bytes) -> None:
        if data:
            self._output.stderr(data)
        elif self._launch is not None:
            self._launch.stderr_ended()

    def _see_end(self) -> None:
        if not self._child.gone():
            return
        self._forget(self._child.exit)
        if self._launch is not None:
            self._launch.exited(self._child.status())
        self.gone.set()
        self._news.set()
        if self._open:
            self._loop.call_later(DRAIN, self._finish)
        else:
            self._finish()

    def _forget(self, descriptor: int) -> None:
        self._loop.remove_reader(descriptor)

    def _finish(self) -> None:
        if self.drained.is_set():
            return
        for descriptor in self._open:
            if not self._loop.is_closed():
                self._forget(descriptor)
        self._child.close_pipes()
        self._output.ended()
        self.drained.set()


async def within(event: asyncio.Event, seconds: float) -> bool:
    """Wait for ``event``, and return whether it came within ``seconds``."""
    try:
        async with asyncio.timeout(max(0.0, seconds)):
            await event.wait()
    except TimeoutError:
        return event.is_set()
    return True
