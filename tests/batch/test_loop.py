"""The event loop of asynchronous plugins, as it ends; what it does is tested through whole services."""

import asyncio
import threading

from waiting import until

from goplugin.batch._loop import Loop

LIMIT = 10.0


def test_a_loop_that_is_closed_once_more_while_it_ends_still_lets_its_tasks_end() -> None:
    loop, begun, ending, ended = Loop(1), threading.Event(), threading.Event(), threading.Event()

    async def task() -> None:
        begun.set()
        try:
            await asyncio.sleep(LIMIT)
        finally:
            ending.set()
            await asyncio.sleep(0.1)
            ended.set()

    loop.begin(task)
    assert begun.wait(LIMIT)
    closing = threading.Thread(target=loop.close, daemon=True)
    closing.start()
    assert ending.wait(LIMIT)
    loop.close()
    closing.join(LIMIT)
    assert ended.wait(LIMIT)  # either close waits for a moment only
    loop.close()
    until(lambda: not loop.responds(LIMIT), LIMIT)
