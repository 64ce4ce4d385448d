"""Plugins that run some other way than as a child process: what their caller provides, and how the client uses it.

A runner may block as it likes in all that it does to a process: that is done on threads of their own, never on an
event loop, and each call is waited for until its deadline only. Decides nothing.
"""

import logging
import os
import signal
import stat
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from queue import SimpleQueue
from time import monotonic
from typing import IO, Any, Generic, Protocol, TypeVar

from ..handshake import Address, GoPluginError, MachineFault
from ..transport import Carrier, Listener, Route
from ._exit import ExitDescriptor

T = TypeVar("T")

_WITHIN = 1.0  # seconds for a diagnosis, which is for an error message only


class Runner(Protocol):
    """Runs one plugin: in a container, on another machine, as another user. go-plugin's ``runner.Runner``.

    A subclass inherits what suits a plugin that shares its files with the host: addresses that mean the same to both.

    Attributes:
        name: what the plugin is called in logs and errors.
        stdout, stderr: what the plugin writes, as files with a descriptor; there from ``start`` on, closed by the
            client. The handshake line comes on stdout.
    """

    @property
    def name(self) -> str: ...

    @property
    def stdout(self) -> IO[bytes]: ...

    @property
    def stderr(self) -> IO[bytes]: ...

    @property
    def pid(self) -> int | None:
        """The plugin's process, as this machine numbers it, or None where it has none here."""
        return None

    def start(self, environment: Mapping[str, str], socket_dir: str) -> None:
        """Start the plugin, once.

        Args:
            environment: all its variables. Those that name ``socket_dir`` are in the host's terms.
            socket_dir: the host's directory for the plugin's sockets, private to the host's user.
        """
        ...

    def wait(self) -> int | None:
        """Wait until the plugin has ended; return its exit status as ``subprocess`` gives it, or None if it is lost."""
        ...

    def terminate(self) -> None:
        """Ask the plugin to end, as SIGTERM does."""
        ...

    def kill(self) -> None:
        """End the plugin, as SIGKILL does, and whatever it left behind. ``terminate`` may still be running."""
        ...

    def plugin_to_host(self, address: Address) -> Address:
        """Return where the host reaches what the plugin calls ``address``.

        For the plugin's main server it is called once, and may block. For brokered connections it must be quick, and
        so must ``host_to_plugin``: there it is ``dial`` and ``accept_and_serve`` that call it.
        """
        return address

    def host_to_plugin(self, address: Address) -> Address:
        """Return what the plugin calls the host's ``address``."""
        return address

    def diagnose(self) -> Sequence[str]:
        """Return what may explain that the plugin did not come up."""
        return ()


class _Order(Generic[T]):
    """One call of a runner, made on another thread."""

    def __init__(self, call: Callable[[], T]) -> None:
        self._call = call
        self._done = threading.Event()
        self._result: T | None = None
        self._error: Exception | None = None

    def carry_out(self) -> None:
        try:
            self._result = self._call()
        except Exception as error:  # noqa: BLE001 - raised where it is waited for, or logged
            self._error = error
        self._done.set()

    def wait(self, seconds: float) -> bool:
        return self._done.wait(max(0.0, seconds))

    @property
    def error(self) -> Exception | None:
        return self._error

    @property
    def result(self) -> T | None:
        return self._result


class RunnerProcess:
    """What a runner started, with the face of a ``Child``. Making one takes as long as the runner's ``start``.

    Raises:
        MachineFault: the runner cannot start it.
    """

    def __init__(self, runner: Runner, environment: Mapping[str, str], socket_dir: str, logger: logging.Logger) -> None:
        self._runner, self._logger = runner, logger
        self._orders: SimpleQueue[_Order[Any] | None] = SimpleQueue()
        self._kills: SimpleQueue[_Order[Any] | None] = SimpleQueue()  # for a terminate that hangs must not hold one up
        self._status: int | None = None
        self._killed_at: float | None = None
        try:
            with ExitStack() as undo:
                undo.callback(self._dismiss)
                # Now: when the plugin has to be ended, there may be no threads to be had.
                for orders in (self._orders, self._kills):
                    self._employ("runner", self._obey, orders)
                runner.start(environment, socket_dir)
                undo.callback(self._abandon)
                self._pipes = runner.stdout, runner.stderr
                self.stdout, self.stderr = (pipe.fileno() for pipe in self._pipes)
                for descriptor in (self.stdout, self.stderr):
                    if stat.S_ISREG(os.fstat(descriptor).st_mode):
                        raise TypeError("it gives a regular file to read; want a pipe, a socket or a terminal")
                    os.set_blocking(descriptor, False)
                read, self._ended = os.pipe()
                undo.callback(os.close, self._ended)
                self._exit = ExitDescriptor(read)
                undo.callback(self._exit.close)
                self._employ("exit", self._wait)
                undo.pop_all()
        except GoPluginError:
            raise
        except Exception as error:
            raise MachineFault(f"the runner cannot start {runner.name!r}: {error}") from error

    @property
    def pid(self) -> int | None:
        """What the runner says."""
        return self._runner.pid

    @property
    def exit(self) -> int:
        """A descriptor that is readable once the plugin has ended."""
        return self._exit.number

    @property
    def killed(self) -> bool:
        """Whether it was still running when the runner was first told to kill it."""
        return self._killed_at is not None

    def gone(self, seconds: float = 0.0) -> bool:
        """Return whether it has ended, at the latest after ``seconds``."""
        return self._exit.ended(seconds)

    def status(self) -> int | None:
        """Return its exit status, or None while it runs."""
        return self._status if self.gone() else None

    def send(self, number: signal.Signals) -> None:
        """Have the runner end it; a signal that runners do not know is left out."""
        if self.gone():
            return
        if number == signal.SIGTERM:
            self._order(self._runner.terminate, self._orders)
        elif number == signal.SIGKILL:
            if self._killed_at is None:
                self._killed_at = monotonic()
            self._order(self._runner.kill, self._kills)

    def diagnose(self) -> tuple[str, ...]:
        """Return what the runner says."""
        asked = self._order(self._runner.diagnose, self._orders)
        return tuple(asked.result or ()) if asked.wait(_WITHIN) else ()

    def close_pipes(self) -> None:
        """Close our ends of stdout and stderr."""
        for pipe in self._pipes:
            pipe.close()

    def end(self, seconds: float) -> None:
        """Have it killed, also where it has ended, for what it left behind; let go of it.

        Raises:
            MachineFault: it has not ended ``seconds`` after the runner was first told to kill it.
        """
        if self._killed_at is None:
            self._killed_at = monotonic()
            self._order(self._runner.kill, self._kills)
        ended = self.gone(seconds - (monotonic() - self._killed_at))
        self._dismiss()
        self._exit.close()
        if not ended:
            raise MachineFault(f"the runner does not end {self._runner.name!r}: {seconds:g} s since it was told to")

    def _employ(self, what: str, work: Callable[..., None], *arguments: object) -> None:
        name = f"goplugin-{what}-{self._runner.name}"
        threading.Thread(target=work, args=arguments, name=name, daemon=True).start()

    def _order(self, call: Callable[[], T], orders: "SimpleQueue[_Order[Any] | None]") -> _Order[T]:
        order = _Order(call)
        orders.put(order)
        return order

    def _dismiss(self) -> None:
        self._orders.put(None)
        self._kills.put(None)

    def _abandon(self) -> None:
        self._runner.kill()
        self._runner.wait()
        self._runner.stdout.close()
        self._runner.stderr.close()

    def _obey(self, orders: "SimpleQueue[_Order[Any] | None]") -> None:
        while (order := orders.get()) is not None:
            order.carry_out()
            if order.error is not None:
                self._logger.warning("the runner of %r failed: %s", self._runner.name, order.error)

    def _wait(self) -> None:
        try:
            self._status = self._runner.wait()
        except Exception:
            self._logger.exception("the runner of %r cannot tell when it ends", self._runner.name)
        finally:
            os.close(self._ended)


class Translated:
    """A carrier whose addresses mean something else to the plugin than to the host.

    Args:
        carrier: carries in the host's terms.
        runner: translates.
    """

    def __init__(self, carrier: Carrier, runner: Runner) -> None:
        self._carrier, self._runner = carrier, runner

    def listen(self, server: Any) -> Listener:
        """Bind a server; the address that is returned is for the plugin."""
        listener = self._carrier.listen(server)
        listener.address = self._runner.host_to_plugin(listener.address)
        return listener

    def route(self, address: Address) -> Route:
        """Return the way to where the plugin says that it listens."""
        return self._carrier.route(self._runner.plugin_to_host(address))

    def close(self, within: float = 1.0) -> None:
        """Close the carrier."""
        self._carrier.close(within)
