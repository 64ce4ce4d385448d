"""The reader of a plugin's pipes on an event loop."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from time import monotonic

from goplugin.hostlib._aio_watcher import Watcher, within
from goplugin.hostlib._child import Child
from goplugin.hostlib._launch import Launch, Terms
from goplugin.hostlib._output import Output

LINE = "1|1|unix|/tmp/p|grpc|"


def watched(script: str, work: Callable[[Child, Watcher, Output], Awaitable[None]]) -> None:
    """Let ``work`` watch a process whose line was read."""

    async def run() -> None:
        output = Output("test", None, None)
        child = Child(["sh", "-c", script], dict(os.environ), None)
        watcher = Watcher(child, output)
        try:
            terms = Terms(timeout=30, versions={1}, argv=["sh"], pid=child.pid, stderr=output.tail)
            assert (await watcher.line(Launch(monotonic(), terms))).version == 1
            await work(child, watcher, output)
        finally:
            child.send(signal.SIGKILL)
            await within(watcher.gone, 30)
            await watcher.close()
            child.end(10)

    asyncio.run(run())


def test_a_process_that_ended_while_its_line_was_read_is_seen_to_have_ended() -> None:
    async def work(child: Child, watcher: Watcher, output: Output) -> None:
        assert await within(watcher.gone, 30)
        assert await within(watcher.drained, 30)
        assert output.tail() == (b"last",)

    watched(f"echo '{LINE}'; echo last >&2", work)


def test_what_a_grandchild_still_holds_is_not_waited_for() -> None:
    async def work(child: Child, watcher: Watcher, output: Output) -> None:
        assert await within(watcher.gone, 30)
        assert await within(watcher.drained, 30)
        os.kill(int(output.tail()[0]), signal.SIGKILL)

    # In a session of its own it is out of reach of what we signal.
    watched(f"echo '{LINE}'; setsid sleep 60 & echo $! >&2", work)


def test_nothing_is_read_after_the_end_and_closing_twice_is_fine() -> None:
    async def work(child: Child, watcher: Watcher, output: Output) -> None:
        child.send(signal.SIGTERM)
        assert await within(watcher.gone, 30)
        await watcher.close()
        await watcher.close()
        assert watcher.drained.is_set()

    watched(f"echo '{LINE}'; exec sleep 60", work)


def test_waiting_has_an_end() -> None:
    async def run() -> None:
        event = asyncio.Event()
        assert not await within(event, 0.01)
        assert not await within(event, -1)
        event.set()
        assert await within(event, 0.01)

    asyncio.run(run())
