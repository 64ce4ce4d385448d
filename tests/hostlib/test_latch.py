"""What one thread waits for and another sets, or a signal handler."""

import threading
from queue import SimpleQueue
from typing import Any

import pytest

from goplugin.hostlib._latch import Latch


def test_it_is_waited_for_by_all_and_no_longer_than_asked() -> None:
    latch, seen = Latch(), list[bool]()
    assert not latch.wait(0.0)
    assert not latch.wait(-1.0)
    assert not latch.wait(0.01)
    assert not latch.is_set()
    threads = [threading.Thread(target=lambda: seen.append(latch.wait(60))) for _ in range(4)]
    for thread in threads:
        thread.start()
    latch.set()
    latch.set()
    for thread in threads:
        thread.join(60)
    assert seen == [True] * 4
    assert latch.is_set()
    assert latch.wait(60)


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("step", ["get", "put"])
def test_a_signal_handler_may_set_it_and_wait_for_it_while_its_thread_does(step: str, moment: str) -> None:
    latch, told = Latch(), list[bool]()

    class Interrupted(SimpleQueue[None]):
        def get(self, *arguments: Any, **named: Any) -> None:
            return self.around("get", lambda: super(Interrupted, self).get(*arguments, **named))

        def put(self, *arguments: Any, **named: Any) -> None:
            return self.around("put", lambda: super(Interrupted, self).put(*arguments, **named))

        def around(self, name: str, call: Any) -> None:
            if name == step and moment == "before":
                self.handler()
            call()
            if name == step and moment == "after":
                self.handler()

        def handler(self) -> None:
            if not told:
                told.append(False)
                latch.set()
                told.append(latch.wait(60))

    latch._news = Interrupted()  # pyright: ignore[reportPrivateUsage]
    if moment == "after" or step == "put":
        threading.Timer(0.0, latch.set).start()
    assert latch.wait(60)
    assert told in ([], [False, True])
