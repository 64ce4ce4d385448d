"""All that surrounds a server, the same for both shells: from the plan to the last byte of output.

The order is the point. Descriptor 1 is captured, and emptied, before any code of the author runs; the parent is
watched, signals are handled, sys.stderr is replaced and the server accepts before the line is out: the host may be
faster than the next statement.
"""

import os
import signal
import threading
from collections.abc import Callable, Generator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Generic, Protocol

from ..handshake import Address, Handshake, HostFault, Line, MachineFault, Reattach
from . import hclog
from ._attendant import Attendant
from ._capture import STDERR, Stderr, Stdout, report_uncaught
from ._life import Cause, Life
from ._options import Options
from ._output import Output
from ._plan import Plan, Register, make_plan
from ._signals import Signals
from ._spool import EXPECTED, LIMIT, Spool

FLUSH_WITHIN = 0.3
"""Seconds for the last output to reach the host after the drain; both together stay below a Go host's two."""

_LAST_WORDS_WITHIN = 5.0
"""The same of a start that failed, for which a host waits far longer."""


class Serving(Protocol):
    """What serves in this process, and has to be given up in a child that is forked."""

    def leave_to_parent(self) -> None:
        """Give up, in a forked child, what belongs to the process that serves."""
        ...


serving: set[Serving] = set()


class Stage(Generic[Register]):
    """One run of a plugin, before, while and after it serves. Made by `staged`.

    Args:
        plan: what is served.
        options: how.
        on_stop: called once, on another thread, when the shell has to stop its server.
        limit: bytes of output kept for a reader that is there.
    """

    def __init__(
        self, plan: Plan[Register], options: Options, on_stop: Callable[[Cause], None], limit: int = LIMIT
    ) -> None:
        self.plan, self._options = plan, options
        self._undo = ExitStack()
        self.output = Output(Spool(present_limit=limit))
        owns_process = options.test is None
        life = Life(
            drain=options.drain,
            leave_with_host=options.leave_with_host and owns_process,
            owns_process=owns_process,
        )
        self.attendant = Attendant(life, self.output, on_stop=on_stop, last_rites=self._undo.close)
        self._stdout = Stdout() if owns_process else None
        self.attendant.start(None if self._stdout is None else self._stdout.pipe)
        self._stderr: Stderr | None = None
        self._signals: Signals | None = None
        self._presented = self._flushed = False
        serving.add(self)

    def on_close(self, close: Callable[[], None]) -> None:
        """Call ``close`` when the plugin is over, also when its process has to be ended by force."""
        self._undo.callback(close)

    def present(self, address: Address, server_cert: bytes | None = None) -> None:
        """Tell the host that the server accepts at ``address``, and by which certificate (DER) it knows it.

        Raises:
            MachineFault: nobody reads the line.
        """
        self._presented = True
        if self._stdout is not None:
            if self._options.leave_with_host:
                self.attendant.watch_parent()
            self._signals = Signals(self.attendant)
            self._stderr = Stderr(self.output)
            # It says what the plugin can do, whether or not the host wants it (server.go:442).
            multiplex = "true" if self.plan.asked.multiplex_understood else None
            self.output.expect(EXPECTED)
            line = Line(version=self.plan.version, address=address, server_cert=server_cert, multiplex=multiplex)
            self._stdout.say(line.format())
        elif self._options.test is not None:
            self._options.test.when_stopped(lambda: self.attendant.stop(Cause.TEST_OVER))
            version = self.plan.version
            self._options.test.ready(Reattach(address=address, pid=os.getpid(), version=version, test=True))

    def flush(self, within: float) -> None:
        """Bring what was printed into the output, and tell its reader that this was all. Flushing twice is fine.

        It takes as long as the pipe takes to empty, at most ``within`` seconds.
        """
        if self._flushed:
            return
        self._flushed = True
        if self._stderr is not None:
            self._stderr.release()
        if self._stdout is not None:
            self._stdout.release()
            self.attendant.empty_pipe(max(0.0, within))
            if not self._presented:
                # The start failed: nobody will ever open StreamStdio, and what was printed may say why.
                self.output.spill(STDERR)
        self.output.finish()

    def close(self) -> None:
        """Put everything back that outlives the serving."""
        with ExitStack() as last:
            last.callback(serving.discard, self)
            last.callback(self.attendant.close)
            if self._signals is not None:
                last.callback(self._signals.release)
            # Before the signals: one that kills from now on must find nothing to leave behind.
            last.callback(self._undo.close)
            self.flush(FLUSH_WITHIN if self._presented else _LAST_WORDS_WITHIN)

    def leave_to_parent(self) -> None:
        """Give up, in a forked child, what belongs to the process that serves."""
        self._flushed = True  # what the parent took, it will tell
        if self._signals is not None:
            self._signals.leave_to_parent()
        if self._stderr is not None:
            self._stderr.release()


@contextmanager
def staged(
    handshake: Handshake,
    plugins: Mapping[str, Register] | None,
    versions: Mapping[int, Mapping[str, Register]] | None,
    options: Options,
    on_stop: Callable[[Cause], None],
    limit: int = LIMIT,
) -> Generator[Stage[Register]]:
    """Yield the stage; afterwards put everything back.

    Raises:
        SystemExit: with 1 and after one line on stderr, where the host or the machine is at fault. In test mode the
            fault itself is raised.
    """
    try:
        plan = make_plan(handshake, plugins, versions, os.environ)
        if options.test is None:
            report_uncaught()
            if options.logging:
                hclog.install()
            for complaint in plan.complaints:
                hclog.write(hclog.line("warn", complaint))
        stage = Stage(plan, options, on_stop, limit)
        try:
            yield stage
        finally:
            stage.close()
    except (HostFault, MachineFault) as fault:
        if options.test is not None:
            raise
        hclog.write(hclog.line("error", f"the plugin cannot start: {fault}"))
        raise SystemExit(1) from None


_forking: set[int] = set()
"""The threads that hold back SIGTERM while they fork."""


def _before_fork() -> None:
    if serving and signal.SIGTERM not in signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM}):
        _forking.add(threading.get_ident())


def _after_fork_in_parent() -> None:
    if threading.get_ident() in _forking:
        _forking.discard(threading.get_ident())
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})


def _after_fork_in_child() -> None:
    for one in tuple(serving):
        one.leave_to_parent()
    serving.clear()
    _after_fork_in_parent()


# A child that was forked, by multiprocessing say, must die of a SIGTERM instead of stopping the plugin with it, and
# must not have one before it can.
os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
