"""The synchronous client: threads and blocking calls around the pure parts of this room."""

import os
import signal
import threading
from collections.abc import Callable
from contextlib import ExitStack
from time import monotonic
from types import TracebackType
from typing import Generic, Self, TypeVar, assert_never

import grpc

from ..handshake import DialTimeout, GoPluginError, Line, MachineFault, Misuse, PluginLost
from ..transport import Broker, PlainCarrier, PrivateDirectory, Side, network_of
from . import _at_exit
from ._channel import LostInCall, PluginChannel
from ._child import DRAIN, Child
from ._ladder import Ladder, Rung, StopBudget, Stopped
from ._launch import SETTLE
from ._link import Link
from ._plugin import Plugin, StartTimes
from ._services import CHECK, HEALTH, NO_ANSWER, judge_health, unhealthy
from ._states import State
from ._supervisor import Supervisor

T = TypeVar("T")

_HINT = 0.1  # seconds for a plugin to take notice of Shutdown; one that is not frozen needs a few milliseconds
_TIDY = 2.0  # seconds that another thread may need after its steps, for threads to join


class Client(Plugin[Callable[[grpc.Channel], T]], Generic[T]):
    """Starts one plugin, talks to it and stops it. Safe to use from any thread.

    ::

        with hostlib.Client(["./kv-plugin"], HANDSHAKE, plugins={"kv": KVStub}) as client:
            kv = client.dispense("kv")

    Args:
        command: the program and its arguments.
        handshake: what host and plugin agreed on.
        plugins: by name, what makes a stub of a channel; for the handshake's one protocol version.
        versions: the same for several protocol versions, of which the plugin chooses; instead of ``plugins``.
        env: variables for the plugin, which win over inherited ones.
        skip_host_env: inherit no variable at all.
        cwd: the plugin's working directory.
        start_timeout: seconds from spawning it until it has answered its first call.
        call_timeout: seconds for a unary call whose caller gave no timeout; None for no limit.
        stop_budget: how long each step of ``stop`` may take.
        sync_stdout, sync_stderr: where the output goes that the plugin sends over gRPC; it is read in any case.
        stderr: where a copy of the process's own stderr goes, which is logged in any case.
        logger: the parent of the logger for what the plugin logs, ``goplugin.hostlib`` unless given. That logger is
            named for the plugin's file; records carry hclog's key-value pairs in the attribute ``hclog``.
        min_port, max_port: the range for a plugin that listens on TCP.

    Raises:
        Misuse: an argument makes no sense.
    """

    def _prepare(self) -> None:
        self._lock = threading.RLock()  # for the state and for _child; a signal handler may call stop within start
        self._busy: int | None = None  # the thread that started it last, or is stopping it
        self._over = threading.Event()
        self._undo = ExitStack()
        self._supervisor: Supervisor | None = None
        self._link: Link | None = None
        self._channel: PluginChannel | None = None

    def start(self) -> None:
        """Start the plugin and connect to it.

        Whatever goes wrong, nothing of it is left behind.

        Raises:
            Misuse: this client was started or stopped before.
            MachineFault: the program, or a directory for its sockets, is not there.
            HandshakeRefused: its first line on stdout is no acceptable handshake line.
            StartTimeout: it took longer than ``start_timeout``.
            PluginLost: it ended first.
        """
        with ExitStack() as undo:
            with self._lock:
                self._life.enter(State.STARTING)
                self._busy = threading.get_ident()
                _at_exit.keep(self._stop, self._ask)
                undo.callback(self._gone)
                directory = PrivateDirectory(os.environ)
                undo.callback(directory.close)
                environment = self._config.environment(os.environ, directory.path)
                begun = monotonic()
                child = self._child = Child(self._config.command, environment, self._config.cwd)
                undo.callback(child.end, self._config.stop_budget.kill)
                supervisor = self._supervisor = Supervisor(child, self._output, self._config.name)
                undo.callback(supervisor.close)
            try:
                self._go_on()
                self._line = supervisor.line(self._launch(child, begun))
                named = monotonic()
                self._connect(supervisor, self._line, directory.path, begun, undo)
                self._times = StartTimes(line=named - begun, connected=monotonic() - begun)
                with self._lock:
                    self._go_on()
                    self._life.enter(State.READY)
                    self._undo = undo.pop_all()
            except BaseException as error:
                self._kill(child)
                if self._abandoned and isinstance(error, PluginLost):
                    raise self._given_up() from None
                raise

    def dispense(self, name: str) -> T:
        """Return a new stub of the plugin ``name``.

        Raises:
            Misuse: the negotiated version has no such plugin, or none is running.
            PluginLost: the plugin has ended.
        """
        make, channel = self._maker(name), self.channel
        if self.exited:
            raise self._lost("has ended")
        return make(channel)

    def ping(self, timeout: float = 5.0) -> None:
        """Ask the plugin whether it is healthy, and wait for the answer for ``timeout`` seconds.

        Raises:
            PluginLost: it has ended.
            PluginFault: it does not answer in time, knows no health checks, or is not serving.
            Misuse: none is running.
        """
        check = self.channel.unary_unary(CHECK.path, CHECK.request_bytes, CHECK.response_from)
        try:
            answer = check(HEALTH, timeout=timeout)
        except LostInCall:
            raise
        except grpc.RpcError as error:
            raise unhealthy(error) from error
        judge_health(answer)

    def stop(self) -> Stopped:
        """Stop the plugin and release all that belongs to it; return how it went.

        Takes no longer than the stop budget, and a moment to tidy up, whatever the plugin does. Stopping again is fine
        and gives the same answer. A start that is under way in another thread fails.

        Raises:
            MachineFault: the kernel does not end the process.
        """
        return self._stop(self._config.stop_budget)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def channel(self) -> grpc.Channel:
        """The connection. Unary calls on it have ``call_timeout``, and end in ``PluginLost`` where the plugin did."""
        with self._lock:
            self._life.require_ready()
        return self._known(self._channel)

    @property
    def broker(self) -> Broker:
        """More connections to the plugin, in both directions. They end with it."""
        return self._known(self._link).broker

    def _connect(self, supervisor: Supervisor, line: Line, socket_dir: str, begun: float, undo: ExitStack) -> None:
        carrier = PlainCarrier(self._config.asked(socket_dir), network_of(line.address))
        broker = Broker(Side.PLUGIN, carrier, dress=self._dressed, explain=self._explained)
        link = self._link = Link(carrier.route(line.address), broker, self._config.name, self._output.logger)
        undo.callback(link.close)
        settled = threading.Event()
        supervisor.start(on_exit=settled.set)
        left = begun + self._config.start_timeout - monotonic()
        probe = link.probe(left, settled.set)
        settled.wait(left + SETTLE)
        code = probe.code() if probe.done() else grpc.StatusCode.DEADLINE_EXCEEDED
        if code in NO_ANSWER or self.exited:
            raise self._loss("ended between its handshake line and its first answer") or self._silent(code, line)
        link.open(self._sync_stdout, self._sync_stderr)
        self._channel = self._dressed(link.channel)

    def _dressed(self, channel: grpc.Channel) -> PluginChannel:
        return PluginChannel(channel, self._config.call_timeout, self._verdict)

    def _explained(self, error: GoPluginError) -> Exception:
        if self._life.state is not State.READY:
            return Misuse(f"the plugin {self._life.state.value}")
        if isinstance(error, Misuse | DialTimeout):
            return error
        return self._loss("ended, and its brokered connections with it") or error

    def _verdict(self, error: Exception) -> Exception | None:
        ours = self._life.state is not State.READY
        if isinstance(error, grpc.RpcError):
            code = error.code()
            ended = code is grpc.StatusCode.UNAVAILABLE or (ours and code is grpc.StatusCode.CANCELLED)
            loss = self._loss("ended during a call") if ended else None
            return LostInCall(loss, error) if loss is not None else None
        # grpc's answer to a call on a closed channel.
        return Misuse(f"the plugin {self._life.state.value}") if ours else None

    def _loss(self, reason: str) -> PluginLost | None:
        """Return the error that tells how the process ended, or None when a moment later it still runs."""
        # The connection breaks a moment before the process is gone.
        if self._known(self._child).wait(SETTLE) is None:
            return None
        self._known(self._supervisor).drained.wait(2 * DRAIN)
        return self._lost(reason)

    def _stop(self, budget: StopBudget) -> Stopped:
        with self._lock:
            state, child = self._life.state, self._child
            if state is State.NEW:
                self._gone()
            elif state is State.STARTING:
                self._abandoned = True
                if child is not None:
                    child.send(signal.SIGKILL)
            elif state is State.READY:
                self._life.enter(State.STOPPING)
                self._busy = threading.get_ident()
        if state is State.READY:
            self._descend(self._known(child), self._known(self._link), budget)
        elif self._busy == threading.get_ident() and not self._over.is_set():
            # A signal handler or a sink, called in the midst of our own start or stop: it cannot wait for that.
            self._known(child).send(signal.SIGKILL)
            return Stopped.after(Rung.KILL, None, 0.0)
        elif not self._over.wait(self._config.stop_budget.total + _TIDY):
            raise MachineFault(f"another thread is still stopping the plugin's process {self.id}")
        return self._known(self._stopped)

    def _ask(self) -> None:
        if self._link is not None:
            self._link.shut_down(_HINT)

    def _descend(self, child: Child, link: Link, budget: StopBudget) -> None:
        begun = monotonic()
        ladder = Ladder(budget, begun, connected=True)
        try:
            while child.status() is None and not ladder.spent(monotonic()):
                match ladder.due(monotonic()):
                    case Rung.SHUTDOWN:
                        if not link.shut_down(ladder.deadline - monotonic()):
                            ladder.refused(monotonic())
                    case Rung.TERMINATE:
                        child.send(signal.SIGTERM)
                        child.send(signal.SIGCONT)  # a frozen process could not act on the signal
                    case Rung.KILL:
                        child.send(signal.SIGKILL)
                    case None:
                        child.wait(ladder.deadline - monotonic())
                    case _ as never:
                        assert_never(never)
        except BaseException:
            child.send(signal.SIGKILL)
            child.wait(budget.kill)
            raise
        finally:
            self._stopped = Stopped.after(ladder.rung, child.status(), monotonic() - begun)
            self._undo.close()

    def _kill(self, child: Child) -> None:
        begun = monotonic()
        child.status()  # one that has ended of itself was not killed
        child.send(signal.SIGKILL)
        child.wait(self._config.stop_budget.kill)
        self._fell(monotonic() - begun)

    def _gone(self) -> None:
        with self._lock:
            self._life.enter(State.GONE)
        self._link = self._channel = None
        if self._stopped is None:
            self._stopped = Stopped.after(None, None, 0.0)
        _at_exit.forget(self._stop)
        self._over.set()
