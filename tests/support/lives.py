"""A process that is no child of ours, watched by a descriptor that the kernel makes readable when it ends."""

import os
import select
import signal
import time

import psutil

LIMIT = 60.0


class Life:
    """One process; ``end`` it in any case."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._descriptor = os.pidfd_open(pid)

    def ended(self, seconds: float = LIMIT) -> bool:
        """Return whether it has ended, at the latest after ``seconds``."""
        poll = select.poll()
        poll.register(self._descriptor, select.POLLIN)
        return bool(poll.poll(seconds * 1000))

    def end(self) -> None:
        """Kill it, unless it has ended."""
        if not self.ended(0):
            signal.pidfd_send_signal(self._descriptor, signal.SIGKILL)
        os.close(self._descriptor)


def command(process: psutil.Process) -> str:
    """Return what it runs, or "" of one that has ended.

    Waits for a program that is just being started: the kernel lets its parent go on, and only then says what it runs.
    """
    limit = time.monotonic() + LIMIT
    try:
        while not (found := " ".join(process.cmdline())) and process.status() != psutil.STATUS_ZOMBIE:
            assert time.monotonic() < limit, process
            time.sleep(0.001)
    except psutil.NoSuchProcess:
        return ""
    return found
