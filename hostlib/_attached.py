"""A process that somebody else started: found again, watched, signalled. Never reaped, for it is not our child."""

import errno
import os
import signal
import sys
import threading
from time import monotonic

from ..handshake import MachineFault, ProcessNotFound, Reattach
from ._exit import ExitDescriptor, readable
from ._identity import belongs, listener, started

_PROCESS_GROUP = 1 << 2  # PIDFD_SIGNAL_PROCESS_GROUP, since Linux 6.9
_POLL = 1.0  # seconds between two looks where the system has no descriptors of processes, as in go-plugin


class Attached:
    """The process of a reattach record, with the face of a ``Child``; it has no pipes.

    Raises:
        ProcessNotFound: it has ended, the number belongs to another process by now, nobody answers at the address, or
            somebody else does.
    """

    stdout = stderr = -1

    def __init__(self, record: Reattach) -> None:
        self.pid = record.pid
        # First of all: whatever becomes of the number, the descriptor stays with the process that has it now.
        self._descriptor = _opened(record)
        self._lock = threading.RLock()  # for _descriptor; a signal handler may stop the client meanwhile
        self._killed_at: float | None = None
        self._over = threading.Event()
        try:
            self._check(record)
            watched = os.dup(self._descriptor) if self._descriptor >= 0 else self._polled(record)
        except BaseException:
            self._forget()
            raise
        self._exit = ExitDescriptor(watched)

    @property
    def exit(self) -> int:
        """A descriptor that is readable once the process is gone."""
        return self._exit.number

    def gone(self, seconds: float = 0.0) -> bool:
        """Return whether it has ended, at the latest after ``seconds``."""
        return self._exit.ended(seconds)

    def status(self) -> int | None:
        """Return None: only its parent is told."""
        return None

    def send(self, number: signal.Signals) -> None:
        """Send a signal to it, and to its group where it leads one and the system can do that safely."""
        if self.gone():
            return
        if number == signal.SIGKILL and self._killed_at is None:
            self._killed_at = monotonic()
        with self._lock:
            try:
                if sys.platform == "linux" and self._descriptor >= 0:
                    self._signal(number)
                elif not self._over.is_set():
                    os.kill(self.pid, number)
            except (ProcessLookupError, PermissionError):
                pass  # it has ended, or it is somebody else's and lives on

    @property
    def killed(self) -> bool:
        """Whether we sent it SIGKILL."""
        return self._killed_at is not None

    def diagnose(self) -> tuple[str, ...]:
        """Return nothing: it did come up."""
        return ()

    def close_pipes(self) -> None:
        """Close nothing: it has none."""

    def end(self, seconds: float) -> None:
        """Let go of the process; one that was not killed lives on.

        Raises:
            MachineFault: it was killed, and has not ended ``seconds`` after that.
        """
        ended = self._killed_at is None or self.gone(seconds - (monotonic() - self._killed_at))
        self._exit.close()
        self._forget()
        if not ended:
            raise MachineFault(f"the plugin's process {self.pid} does not end: {seconds:g} s since SIGKILL")

    def _check(self, record: Reattach) -> None:
        now = started(record.pid)
        if now is None:
            raise _not_found("has ended", record)
        if record.started is not None and now != record.started:
            raise _not_found("has ended; its number was given to another process", record)
        try:
            who = listener(record.address)
        except OSError as error:
            raise _not_found(f"does not answer at {record.address}: {error.strerror}", record) from None
        if who is not None and not belongs(who, record.pid):
            raise _not_found(f"does not answer at {record.address}: process {who} does, a stranger", record)
        if self._descriptor >= 0 and readable(self._descriptor, 0.0):
            raise _not_found("has ended", record)

    def _signal(self, number: signal.Signals) -> None:
        if os.getpgid(self.pid) == self.pid:
            try:
                signal.pidfd_send_signal(self._descriptor, number, None, _PROCESS_GROUP)
            except OSError as error:
                if error.errno != errno.EINVAL:  # an older kernel
                    raise
            else:
                return
        signal.pidfd_send_signal(self._descriptor, number)

    def _polled(self, record: Reattach) -> int:
        since = started(record.pid)
        read, write = os.pipe()

        def poll() -> None:
            while started(record.pid) == since and not self._over.wait(_POLL):
                pass
            os.close(write)

        threading.Thread(target=poll, name=f"goplugin-exit-{record.pid}", daemon=True).start()
        return read

    def _forget(self) -> None:
        self._over.set()
        with self._lock:
            if self._descriptor >= 0:
                os.close(self._descriptor)
                self._descriptor = -1


def _opened(record: Reattach) -> int:
    """Return a descriptor of the process, or -1 where the system has none."""
    if sys.platform == "linux":
        try:
            return os.pidfd_open(record.pid)
        except OSError as error:
            if error.errno in (errno.ESRCH, errno.EINVAL):  # EINVAL: the number of a thread
                raise _not_found("has ended", record) from None
            if error.errno not in (errno.ENOSYS, errno.EPERM):
                raise MachineFault(f"cannot watch the process {record.pid}: {error.strerror}") from error
    return -1


def _not_found(reason: str, record: Reattach) -> ProcessNotFound:
    return ProcessNotFound(f"to be reattached {reason}", pid=record.pid)
