"""What one thread waits for and another sets, or a signal handler does in the midst of either. Decides nothing.

``threading.Event`` holds a lock while it is set, and at times while it is waited for, so a handler that sets it then
waits for ever for the thread that it interrupts. A lock that may be taken twice does not help: what the handler sets
between the thread's look and its wait, the thread misses.
"""

from queue import Empty, SimpleQueue


class Latch:
    """Like ``threading.Event``, but it cannot be cleared."""

    def __init__(self) -> None:
        self._set = False
        self._news: SimpleQueue[None] = SimpleQueue()  # its put may be called in the midst of any of its calls

    def is_set(self) -> bool:
        """Return whether it was set."""
        return self._set

    def set(self) -> None:
        """Set it. Setting it twice is fine."""
        self._set = True
        self._news.put(None)

    def wait(self, seconds: float) -> bool:
        """Wait until it is set, ``seconds`` at most; return whether it is."""
        if not self.is_set():
            try:
                self._news.get(timeout=max(0.0, seconds))
            except Empty:
                pass
            finally:
                if self.is_set():
                    self._news.put(None)  # for the next who waits
        return self.is_set()
