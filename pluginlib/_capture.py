"""Descriptor 1, sys.stderr and the hooks for uncaught exceptions, while a plugin serves. Decides nothing.

Descriptor 1 belongs to GRPCStdio from the start, so that `print`, C code and child processes reach the host and
cannot get in front of the handshake line, which goes out through a private duplicate. Descriptor 2 is never touched:
it is the host's log, and what a dying process says there is not lost with it. Only Python's `sys.stderr` goes to
GRPCStdio, from the moment at which a host can come.
"""

import io
import os
import sys
import threading
from types import TracebackType

from ..handshake import MachineFault
from ._output import Output, StderrStream

STDOUT, STDERR = 1, 2


class Stdout:
    """Descriptor 1 as a pipe. ``pipe`` is the end to read, non-blocking; ``release`` gives the descriptor back.

    Raises:
        MachineFault: the process has no stdout, or no descriptors left.
    """

    def __init__(self) -> None:
        # The interpreter found the descriptor closed at its start; by now the number may be some other file's.
        if sys.__stdout__ is None:
            raise MachineFault("a plugin needs a stdout for its handshake line, and this process has none")
        try:
            self._original = os.dup(STDOUT)
            self.pipe, feed = os.pipe()
        except OSError as error:
            raise MachineFault(f"cannot capture stdout: {error.strerror}") from None
        os.set_blocking(self.pipe, False)
        os.dup2(feed, STDOUT)
        os.close(feed)
        if isinstance(sys.stdout, io.TextIOWrapper):
            # A pipe is buffered in blocks by default, and the host would see nothing for a long time.
            sys.stdout.reconfigure(line_buffering=True)

    def say(self, line: bytes) -> None:
        """Write the handshake line where the host reads it.

        Raises:
            MachineFault: nobody reads it.
        """
        rest = memoryview(line)
        try:
            while rest:
                rest = rest[os.write(self._original, rest) :]
        except OSError as error:
            raise MachineFault(f"cannot write the handshake line to stdout: {error.strerror}") from None

    def release(self) -> None:
        """Push what Python has buffered into the pipe and give descriptor 1 back. The pipe is left to its reader."""
        try:
            if sys.stdout is not None:
                sys.stdout.flush()
        except (OSError, ValueError):  # closed by the program: there is nothing left to push
            pass
        os.dup2(self._original, STDOUT)
        os.close(self._original)


class Stderr:
    """``sys.stderr`` as a stream into the output; ``release`` puts the former one back."""

    def __init__(self, output: Output) -> None:
        self._former = sys.stderr
        # TextIOWrapper asks for little of what BufferedIOBase has, and a raw stream has that.
        self._raw = StderrStream(output, STDERR)
        self._stream = io.TextIOWrapper(
            self._raw,  # type: ignore[type-var]  # pyright: ignore[reportArgumentType]
            encoding="utf-8",
            errors="backslashreplace",
            line_buffering=True,
            write_through=True,
        )
        sys.stderr = self._stream

    def release(self) -> None:
        """Put the former stream back, unless the program has put another one there since."""
        self._raw.release()
        if sys.stderr is self._stream:
            sys.stderr = self._former


def report_uncaught() -> None:
    """Let exceptions that nobody catches reach the host's log at level error, where the default hooks are in place.

    The default hooks print to ``sys.stderr``, and so into a stream that may die with the process. This is for the
    rest of the process's life: whatever fails after serving is still a plugin's failure.
    """
    if sys.excepthook is sys.__excepthook__:
        sys.excepthook = _uncaught
    if threading.excepthook is threading.__excepthook__:
        threading.excepthook = _uncaught_in_thread
    if sys.unraisablehook is sys.__unraisablehook__:
        sys.unraisablehook = _unraisable


def _uncaught(kind: type[BaseException], error: BaseException, where: TracebackType | None) -> None:
    from . import hclog

    hclog.report(kind, error, where, f"uncaught exception: {kind.__name__}")


def _uncaught_in_thread(args: threading.ExceptHookArgs) -> None:
    from . import hclog

    if args.exc_type is not SystemExit:  # with which a thread ends itself, as in the default hook
        name = args.thread.name if args.thread is not None else "unknown"
        message = f"uncaught exception in thread {name}: {args.exc_type.__name__}"
        hclog.report(args.exc_type, args.exc_value, args.exc_traceback, message)


def _unraisable(args: "sys.UnraisableHookArgs") -> None:
    from . import hclog

    message = f"{args.err_msg or 'exception ignored in'}: {args.object!r}"
    hclog.report(args.exc_type, args.exc_value, args.exc_traceback, message)
