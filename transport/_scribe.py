"""Logs for threads that may wait for nobody, from a thread of its own. Bounded: it counts what there is no room for.

A handler of the author's may take any time: one that writes to stdout, say, waits in a plugin for the very thread that
carries stdout away.
"""

import logging
import os
import sys
import threading
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from time import time
from traceback import print_exc
from typing import NamedTuple

_logger = logging.getLogger("goplugin.transport")

WAITING_MAX = 200
"""Records that wait to be told: more than an orderly process has to say at once, and little memory for a flood."""

DROPPED = "%d log records before this one were dropped: too many waited for a handler"

TELL_WITHIN = 0.5  # seconds that an orderly end gives the last records; a handler that works takes far less


class _Entry(NamedTuple):
    """What becomes a record: where and when it was said, for it may be told much later."""

    logger: logging.Logger
    level: int
    message: str
    args: tuple[object, ...]
    error: BaseException | None
    extra: Mapping[str, object] | None
    file: str
    line: int
    function: str
    at: float

    def tell(self) -> None:
        """Make the record, and have the logger's handlers called."""
        error = None if self.error is None else (type(self.error), self.error, self.error.__traceback__)
        record = self.logger.makeRecord(
            self.logger.name,
            self.level,
            self.file,
            self.line,
            self.message,
            self.args,
            error,
            self.function,
            self.extra,
        )
        record.created, record.msecs = self.at, self.at % 1 * 1000
        self.logger.handle(record)


class _Here(threading.local):
    hurried = False


class Scribe:
    """Tells what hurried threads log, in its order. Other threads tell it themselves, as ever.

    Its thread starts when there is something to tell, and ends when all is told.
    """

    def __init__(self) -> None:
        self._here = _Here()
        self._begin()

    def _begin(self) -> None:
        # Reentrant: finalizers and signal handlers come in the midst of anything.
        self._changed = threading.Condition(threading.RLock())
        self._waiting: deque[_Entry] = deque()
        self._dropped = 0
        self._thread: threading.Thread | None = None

    def hurry(self) -> None:
        """Never run a handler on the thread that calls this, from now on."""
        self._here.hurried = True

    def log(
        self,
        logger: logging.Logger,
        level: int,
        message: str,
        *args: object,
        error: BaseException | None = None,
        extra: Mapping[str, object] | None = None,
    ) -> None:
        """Log as ``logger.log`` does, with ``error`` for ``exc_info``; from any thread."""
        if not logger.isEnabledFor(level):
            return
        caller = sys._getframe(1)
        where = caller.f_code.co_filename, caller.f_lineno, caller.f_code.co_name
        entry = _Entry(logger, level, message, args, error, extra, *where, time())
        if self._here.hurried:
            self._put(entry)
        else:
            entry.tell()

    def finish(self, within: float = TELL_WITHIN) -> bool:
        """Wait until all is told, at most that many seconds, and return whether it is.

        A hurried thread does not wait, nor does a handler, which would wait for itself.
        """
        if self._here.hurried or self._thread is threading.current_thread():
            return False
        with self._changed:
            return self._changed.wait_for(lambda: self._thread is None, within)

    def abandon(self) -> None:
        """In a forked child: leave to the parent what it has to tell."""
        self._begin()

    def _put(self, entry: _Entry) -> None:
        with self._changed:
            if len(self._waiting) >= WAITING_MAX:
                self._dropped += 1
                return
            if self._dropped:
                args, self._dropped = (self._dropped,), 0
                self._waiting.append(_Entry(_logger, logging.WARNING, DROPPED, args, None, None, *entry[6:]))
            self._waiting.append(entry)
            if self._thread is None:
                self._start()

    def _start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="goplugin-log", daemon=True)
        try:
            self._thread.start()
        except RuntimeError:  # the system has no more, or the interpreter is ending
            self._thread = None
            self._dropped += len(self._waiting)
            self._waiting.clear()

    def _run(self) -> None:
        while (entry := self._next()) is not None:
            try:
                entry.tell()
            except BaseException:  # noqa: BLE001 - of the author's filter or handler; the next is told all the same
                with suppress(BaseException):
                    print_exc()  # where logging itself reports such a thing
            del entry  # or its frames would stay while this waits for the lock

    def _next(self) -> _Entry | None:
        with self._changed:
            if self._waiting:
                return self._waiting.popleft()
            self._thread = None
            self._changed.notify_all()
            return None


SCRIBE = Scribe()
"""The process's own."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=SCRIBE.abandon)
