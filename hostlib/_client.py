"""The synchronous client: threads and blocking calls around the pure parts of this room."""

import logging
import os
import signal
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from time import monotonic
from types import TracebackType
from typing import Generic, TypeVar, assert_never

import grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from ..handshake import Handshake, Line, MachineFault, Misuse, PluginFault, PluginLost, StartTimeout
from ..transport import Broker, PrivateDirectory
from . import _at_exit
from ._channel import LostInCall, PluginChannel
from ._child import Child
from ._config import Config
from ._hclog import legible
from ._ladder import Ladder, Rung, StopBudget, Stopped
from ._launch import SETTLE, Launch
from ._link import CHECK, HEALTH_NAME, Link
from ._output import Output, Sink, Tap
from ._states import Lifecycle, State
from ._supervisor import DRAIN, Supervisor

T = TypeVar("T")
V = TypeVar("V")

_NO_ANSWER = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.CANCELLED,
}
_TIDY = 2.0  # seconds that another thread may need after its steps, for threads to join


@dataclass(frozen=True, slots=True, kw_only=True)
class StartTimes:
    """How long a start took, in seconds since the process was spawned.

    Attributes:
        line: until its handshake line.
        connected: until it answered its first call.
    """

    line: float
    connected: float


class Client(Generic[T]):
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

    def __init__(
        self,
        command: Sequence[str | os.PathLike[str]],
        handshake: Handshake,
        plugins: Mapping[str, Callable[[grpc.Channel], T]] | None = None,
        *,
        versions: Mapping[int, Mapping[str, Callable[[grpc.Channel], T]]] | None = None,
        env: Mapping[str, str] | None = None,
        skip_host_env: bool = False,
        cwd: str | os.PathLike[str] | None = None,
        start_timeout: float = 30.0,
        call_timeout: float | None = 60.0,
        stop_budget: StopBudget = StopBudget(),  # noqa: B008 - frozen
        sync_stdout: Sink | None = None,
        sync_stderr: Sink | None = None,
        stderr: Sink | None = None,
        logger: logging.Logger | None = None,
        min_port: int = 10000,
        max_port: int = 25000,
    ) -> None:
        self._config = Config[Callable[[grpc.Channel], T]].checked(
            command,
            handshake,
            plugins,
            versions,
            env=env,
            skip_host_env=skip_host_env,
            cwd=cwd,
            start_timeout=start_timeout,
            call_timeout=call_timeout,
            stop_budget=stop_budget,
            min_port=min_port,
            max_port=max_port,
        )
        self._output = Output(self._config.name, logger, stderr)
        self._sync_stdout = Tap(sync_stdout, "sync_stdout", self._output.logger)
        self._sync_stderr = Tap(sync_stderr, "sync_stderr", self._output.logger)
        self._lock = threading.RLock()  # for the state and for _child; a signal handler may call stop within start
        self._life = Lifecycle()
        self._over = threading.Event()
        self._undo = ExitStack()
        self._child: Child | None = None
        self._supervisor: Supervisor | None = None
        self._link: Link | None = None
        self._channel: PluginChannel | None = None
        self._line: Line | None = None
        self._times: StartTimes | None = None
        self._stopped: Stopped | None = None
        self._abandoned = False

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
                _at_exit.keep(self)
                undo.callback(self._gone)
                directory = PrivateDirectory(os.environ)
                undo.callback(directory.close)
                environment = self._config.environment(os.environ, directory.path)
                begun = monotonic()
                child = self._child = Child(self._config.command, environment, self._config.cwd)
                undo.callback(child.end)
                supervisor = self._supervisor = Supervisor(child, self._output, self._config.name)
                undo.callback(supervisor.close)
            try:
                self._line = supervisor.line(self._launch(child, begun))
                named = monotonic()
                self._connect(supervisor, self._line, begun, undo)
                self._times = StartTimes(line=named - begun, connected=monotonic() - begun)
                with self._lock:
                    self._life.enter(State.READY)
                    self._undo = undo.pop_all()
            except BaseException as error:
                self._kill(child)
                if self._abandoned and isinstance(error, PluginLost):
                    argv, pid = self._config.command, child.pid
                    raise PluginLost("was stopped while it was starting", argv=argv, pid=pid) from None
                raise

    def dispense(self, name: str) -> T:
        """Return a new stub of the plugin ``name``.

        Raises:
            Misuse: the negotiated version has no such plugin, or none is running.
            PluginLost: the plugin has ended.
        """
        channel, plugins = self.channel, self._config.versions[self.negotiated_version]
        if name not in plugins:
            known = ", ".join(sorted(plugins))
            raise Misuse(f"version {self.negotiated_version} has no plugin {name!r}; it has {known}")
        if self.exited and (loss := self._loss("has ended")) is not None:
            raise loss
        return plugins[name](channel)

    def ping(self, timeout: float = 5.0) -> None:
        """Ask the plugin whether it is healthy, and wait for the answer for ``timeout`` seconds.

        Raises:
            PluginLost: it has ended.
            PluginFault: it does not answer in time, knows no health checks, or is not serving.
            Misuse: none is running.
        """
        check = self.channel.unary_unary(CHECK.path, CHECK.request_bytes, CHECK.response_from)
        try:
            answer = check(HealthCheckRequest(service=HEALTH_NAME), timeout=timeout)
        except LostInCall:
            raise
        except grpc.RpcError as error:
            raise PluginFault(f"the plugin's health check failed: {error.code().name}: {error.details()}") from error
        if answer.status != HealthCheckResponse.SERVING:
            status = HealthCheckResponse.ServingStatus.Name(answer.status)
            raise PluginFault(f"the plugin says of itself that it is {status}")

    def stop(self) -> Stopped:
        """Stop the plugin and release all that belongs to it; return how it went.

        Takes no longer than the stop budget, and a moment to tidy up, whatever the plugin does. Stopping again is fine
        and gives the same answer. A start that is under way in another thread fails.

        Raises:
            MachineFault: the kernel does not end the process.
        """
        return self._stop(self._config.stop_budget)

    def stop_at_exit(self, budget: StopBudget) -> None:
        """Stop within ``budget``, when the interpreter exits."""
        self._stop(budget)

    def __enter__(self) -> "Client[T]":
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def exited(self) -> bool:
        """Whether its process has ended. False before the start."""
        return self._child is not None and self._child.status() is not None

    @property
    def id(self) -> int | None:
        """The process id, or None before the start."""
        return self._child.pid if self._child is not None else None

    @property
    def line(self) -> Line:
        """Its handshake line."""
        return self._known(self._line)

    @property
    def negotiated_version(self) -> int:
        """The protocol version that the plugin chose."""
        return self.line.version

    @property
    def protocol(self) -> str:
        """The protocol that it speaks."""
        return self.line.protocol

    @property
    def channel(self) -> grpc.Channel:
        """The connection. Unary calls on it have ``call_timeout``, and end in ``PluginLost`` where the plugin did."""
        with self._lock:
            self._life.require_ready()
        return self._known(self._channel)

    @property
    def broker(self) -> Broker:
        """The book-keeping of brokered connections."""
        return self._known(self._link).broker

    @property
    def times(self) -> StartTimes:
        """How long its start took."""
        return self._known(self._times)

    @property
    def stopped(self) -> Stopped | None:
        """How it stopped, or None as long as it has not been stopped."""
        return self._stopped

    @property
    def stderr_tail(self) -> tuple[str, ...]:
        """Its last lines on stderr."""
        return tuple(legible(line) for line in self._output.tail())

    def _known(self, value: V | None) -> V:
        if value is None:
            raise Misuse(f"the plugin {self._life.state.value}")
        return value

    def _launch(self, child: Child, begun: float) -> Launch:
        return Launch(
            now=begun,
            timeout=self._config.start_timeout,
            versions=self._config.versions,
            argv=self._config.command,
            pid=child.pid,
            stderr=self._output.tail,
        )

    def _connect(self, supervisor: Supervisor, line: Line, begun: float, undo: ExitStack) -> None:
        timeout = self._config.start_timeout
        link = self._link = Link(line.address, self._config.name, self._output.logger)
        undo.callback(link.close)
        settled = threading.Event()
        supervisor.start(on_exit=settled.set)
        left = begun + timeout - monotonic()
        probe = link.probe(left, settled.set)
        settled.wait(left + SETTLE)
        code = probe.code() if probe.done() else grpc.StatusCode.DEADLINE_EXCEEDED
        if code in _NO_ANSWER or self.exited:
            if (loss := self._loss("ended between its handshake line and its first answer")) is not None:
                raise loss
            kind, what = (
                (StartTimeout, f"gave no answer at {line.address} within {timeout:g} s")
                if code is grpc.StatusCode.DEADLINE_EXCEEDED
                else (PluginLost, f"broke off the connection to {line.address}")
            )
            argv, pid = self._config.command, self.id
            raise kind(f"printed its handshake line but {what}", argv=argv, pid=pid, stderr=self._output.tail())
        link.open(self._sync_stdout, self._sync_stderr)
        self._channel = PluginChannel(link.channel, self._config.call_timeout, self._verdict)

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
        child, supervisor = self._known(self._child), self._known(self._supervisor)
        # The connection breaks before the process is gone.
        status = child.wait(SETTLE)
        if status is None:
            return None
        supervisor.drained.wait(2 * DRAIN)
        argv, stderr = self._config.command, self._output.tail()
        return PluginLost(reason, argv=argv, pid=child.pid, status=status, stderr=stderr)

    def _stop(self, budget: StopBudget) -> Stopped:
        with self._lock:
            state, child = self._life.state, self._child
            if state is State.NEW:
                self._gone()
            elif state is State.STARTING and child is not None:
                self._abandoned = True
                child.send(signal.SIGKILL)
            elif state is State.READY:
                self._life.enter(State.STOPPING)
        if state is State.READY:
            self._descend(self._known(child), self._known(self._link), budget)
        elif not self._over.wait(self._config.stop_budget.total + _TIDY):
            raise MachineFault(f"another thread is still stopping the plugin's process {self.id}")
        return self._known(self._stopped)

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
        status = child.wait(self._config.stop_budget.kill)
        self._stopped = Stopped.after(Rung.KILL if child.killed else None, status, monotonic() - begun)

    def _gone(self) -> None:
        with self._lock:
            self._life.enter(State.GONE)
        if self._stopped is None:
            self._stopped = Stopped.after(None, None, 0.0)
        _at_exit.forget(self)
        self._over.set()
