"""One started process and its group: starts it, signals it, waits for it, reaps it. Never decides when.

A plugin gets a session of its own, so a Ctrl-C at the terminal reaches the host alone, and its group is what is
signalled, so that its children end with it. Safe to use from any thread.
"""

import errno
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from time import monotonic
from typing import IO, cast

from ..handshake import MachineFault

READ_SIZE = 64 * 1024  # what a Linux pipe holds
DRAIN = 0.25  # seconds for which the pipes are read after the process has ended: a grandchild may hold them for ever


class Child:
    """A running process.

    Attributes:
        pid: its process id, which is that of its group and session too.
        stdout, stderr: descriptors to read, non-blocking; whoever reads them closes them with ``close_pipes``.
        exit: a descriptor that is readable once the process is gone. Whether grandchildren hold the pipes open does not
            matter to it.

    Raises:
        MachineFault: the program cannot be started; the message names it.
    """

    def __init__(self, argv: Sequence[str], environment: Mapping[str, str], cwd: str | None) -> None:
        try:
            # No preexec_fn, ever: with it CPython forks, and gRPC's threads do not survive that.
            self._popen = subprocess.Popen(
                argv,
                bufsize=0,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=cwd,
                env=environment,
                close_fds=True,
                start_new_session=True,
            )
        except OSError as error:
            missing = "the working directory" if cwd is not None and error.filename == cwd else "the plugin"
            what = cwd if missing == "the working directory" else argv[0]
            raise MachineFault(f"cannot start {missing} {what!r}: {error.strerror}") from error
        self.pid = self._popen.pid
        self._pipes = cast("IO[bytes]", self._popen.stdout), cast("IO[bytes]", self._popen.stderr)
        self.stdout, self.stderr = (pipe.fileno() for pipe in self._pipes)
        self._lock = threading.Lock()
        self._status: int | None = None
        self._killed_at: float | None = None
        self._waiting = 0
        self._closing = False
        try:
            self.exit = exit_descriptor(self._popen)
        except OSError as error:
            os.killpg(self.pid, signal.SIGKILL)
            self._popen.wait()
            self.close_pipes()
            raise MachineFault(f"cannot watch the plugin {argv[0]!r}: {error.strerror}") from error
        os.set_blocking(self.stdout, False)
        os.set_blocking(self.stderr, False)

    def status(self) -> int | None:
        """Return its exit status as ``subprocess`` gives it, or None while it runs."""
        with self._lock:
            if self._status is None and self.exit >= 0 and _readable(self.exit, 0):
                # Not reaped yet, so the group's number is still its own: now its children can be ended safely.
                self._send(signal.SIGKILL)
                self._status = self._popen.wait()
            return self._status

    def wait(self, seconds: float) -> int | None:
        """Return its exit status as soon as it has one, or None after ``seconds``."""
        with self._lock:
            if self._status is not None or self.exit < 0:
                return self._status
            self._waiting += 1
        try:
            _readable(self.exit, seconds)
        finally:
            with self._lock:
                self._waiting -= 1
        status = self.status()
        self._close_exit()
        return status

    def send(self, number: signal.Signals) -> None:
        """Send a signal to its group, unless it has ended."""
        with self._lock:
            if self._status is None:
                self._send(number)
                if number == signal.SIGKILL and self._killed_at is None:
                    self._killed_at = monotonic()

    @property
    def killed(self) -> bool:
        """Whether it was still running when we first sent it SIGKILL."""
        return self._killed_at is not None

    def close_pipes(self) -> None:
        """Close our ends of stdout and stderr."""
        for pipe in self._pipes:
            pipe.close()

    def end(self, seconds: float) -> None:
        """Kill whatever is left of the group and let go of the process and of ``exit``.

        Raises:
            MachineFault: the process has not ended ``seconds`` after the first SIGKILL.
        """
        self.send(signal.SIGKILL)
        status = self.wait(seconds - (monotonic() - (self._killed_at or 0.0)))
        self._closing = True
        self._close_exit()
        if status is None:
            raise MachineFault(f"the plugin's process {self.pid} does not end: {seconds:g} s since SIGKILL")

    def _send(self, number: signal.Signals) -> None:
        try:
            os.killpg(self.pid, number)
        except (ProcessLookupError, PermissionError):
            pass  # nobody is left in it, or nobody whom we may signal, such as a program that changed its user

    def _close_exit(self) -> None:
        with self._lock:
            if self._closing and not self._waiting and self.exit >= 0:
                os.close(self.exit)
                self.exit = -1


def exit_descriptor(process: "subprocess.Popen[bytes]") -> int:
    """Return a descriptor that becomes readable once ``process`` is gone. The caller closes it."""
    if sys.platform == "linux":
        try:
            return os.pidfd_open(process.pid)
        except OSError as error:
            if error.errno not in (errno.ENOSYS, errno.EPERM):  # an old kernel, or a sandbox that hides the call
                raise
    return watched(process)


def watched(process: "subprocess.Popen[bytes]") -> int:
    """Do what ``exit_descriptor`` does where the system has no descriptors of processes: a thread waits for it."""
    read, write = os.pipe()

    def watch() -> None:
        if hasattr(os, "waitid"):
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # leaves it to be reaped, so its number stays
        else:
            process.wait()
        os.close(write)

    threading.Thread(target=watch, name=f"goplugin-exit-{process.pid}", daemon=True).start()
    return read


def _readable(descriptor: int, seconds: float) -> bool:
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(max(0.0, seconds) * 1000))
