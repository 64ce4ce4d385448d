"""Runs a step where no signal can break it off: on a thread of its own. Decides nothing, and waits for nobody.

Python runs signal handlers on the main thread, between any two instructions. One that raises there, as Ctrl-C does,
may do so after the system has made a process or a directory and before anybody has noted which. And a step may hang:
then whoever waits for it leaves, and its own thread undoes it once it is over.
"""

import logging
import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import Generic, TypeVar, cast

from ..handshake import MachineFault

T = TypeVar("T")

Wanted = Callable[[], bool]
"""Tells a step that takes its time whether anybody waits for it still."""

_LOGGER = logging.getLogger("goplugin.hostlib")


class Sheltered(Generic[T]):
    """One step, and what it acquired: it gets a stack for that, which ``close`` unwinds.

    Args:
        step: what to do.
        tell: called when it is over, on its thread.
    """

    def __init__(self, step: Callable[[ExitStack, Wanted], T], tell: Callable[[], object]) -> None:
        self._step, self._tell = step, tell
        self._thread = threading.Thread(target=self._run, name="goplugin-start", daemon=True)
        self._undo = ExitStack()
        self._lock = threading.Lock()
        self._wanted = True
        self._begun = self._over = self._left = False
        self._value: T | None = None
        self._error: BaseException | None = None

    def begin(self) -> None:
        """Begin the step.

        Raises:
            MachineFault: there is no thread to be had.
        """
        try:
            self._thread.start()
        except RuntimeError as error:
            raise MachineFault(f"cannot start the plugin: {error}") from error

    @property
    def over(self) -> bool:
        """Whether it is over, or will never begin."""
        return self._over or not (self._begun or self._wanted)

    def result(self) -> T:
        """Return what the step, which is over, returned, or raise what it raised."""
        self._thread.join()  # nothing is left for it to do
        if self._error is not None:
            raise self._error
        return cast("T", self._value)

    def give_up(self) -> None:
        """Wait for it no more: it never begins if it has not, and may end early."""
        with self._lock:
            self._wanted = False

    def close(self) -> None:
        """Undo what the step did, whether or not anybody heard of its result. If it is not over, its thread will."""
        self.give_up()
        with self._lock:
            self._left = not self.over
        if not self._left:
            self._error = None  # its traceback would hold on to the caller
            self._undo.close()

    def _run(self) -> None:
        with self._lock:
            self._begun = self._wanted
        if not self._begun:
            return
        try:
            self._value = self._step(self._undo, lambda: self._wanted)
        except BaseException as error:  # noqa: BLE001 - it is the caller's
            self._error = error
        with self._lock:
            self._over = True
        if not self._left:
            with suppress(RuntimeError):  # of an event loop that has ended
                self._tell()
            return
        try:
            self._undo.close()
        except Exception:
            _LOGGER.exception("nobody waited any more for what a start did, and it could not be undone")
