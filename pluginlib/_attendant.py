"""The one daemon thread beside the server: empties the pipe behind descriptor 1, watches the parent, keeps time.

It tells the shell to stop and, as the last resort, ends the process; `Life` decides when. Everything that changes
the life happens on this thread, so nothing of it needs a lock.
"""

import os
import select
import signal
import sys
import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from time import monotonic

from . import hclog
from ._life import Cause, Life
from ._output import Output
from ._spool import PIECE, Channel

PARENT_POLL = 1.0  # seconds between looks at the parent where the kernel does not tell
LEAVE_WITHIN = 2.0  # seconds for the last words and rites before a process is ended by force


class Parent:
    """The process that started this one, watched from now on."""

    def __init__(self) -> None:
        self._pid = os.getppid()
        self.descriptor: int | None = None
        """Readable once the parent is gone, where the system has such a thing."""
        if sys.platform == "linux":
            try:
                self.descriptor = os.pidfd_open(self._pid)
            except OSError:
                pass  # gone already, outside our pid namespace, or an old kernel: then is_gone is looked at

    def is_gone(self) -> bool:
        """Return whether another process has become the parent."""
        return os.getppid() != self._pid

    def close(self) -> None:
        """Watch no more."""
        if self.descriptor is not None:
            os.close(self.descriptor)


class _Bell:
    """Wakes a thread out of poll. Rung from any thread, and from a signal handler that interrupts a ringing."""

    def __init__(self) -> None:
        self.descriptor, self.rope = os.pipe()
        os.set_blocking(self.descriptor, False)
        os.set_blocking(self.rope, False)
        self._lock = threading.RLock()
        self._open = True

    def ring(self) -> None:
        with self._lock:
            # Once closed, the number may be another file's.
            if self._open:
                try:
                    os.write(self.rope, b"\0")
                except BlockingIOError:
                    pass  # it has been rung thousands of times and will be heard

    def hush(self) -> bytes:
        """Return what was written: zeros by ``ring``, and the numbers of signals by the interpreter."""
        try:
            return os.read(self.descriptor, PIECE)
        except BlockingIOError:
            return b""  # something else woke the thread

    def close(self) -> None:
        with self._lock:
            self._open = False
            os.close(self.descriptor)
            os.close(self.rope)


class Attendant:
    """Serves one plugin's life.

    Args:
        life: decides; nobody else may touch it from now on.
        output: takes what comes out of the pipe.
        on_stop: called once, on this thread, when the plugin has to stop serving.
        last_rites: called before the process is ended by force.
    """

    def __init__(
        self,
        life: Life,
        output: Output,
        *,
        on_stop: Callable[[Cause], None],
        last_rites: Callable[[], None],
    ) -> None:
        self._life, self._output = life, output
        self._on_stop, self._last_rites = on_stop, last_rites
        self._inbox: SimpleQueue[Callable[[float], None]] = SimpleQueue()
        self._bell = _Bell()
        self._parent: Parent | None = None
        self._pipe: int | None = None
        self._emptied = threading.Event()
        self._is_emptying = False
        self._closed = False
        output.wake_feeder = self._bell.ring
        self._thread = threading.Thread(target=self._run, name="goplugin-attendant", daemon=True)

    def start(self, pipe: int | None) -> None:
        """Begin. ``pipe`` is non-blocking and belongs to the attendant from now on."""
        self._pipe = pipe
        self._thread.start()

    def watch_parent(self) -> None:
        """Stop the plugin once the process that is its parent now has ended."""
        parent = Parent()

        def watch(_: float) -> None:
            self._parent = parent

        self._post(watch)

    @property
    def wakeup_descriptor(self) -> int:
        """For `signal.set_wakeup_fd`: a SIGTERM that is written here stops the plugin."""
        return self._bell.rope

    def stop(self, cause: Cause) -> None:
        """Ask for the end of serving. For any thread, and for signal handlers."""
        self._post(lambda now: self._stop(cause, now))

    def stream_opened(self) -> None:
        """Say that a host opened its broker stream."""
        self._post(lambda _: self._life.stream_opened())

    def stream_closed(self) -> None:
        """Say that a broker stream ended."""
        self._post(self._life.stream_closed)

    def empty_pipe(self, within: float) -> None:
        """Wait until everything printed so far is in the output, at most ``within`` seconds."""

        def begin(_: float) -> None:
            self._is_emptying = True
            if self._pipe is None:
                self._emptied.set()

        self._post(begin)
        self._emptied.wait(within)

    def close(self) -> None:
        """End the thread, unless the life says that the process must end by a certain time: then it stays for that."""
        if not self._thread.is_alive():
            self._bell.close()
            return

        def finish(_: float) -> None:
            self._close_pipe()
            self._close_parent()
            self._closed = True

        self._post(finish)
        if self._life.exit_at is None:
            self._thread.join(5.0)

    # What follows runs on the attendant's thread.

    def _post(self, message: Callable[[float], None]) -> None:
        self._inbox.put(message)
        self._bell.ring()

    def _run(self) -> None:
        while not self._closed or self._life.exit_at is not None:
            ready = self._wait()
            now = monotonic()
            self._read_inbox(now)
            self._read_pipe()
            if self._parent is not None and (self._parent.descriptor in ready or self._parent.is_gone()):
                self._close_parent()
                self._stop(Cause.PARENT_GONE, now)
            if self._life.due(now):
                self._stop(Cause.ORPHANED, now)
            if self._life.must_exit(now):
                self._exit()
        self._bell.close()

    def _wait(self) -> set[int]:
        poll = select.poll()
        poll.register(self._bell.descriptor, select.POLLIN)
        deadlines = [] if self._life.deadline is None else [self._life.deadline]
        if self._pipe is not None:
            room_at = self._output.crowded()
            if room_at is None:
                poll.register(self._pipe, select.POLLIN)
                if self._is_emptying:
                    deadlines.append(0.0)  # no event tells that a pipe is empty, which a child may hold open
            else:
                deadlines.append(room_at)
        if self._parent is not None:
            if self._parent.descriptor is not None:
                poll.register(self._parent.descriptor, select.POLLIN)
            else:
                deadlines.append(monotonic() + PARENT_POLL)
        milliseconds = max(0.0, min(deadlines) - monotonic()) * 1000 + 1 if deadlines else None
        return {descriptor for descriptor, _ in poll.poll(milliseconds)}

    def _read_inbox(self, now: float) -> None:
        if signal.SIGTERM in self._bell.hush():
            self._stop(Cause.SIGTERM, now)
        while True:
            try:
                message = self._inbox.get_nowait()
            except Empty:
                return
            message(now)

    def _read_pipe(self) -> None:
        if self._pipe is None or self._output.crowded() is not None:
            return
        try:
            data = os.read(self._pipe, PIECE)
        except BlockingIOError:
            if self._is_emptying:
                self._close_pipe()
            return
        if data:
            self._output.feed(Channel.STDOUT, data)
        else:  # descriptor 1 was closed by the program, and by all its children
            self._close_pipe()

    def _stop(self, cause: Cause, now: float) -> None:
        if self._life.stop(cause, now):
            self._on_stop(cause)

    def _close_pipe(self) -> None:
        if self._pipe is not None:
            os.close(self._pipe)
            self._pipe = None
        self._emptied.set()

    def _close_parent(self) -> None:
        if self._parent is not None:
            self._parent.close()
            self._parent = None

    def _exit(self) -> None:
        others = [t.name for t in threading.enumerate() if not t.daemon and t is not threading.main_thread()]
        cause = self._life.cause.value if self._life.cause is not None else ""
        fields = {"cause": cause, "threads": others}
        line = hclog.line("warn", "the plugin did not end by itself, so its process is ended now", fields)
        limit = monotonic() + LEAVE_WITHIN
        try:
            # On threads, for whatever hangs may hold up these too: a stderr that nobody reads, say.
            leaving = [_started(self._last_rites), _started(lambda: hclog.write(line))]
            for thread in leaving:
                thread.join(max(0.0, limit - monotonic()))
        finally:
            os._exit(0)


def _started(job: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=job, name="goplugin-leaving", daemon=True)
    thread.start()
    return thread
