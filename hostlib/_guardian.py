"""Tells the guardian, a small process beside this one, which plugins to end once this process is gone.

One for all clients of a process; it starts with the first plugin in its care and ends with the last. For plugins that
do not watch their parent: those of this project do. Safe to use from any thread, and after a fork.
"""

import os
import select
import subprocess
import sys
import threading
from contextlib import suppress
from time import monotonic
from typing import IO, cast

from ..handshake import MachineFault
from ._guardian_process import started_at

_PROGRAM = os.path.join(os.path.dirname(__file__), "_guardian_process.py")
_PATIENCE = 2.0  # seconds for the guardian to take an order, or the kernel to end it: both need milliseconds
_BEGINS_WITHIN = 30.0  # seconds for an interpreter to start: as many milliseconds, but a busy machine takes its time


def guardian_available() -> bool:
    """Return whether ``Client(guardian=True)`` can be had here: it needs /proc, and a Python interpreter to run."""
    return _interpreter() and os.path.exists("/proc/self/stat")


def _interpreter() -> bool:
    return bool(sys.executable) and not getattr(sys, "frozen", False)


class Guardian:
    """The guardian of this process."""

    def __init__(self) -> None:
        self._lock = threading.RLock()  # a signal handler may stop a client within another's start
        self._owner = os.getpid()
        self._process: subprocess.Popen[bytes] | None = None
        self._pipe = -1  # to its stdin, as long as there is one
        self._charges: dict[int, bytes] = {}

    def keep(self, pid: int, directory: str) -> None:
        """Take a plugin into care: its process, not yet reaped, which leads a group, and the directory of its sockets.

        Raises:
            MachineFault: this system has no /proc, or a guardian cannot be started or does not listen.
        """
        start = started_at(pid)
        if start is None:
            raise MachineFault(f"the guardian needs to see the plugin's process {pid} in /proc")
        if self._owner != os.getpid():
            self._after_fork()
        with self._lock:
            order = self._charges[pid] = f"+ {pid} {start} {os.fsencode(directory).hex()}\n".encode()
            try:
                self._tell(order)
            except BaseException:
                del self._charges[pid]
                raise

    def forget(self, pid: int) -> None:
        """The plugin has ended, or was never in care."""
        if self._owner != os.getpid():
            return  # its lock may be held by a thread that the fork left out
        with self._lock:
            if self._charges.pop(pid, None) is not None:
                if self._charges:
                    self._tell(f"- {pid}\n".encode())
                else:
                    self._end()

    def _tell(self, order: bytes) -> None:
        if self._process is not None:
            try:
                self._write(order)
            except OSError:  # somebody ended it, or froze it
                self._end()
            else:
                return
        try:
            self._begin()
            self._write(b"".join(self._charges.values()))
        except OSError as error:
            self._end()
            raise MachineFault(f"the guardian cannot be started: {error.strerror or error}") from error

    def _begin(self) -> None:
        if not _interpreter():
            raise MachineFault("the guardian needs a Python interpreter, and this program runs without one")
        orders, self._pipe = os.pipe()
        try:
            os.set_blocking(self._pipe, False)
            process = self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", _PROGRAM, str(os.getpid())],
                stdin=orders,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                cwd="/",
                env={},
                start_new_session=True,
            )
        except BaseException:
            os.close(self._pipe)
            raise
        finally:
            os.close(orders)
        # Its first word: what calls itself the interpreter may be another program, in which Python is embedded.
        with cast("IO[bytes]", process.stdout) as said:
            poll = select.poll()
            poll.register(said, select.POLLIN)
            if not (poll.poll(_BEGINS_WITHIN * 1000) and os.read(said.fileno(), 1)):
                raise OSError(None, f"{sys.executable!r} does not run it")

    def _write(self, data: bytes) -> None:
        poll, limit = select.poll(), monotonic() + _PATIENCE
        poll.register(self._pipe, select.POLLOUT)
        while data:
            if not poll.poll(max(0.0, limit - monotonic()) * 1000):
                raise TimeoutError(f"it takes no orders within {_PATIENCE:g} s")
            data = data[os.write(self._pipe, data) :]

    def _end(self) -> None:
        """End it, whatever it does: it may be frozen."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            os.close(self._pipe)
            with suppress(subprocess.TimeoutExpired):
                process.wait(_PATIENCE)

    def _after_fork(self) -> None:
        """Forget what is the parent's: its plugins, and so its guardian."""
        process, self._process = self._process, None
        if process is not None:
            os.close(self._pipe)
            process.returncode = 0  # nothing to wait for
        # The lock of the parent may have been held when it forked, by a thread that is not here.
        self._lock, self._owner, self._charges = threading.RLock(), os.getpid(), {}


GUARDIAN = Guardian()
