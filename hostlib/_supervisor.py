"""Reads the pipes of one plugin and sees its end, from a thread of its own. Decides nothing.

Up to the handshake line the thread that starts the plugin reads; from then on the supervisor's own does, for ever, so
that neither a flood nor a line without an end can ever block the plugin.
"""

import selectors
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from time import monotonic

from ..handshake import Line, MachineFault
from ._child import DRAIN, read
from ._launch import Launch
from ._output import Output
from ._process import Process


class Supervisor:
    """The reader of one plugin.

    Attributes:
        drained: set once the plugin has ended and what it wrote has been read.
    """

    def __init__(self, child: Process, output: Output, name: str) -> None:
        self._child, self._output = child, output
        self._exit = child.exit  # stop() may close it while a log handler holds up the thread, and the number be reused
        with ExitStack() as undo:
            undo.callback(child.close_pipes)
            try:
                self._selector = undo.enter_context(selectors.DefaultSelector())
                self._wake, self._waker = map(undo.enter_context, socket.socketpair())
                for descriptor in (child.stdout, child.stderr, self._exit, self._wake.fileno()):
                    if descriptor >= 0:
                        self._selector.register(descriptor, selectors.EVENT_READ)
            except OSError as error:
                raise MachineFault(f"cannot watch the plugin {name!r}: {error.strerror}") from error
            undo.pop_all()
        self._thread = threading.Thread(target=self._run, name=f"goplugin-supervisor-{name}", daemon=True)
        self._on_exit: Callable[[], object] = lambda: None
        self._limit: float | None = None  # until when the pipes are read; known once the process has ended
        self.drained = threading.Event()

    def line(self, launch: Launch) -> Line:
        """Read until the outcome is clear; return the line or raise what ``launch`` raises."""
        while (line := launch.outcome(monotonic())) is None:
            if launch.condemned and not self._child.killed:
                self._child.send(signal.SIGKILL)
            for descriptor, data in self._events(launch.deadline - monotonic()):
                if descriptor == self._child.stdout:
                    launch.stdout(data)
                elif descriptor == self._child.stderr:
                    self._hear(data)
                    if not data:
                        launch.stderr_ended()
                elif self._ended():
                    launch.exited(self._child.status())
        self._output.stdout(launch.rest)
        return line

    def start(self, on_exit: Callable[[], object]) -> None:
        """Go on reading in the background; call ``on_exit`` when the process has ended."""
        if self._limit is not None:
            on_exit()
        self._on_exit = on_exit
        self._thread.start()

    def close(self) -> None:
        """Let go of the pipes. Where the process has ended, waits a moment for what it wrote last."""
        if not self._thread.ident:
            self._finish()
        elif self._thread is threading.current_thread():
            self._limit = monotonic()  # a sink or a log handler stops the plugin: it ends when that returns
        else:
            if not self._child.gone():  # it lives on, and its pipes say nothing of when to leave it
                self._limit = monotonic()
                with suppress(OSError):
                    self._waker.send(b"\0")
            self._thread.join(2 * DRAIN)
            # A log handler or a sink of the caller's may be blocking it. Then it ends when that returns.
            self._limit = monotonic()

    def _run(self) -> None:
        over = False
        while self._open and not over:
            left = None if self._limit is None else self._limit - monotonic()
            over = left is not None and left <= 0  # once more without waiting: this thread may be what was late
            for descriptor, data in self._events(left):
                if descriptor == self._child.stdout:
                    self._output.stdout(data)
                elif descriptor == self._child.stderr:
                    self._hear(data)
                elif self._ended():
                    self._on_exit()
        self._finish()

    def _ended(self) -> bool:
        if not self._child.gone():
            return False
        self._limit = monotonic() + DRAIN
        return True

    def _hear(self, data: bytes) -> None:
        if data:
            self._output.stderr(data)

    @property
    def _open(self) -> set[int]:
        return {key.fd for key in self._selector.get_map().values()} - {self._wake.fileno()}

    def _events(self, seconds: float | None) -> Iterator[tuple[int, bytes]]:
        """Yield what can be read, no bytes for the end of a stream or of the process, which are then forgotten."""
        for key, _ in self._selector.select(None if seconds is None else max(0.0, seconds)):
            if key.fd == self._wake.fileno():
                return
            data = b"" if key.fd == self._exit else read(key.fd)
            if data is None:
                continue
            if not data:
                self._selector.unregister(key.fd)
            yield key.fd, data

    def _finish(self) -> None:
        self._selector.close()
        self._wake.close()
        self._waker.close()
        self._child.close_pipes()
        self._output.ended()
        self.drained.set()
