"""One started process and its group: starts it, signals it, waits for it, reaps it. Never decides when.

A plugin gets a session of its own, so a Ctrl-C at the terminal reaches the host alone, and its group is what is
signalled, so that its children end with it. Safe to use from any thread.
"""

import os
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from time import monotonic
from typing import IO, cast

from ..handshake import MachineFault
from ._diagnosis import diagnosis, fate
from ._exit import ExitDescriptor, exit_descriptor, exit_status
from ._secure import Image

READ_SIZE = 64 * 1024  # what a Linux pipe holds
DRAIN = 0.25  # seconds for which the pipes are read after the process has ended: a grandchild may hold them for ever
_REAPED = 2.0  # seconds for the kernel to end what was killed


class Child:
    """A running process.

    Attributes:
        pid: its process id, which is that of its group and session too.
        stdout, stderr: descriptors to read, non-blocking; whoever reads them closes them with ``close_pipes``.
        pipes: the same as files.

    Raises:
        MachineFault: the program cannot be started; the message names it.
    """

    def __init__(
        self,
        argv: Sequence[str],
        environment: Mapping[str, str],
        cwd: str | None,
        stdin: int = subprocess.DEVNULL,
        image: Image | None = None,
    ) -> None:
        try:
            # No preexec_fn, ever: with it CPython forks, and gRPC's threads do not survive that.
            self._popen = subprocess.Popen(
                argv if image is None else image.argv,
                executable=None if image is None else image.executable,
                pass_fds=() if image is None else image.descriptors,
                bufsize=0,
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=cwd,
                env=environment,
                close_fds=True,
                start_new_session=True,
            )
        except OSError as error:
            if cwd is not None and error.filename == cwd:
                raise MachineFault(f"cannot start the plugin in the directory {cwd!r}: {error.strerror}") from error
            why = "; ".join((f"{error.strerror}", *diagnosis(argv, cwd, environment)))
            raise MachineFault(f"cannot start the plugin {argv[0]!r}: {why}") from error
        self.pid, self._name = self._popen.pid, argv[0]
        self.pipes = cast("IO[bytes]", self._popen.stdout), cast("IO[bytes]", self._popen.stderr)
        self.stdout, self.stderr = (pipe.fileno() for pipe in self.pipes)
        self._diagnosis = partial(diagnosis, argv, cwd, environment)
        self._lock = threading.RLock()  # a signal handler may stop the client while its thread holds the lock
        self._gone = False
        self._status: int | None = None  # None in the end, too, where nobody knows it
        self._killed_at: float | None = None
        try:
            self._exit = ExitDescriptor(exit_descriptor(self._popen))
        except (OSError, RuntimeError) as error:
            self._send(signal.SIGKILL)
            with suppress(subprocess.TimeoutExpired):
                self._popen.wait(_REAPED)
            self.close_pipes()
            reason = error.strerror if isinstance(error, OSError) else error
            raise MachineFault(f"cannot watch the plugin {argv[0]!r}: {reason}") from error
        os.set_blocking(self.stdout, False)
        os.set_blocking(self.stderr, False)

    @property
    def exit(self) -> int:
        """A descriptor that is readable once the process is gone; grandchildren that hold the pipes do not matter."""
        return self._exit.number

    def gone(self, seconds: float = 0.0) -> bool:
        """Return whether it has ended, at the latest after ``seconds``."""
        if not self._gone and self._exit.ended(seconds):
            with self._lock:
                if not self._gone:
                    # What is left of its group can be ended safely as long as it is not reaped.
                    status = exit_status(self._popen, lambda: self._send(signal.SIGKILL))
                    if not self._gone:  # no signal handler came in between
                        self._gone, self._status = True, status
                    self._popen.poll()
        return self._gone

    def status(self) -> int | None:
        """Return its exit status as ``subprocess`` gives it, or None while it runs or where nobody knows it."""
        return self.wait(0.0)

    def wait(self, seconds: float) -> int | None:
        """Return its exit status as soon as it has one, or None after ``seconds`` or where nobody knows it."""
        return self._status if self.gone(seconds) else None

    def send(self, number: signal.Signals) -> None:
        """Send a signal to its group, unless it has ended."""
        with self._lock:
            if not self.gone():
                self._send(number)
                if number == signal.SIGKILL and self._killed_at is None:
                    self._killed_at = monotonic()

    @property
    def killed(self) -> bool:
        """Whether it was still running when we first sent it SIGKILL."""
        return self._killed_at is not None

    def diagnose(self) -> tuple[str, ...]:
        """Return what may explain that it did not come up."""
        return (*fate(self._status), *self._diagnosis())

    def close_pipes(self) -> None:
        """Close our ends of stdout and stderr."""
        for pipe in self.pipes:
            pipe.close()

    def end(self, seconds: float) -> None:
        """Kill whatever is left of the group and let go of the process and of ``exit``.

        Raises:
            MachineFault: the process has not ended ``seconds`` after the first SIGKILL.
        """
        self.send(signal.SIGKILL)
        ended = self.gone(seconds - (monotonic() - (self._killed_at or 0.0)))
        self._exit.close()
        if not ended:
            who = f"the plugin {self._name!r}: its process {self.pid}"
            raise MachineFault(f"{who} does not end, {seconds:g} s since SIGKILL")

    def _send(self, number: signal.Signals) -> None:
        try:
            os.killpg(self.pid, number)
        except (ProcessLookupError, PermissionError):
            pass  # nobody is left in it, or nobody whom we may signal, such as a program that changed its user


def read(descriptor: int) -> bytes | None:
    """Return what there is to read, no bytes at the end of the stream, and None where there is nothing yet."""
    try:
        return os.read(descriptor, READ_SIZE)
    except BlockingIOError:
        return None
    except OSError:  # how a terminal ends, and a socket whose other end was torn off
        return b""
