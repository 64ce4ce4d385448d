"""The descriptor that tells when a process is gone, and who may wait on it. Never reaps, never signals."""

import errno
import os
import select
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress


class ExitDescriptor:
    """A descriptor that becomes readable once a process is gone. Closed when nobody waits on it any more.

    Attributes:
        number: the descriptor, or -1 once it is closed.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self._lock = threading.RLock()  # a signal handler may stop the client while its thread holds the lock
        self._waiting = 0
        self._closing = self._ended = False

    def ended(self, seconds: float = 0.0) -> bool:
        """Return whether the process is gone, at the latest after ``seconds``; once closed, what was known last."""
        with self._lock:
            if self._ended or self.number < 0:
                return self._ended
            self._waiting += 1
        ended = False
        try:
            ended = readable(self.number, seconds)
        finally:
            with self._lock:
                if ended:
                    self._ended = True
                self._waiting -= 1
                self._close_unless_waited_on()
        return ended

    def close(self) -> None:
        """Close it, as soon as nobody waits on it. Closing twice is fine."""
        with self._lock:
            self._closing = True
            self._close_unless_waited_on()

    def _close_unless_waited_on(self) -> None:
        if self._closing and not self._waiting and self.number >= 0:
            number, self.number = self.number, -1
            os.close(number)


def exit_descriptor(process: "subprocess.Popen[bytes]") -> int:
    """Return a descriptor that becomes readable once ``process`` is gone. The caller closes it."""
    if sys.platform == "linux":
        try:
            return os.pidfd_open(process.pid)
        except OSError as error:
            # An old kernel; a sandbox that hides the call; where SIGCHLD is ignored, a process that is gone already.
            if error.errno not in (errno.ENOSYS, errno.EPERM, errno.ESRCH):
                raise
    return watched(process)


def watched(process: "subprocess.Popen[bytes]") -> int:
    """Do what ``exit_descriptor`` does where the system has no descriptors of processes: a thread waits for it."""
    read, write = os.pipe()

    def watch() -> None:
        if hasattr(os, "waitid"):
            with suppress(ChildProcessError):  # it is gone, and somebody else was told
                os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # leaves it to be reaped, so its number stays
        else:
            process.wait()
        os.close(write)

    try:
        threading.Thread(target=watch, name=f"goplugin-exit-{process.pid}", daemon=True).start()
    except RuntimeError:  # there is no thread to be had
        os.close(read)
        os.close(write)
        raise
    return read


def exit_status(process: "subprocess.Popen[bytes]", unreaped: Callable[[], object]) -> int | None:
    """Return the exit status of a process that is gone, as ``subprocess`` gives it; None where nobody knows it.

    That is so where somebody else has reaped it, or the system, as it does where SIGCHLD is ignored. Else ``unreaped``
    is called first: as long as it is not reaped, its number is its own, and that of its group, too.

    ``process.wait`` holds a lock, at which a signal handler would wait for ever that asks in the midst of it.
    """
    if not hasattr(os, "waitid"):
        unreaped()
        return process.wait()
    try:
        end = os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    except ChildProcessError:
        return process.returncode  # which such a handler has noted, if it has reaped it
    unreaped()
    return None if end is None else end.si_status if end.si_code == os.CLD_EXITED else -end.si_status


def readable(descriptor: int, seconds: float) -> bool:
    """Return whether there is something to read, at the latest after ``seconds``."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(max(0.0, seconds) * 1000))
