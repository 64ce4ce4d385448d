"""SIGINT and SIGTERM while a plugin serves. Decides nothing: SIGTERM is passed to the attendant."""

import signal
import threading
from types import FrameType

from ._attendant import Attendant
from ._life import Cause


class Signals:
    """Ignores SIGINT and stops on SIGTERM, if made in the main thread; elsewhere both keep their meaning.

    Ctrl-C goes to every process of the terminal, while the host decides and may still drain (server.go:462). SIGINT
    gets a handler, for SIG_IGN would be inherited by child processes.

    The interpreter runs handlers on the main thread, and may forget to while that thread begins to wait. So it also
    writes each signal's number to the attendant, unless somebody else gets that: then that one wakes the main thread.
    """

    def __init__(self, attendant: Attendant) -> None:
        self._attendant = attendant
        self._active = threading.current_thread() is threading.main_thread()
        if not self._active:
            return
        signal.signal(signal.SIGINT, _ignore)
        self._former = signal.signal(signal.SIGTERM, self._terminate)
        _replace_wakeup(-1, attendant.wakeup_descriptor)

    def release(self) -> None:
        """Give SIGTERM back. SIGINT stays ignored until the process ends. Releasing twice is fine."""
        if self._active:
            self._active = False
            _replace_wakeup(self._attendant.wakeup_descriptor, -1)
            signal.signal(signal.SIGTERM, signal.SIG_DFL if self._former is None else self._former)

    def leave_to_parent(self) -> None:
        """Give both back, in a forked child: they belong to the process that serves."""
        if self._active:
            self.release()
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def _terminate(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - as the interpreter calls it
        self._attendant.stop(Cause.SIGTERM)


def _replace_wakeup(expected: int, descriptor: int) -> None:
    former = signal.set_wakeup_fd(descriptor, warn_on_full_buffer=False)
    if former != expected:
        signal.set_wakeup_fd(former)  # somebody else's: a loop's, which wakes the main thread by it


def _ignore(number: int, frame: FrameType | None) -> None:
    """Do nothing."""
