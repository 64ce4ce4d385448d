"""When a plugin stops serving, and when its process must end. Decides; never signals, sleeps or exits."""

import enum

ORPHANED_AFTER = 1.0
"""Seconds without a broker stream, once there was one, after which the host counts as dead.

A host opens the stream right after it connects and keeps it; it ends without a Shutdown only when the host is gone.
This covers hosts that are not the parent process, such as one that starts plugins through ``sh -c``."""

EXIT_WITHIN = 5.0
"""Seconds after the drain in which the process must be gone, where nobody else would see to it."""


class Cause(enum.Enum):
    """Why a plugin stops; the value completes "stopping: …"."""

    SHUTDOWN = "the host called Shutdown"
    SIGTERM = "received SIGTERM"
    PARENT_GONE = "the process that started this plugin is gone"
    ORPHANED = "the host closed its connection without Shutdown"
    TEST_OVER = "the test is over"
    FINISHED = "there is nothing left to do"

    @property
    def is_final(self) -> bool:
        """Whether the process has to end even if a thread of it hangs.

        After Shutdown a Go plugin is gone, for returning from main ends every goroutine; and an orphan has no host
        left that could kill it. SIGTERM is different: whoever sent it can send SIGKILL, and until then the program
        may clean up for as long as it likes.
        """
        return self in {Cause.SHUTDOWN, Cause.PARENT_GONE, Cause.ORPHANED, Cause.FINISHED}


class Life:
    """The life of one served plugin. All times are of one monotonic clock, in seconds.

    Args:
        drain: how long running calls may take once it stops.
        leave_with_host: stop when the host is gone.
        owns_process: the process is there for this plugin alone, so it may be ended with it.
    """

    def __init__(self, *, drain: float, leave_with_host: bool, owns_process: bool = True) -> None:
        self._drain, self._leave_with_host, self._owns_process = drain, leave_with_host, owns_process
        self._streams = 0
        self._orphaned_at: float | None = None
        self.cause: Cause | None = None
        """Why it stops, or None while it serves."""
        self.exit_at: float | None = None
        """When the process must be gone, or None if that is nobody's business."""

    @property
    def deadline(self) -> float | None:
        """When ``due`` has something to say if nothing happens before, or None."""
        return self._orphaned_at if self.cause is None else self.exit_at

    def stop(self, cause: Cause, now: float) -> bool:
        """Note a reason to stop; return whether it is the first, on which the plugin has to act."""
        if cause is Cause.PARENT_GONE and not self._leave_with_host:
            return False
        if cause.is_final and self._owns_process and self.exit_at is None:
            self.exit_at = now + self._drain + EXIT_WITHIN
        if self.cause is not None:
            return False
        self.cause = cause
        return True

    def stream_opened(self) -> None:
        """Note that a host opened its broker stream."""
        self._streams += 1
        self._orphaned_at = None

    def stream_closed(self, now: float) -> None:
        """Note that a broker stream ended."""
        self._streams -= 1
        if self._streams == 0 and self._leave_with_host:
            self._orphaned_at = now + ORPHANED_AFTER

    def due(self, now: float) -> bool:
        """Return whether the host counts as dead by now, so that ``stop(Cause.ORPHANED)`` is called for."""
        return self.cause is None and self._orphaned_at is not None and now >= self._orphaned_at

    def must_exit(self, now: float) -> bool:
        """Return whether the process has outlived its time."""
        return self.exit_at is not None and now >= self.exit_at
