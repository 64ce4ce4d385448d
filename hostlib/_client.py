"""The synchronous client: threads and blocking calls around the pure parts of this room."""

import os
import signal
import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress
from queue import Empty, SimpleQueue
from time import monotonic
from types import TracebackType
from typing import Any, Generic, Self, TypeVar, assert_never

import grpc

from ..handshake import DialTimeout, GoPluginError, Line, MachineFault, Misuse, PluginLost
from ..transport import Broker, Side
from . import _at_exit
from ._channel import LostInCall, PluginChannel
from ._child import DRAIN
from ._ladder import Ladder, Rung, StopBudget, Stopped, bounded
from ._latch import Latch
from ._launch import SETTLE
from ._link import Link
from ._plugin import TIDY, UNANSWERED, VETTED_AGAIN, Plugin, StartTimes
from ._process import Process
from ._services import CHECK, HEALTH, NO_ANSWER, judge_health, unhealthy
from ._sheltered import Sheltered
from ._silence import SILENCE
from ._states import State
from ._supervisor import Supervisor

T = TypeVar("T")
R = TypeVar("R")

_HINT = 0.1  # seconds for a plugin to take notice of Shutdown; one that is not frozen needs a few milliseconds

_managed: "set[Client[Any]]" = set()


class Client(Plugin[Callable[[grpc.Channel], T]], Generic[T]):
    """Starts one plugin, talks to it and stops it. Safe to use from any thread.

    ::

        with hostlib.Client(["./kv-plugin"], HANDSHAKE, plugins={"kv": KVStub}) as client:
            kv = client.dispense("kv")

    Args:
        command: the program and its arguments. Without one, ``options`` must say where the plugin comes from.
        handshake: what host and plugin agreed on.
        plugins: by name, what makes a stub of a channel; for the handshake's one protocol version.
        versions: the same for several protocol versions, of which the plugin chooses; instead of ``plugins``.
        options: anything else, see ``Options``.

    Raises:
        Misuse: an argument makes no sense.
    """

    def _prepare(self) -> None:
        self._lock = threading.RLock()  # for the state and for _child; a signal handler may call stop within start
        self._busy: int | None = None  # the thread that started it last, or is stopping it
        self._settled = Latch()  # whether the plugin answered its first call, or will never do so
        self._over = Latch()
        # That a step of the start is over, or the start given up: a signal handler may put in the midst of a get.
        self._news: SimpleQueue[None] = SimpleQueue()
        self._undo = ExitStack()
        self._supervisor: Supervisor | None = None
        self._link: Link | None = None
        self._channel: PluginChannel | None = None

    def start(self) -> None:
        """Start the plugin and connect to it.

        Whatever goes wrong, nothing of it is left behind. Only where a runner or the check of a file hangs does a
        thread stay with that, which undoes it in the end.

        Raises:
            Misuse: this client was started or stopped before.
            MachineFault: the program, or a directory for its sockets, is not there.
            ChecksumMismatch: a file of the plugin is not what ``secure`` says.
            ProcessNotFound: there is nothing to reattach to.
            HandshakeRefused: its first line on stdout is no acceptable handshake line.
            StartTimeout: it took longer than ``start_timeout``.
            TlsRefused: it and this client do not trust each other's certificates.
            PluginLost: it ended first.
        """
        undo = self._undo
        with ExitStack() as failed:
            with self._lock:
                self._life.enter(State.STARTING)
                self._owner = os.getpid()
                failed.callback(undo.close)
                self._busy = threading.get_ident()
                _at_exit.keep(self._stop_at_exit, self._ask)
                if self._config.managed:
                    _managed.add(self)
                undo.callback(self._gone)
                undo.callback(self._unguard)
            begun = monotonic()
            step = Sheltered(self._acquired, self._tell)
            undo.callback(self._let_go, step)
            self._go_on()
            child = self._result(step, begun, self._unstarted)  # without the lock: it may take its time
            directory = self._known(self._directory)
            supervisor = self._supervisor = Supervisor(child, self._output, self._config.name)
            undo.callback(supervisor.close)
            self._guard(directory.path)
            try:
                self._go_on()
                self._line = self._recorded or supervisor.line(self._launch(child, begun, directory.path))
                named = monotonic()
                self._connect(supervisor, self._line, directory.path, begun, undo)
                self._times = StartTimes(line=named - begun, connected=monotonic() - begun)
                with self._lock:
                    self._go_on()
                    self._life.enter(State.READY)
                    failed.pop_all()
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
            Misuse: none is running, or ``timeout`` is no number of seconds that can be waited for.
        """
        bounded("timeout", timeout)
        check = self.channel.unary_unary(CHECK.path, CHECK.request_bytes, CHECK.response_from)
        try:
            answer = check(HEALTH, timeout=timeout)
        except LostInCall:
            raise
        except grpc.RpcError as error:
            raise unhealthy(error) from error
        judge_health(answer)

    def wait(self, timeout: float) -> PluginLost | None:
        """Wait until the plugin's process has ended, and return how; None where it runs on after ``timeout`` seconds.

        Raises:
            Misuse: none was started, or ``timeout`` is no number of seconds that can be waited for.
        """
        return self._loss("ended", bounded("timeout", timeout))

    def stop(self) -> Stopped:
        """Stop the plugin and release all that belongs to it; return how it went.

        A plugin in test mode that was reattached to is left running, as in go-plugin.

        Takes no longer than the stop budget, and a moment to tidy up, whatever the plugin does. Stopping again is fine
        and gives the same answer. A start that is under way in another thread fails.

        Raises:
            MachineFault: the kernel does not end the process.
            Misuse: this process is a fork of the one that started it.
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

    def _result(self, step: Sheltered[R], begun: float, late: str) -> R:
        if self._in_time(step, begun + self._config.start_timeout):
            return step.result()
        self._go_on()
        raise self._late(late)

    def _in_time(self, step: Sheltered[Any], limit: float) -> bool:
        """Run a step of the start; return whether it was over by ``limit``, and before the start was given up."""
        step.begin()
        self._until(lambda: step.over or self._abandoned, limit)
        return step.over

    def _let_go(self, step: Sheltered[Any]) -> None:
        """Undo a step. Where it is not over, it has a moment: to make a process takes a few milliseconds."""
        step.give_up()
        try:
            self._until(lambda: step.over, monotonic() + self._config.stop_budget.kill)
        finally:
            step.close()

    def _until(self, done: Callable[[], bool], limit: float) -> None:
        while not done() and (left := limit - monotonic()) > 0:
            with suppress(Empty):
                self._news.get(timeout=left)

    def _tell(self) -> None:
        self._news.put(None)

    def _connect(self, supervisor: Supervisor, line: Line, socket_dir: str, begun: float, undo: ExitStack) -> None:
        address = line.address
        if self._config.runner is not None:
            translation = Sheltered(self._translated, self._tell)
            address = self._result(translation, begun, "has an address that its runner did not translate")
        carrier = self._carrier(line, address, socket_dir, self._settled.set)
        undo.callback(carrier.close, 0.0)
        broker = Broker(Side.PLUGIN, self._brokered(carrier), dress=self._dressed, explain=self._explained)
        link = self._link = Link(carrier.route(address), broker, self._config.name, self._output.logger)
        undo.callback(link.close)
        supervisor.start(on_exit=self._settled.set)
        limit = begun + self._config.start_timeout
        left = limit - monotonic()
        probe = link.probe(left, self._settled.set)
        if not self._settled.wait(min(SILENCE, left)):
            look = Sheltered(lambda *_: self._tls_wanted(self._settled.wait), self._tell)
            if self._in_time(look, limit) and (wanted := look.result()):
                raise wanted
        self._settled.wait(limit - monotonic() + SETTLE)
        code, details = (probe.code(), probe.details()) if probe.done() else (grpc.StatusCode.DEADLINE_EXCEEDED, "")
        refusal = self._security.refusal(line, details)
        if code in NO_ANSWER or self.exited:
            loss = self._loss(UNANSWERED)
            raise loss or self._unanswered(code, line, refusal)
        while not self._answered(last=monotonic() >= limit):
            if (loss := self._loss(UNANSWERED, VETTED_AGAIN)) is not None:
                raise loss
        link.open(self._sync_stdout, self._sync_stderr)
        self._channel = self._dressed(link.channel)

    def _dressed(self, channel: grpc.Channel) -> PluginChannel:
        return PluginChannel(channel, self._config.call_timeout, self._verdict)

    def _explained(self, error: GoPluginError) -> Exception:
        if self._life.state is not State.READY:
            return Misuse(f"the plugin {self._life.state.value}")
        if isinstance(error, Misuse | DialTimeout):
            return error
        return self._loss("ended, and its brokered connections with it") or self._cut() or error

    def _verdict(self, error: Exception) -> Exception | None:
        ours = self._life.state is not State.READY
        if isinstance(error, grpc.RpcError):
            code = error.code()
            ended = code is grpc.StatusCode.UNAVAILABLE or (ours and code is grpc.StatusCode.CANCELLED)
            loss = (self._loss("ended during a call") or self._cut()) if ended else None
            return LostInCall(loss, error) if loss is not None else None
        # grpc's answer to a call on a closed channel.
        return Misuse(f"the plugin {self._life.state.value}") if ours else None

    def _loss(self, reason: str, seconds: float = SETTLE) -> PluginLost | None:
        """Return the error that tells how the process ended, or None when ``seconds`` later it still runs."""
        # The connection breaks a moment before the process is gone.
        if not self._known(self._child).gone(seconds):
            return None
        self._known(self._supervisor).drained.wait(2 * DRAIN)
        return self._lost(reason)

    def _stop(self, budget: StopBudget) -> Stopped:
        self._own()
        with self._lock:
            state, child = self._life.state, self._child
            if state is State.NEW:
                self._gone()
            elif state is State.STARTING:
                self._abandoned = True
                self._tell()
                if self._config.reattach is not None:
                    self._settled.set()
                elif child is not None:
                    child.send(signal.SIGKILL)
            elif state is State.READY:
                self._life.enter(State.STOPPING)
                self._busy = threading.get_ident()
        if state is State.READY:
            self._descend(self._known(child), self._known(self._link), budget)
        elif self._busy == threading.get_ident() and not self._over.is_set():
            # A signal handler or a sink, called in the midst of our own start or stop: it cannot wait for that.
            if self._spared or (state is State.STARTING and self._config.reattach is not None):
                return Stopped.after(None, None, 0.0, left=True)
            if child is not None:
                child.send(signal.SIGKILL)
            return Stopped.after(Rung.KILL, None, 0.0)
        elif not self._over.wait(self._config.stop_budget.total + TIDY):
            raise MachineFault(f"another thread is still stopping the plugin's process {self.id}")
        return self._known(self._stopped)

    def _stop_at_exit(self, budget: StopBudget) -> None:
        self._spared = self._config.reattach is not None  # nobody said that it was to end
        self._stop(budget)

    def _ask(self) -> None:
        if self._link is not None and self._config.reattach is None:
            self._link.shut_down(_HINT)

    def _descend(self, child: Process, link: Link, budget: StopBudget) -> None:
        begun = monotonic()
        ladder = Ladder(budget, begun, connected=True)
        try:
            while not (self._spared or child.gone() or ladder.spent(monotonic())):
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
                        child.gone(ladder.deadline - monotonic())
                    case _ as never:
                        assert_never(never)
        except BaseException:
            child.send(signal.SIGKILL)
            child.gone(budget.kill)
            raise
        finally:
            left = not child.gone()
            self._stopped = Stopped.after(ladder.rung, child.status(), monotonic() - begun, left=left)
            self._undo.close()

    def _kill(self, child: Process) -> None:
        if self._config.reattach is not None:
            return  # its life is not ours
        begun = monotonic()
        child.gone()  # one that has ended of itself was not killed
        child.send(signal.SIGKILL)
        child.gone(self._config.stop_budget.kill)
        self._fell(monotonic() - begun)

    def _gone(self) -> None:
        with self._lock:
            self._life.enter(State.GONE)
        self._link = self._channel = None
        if self._stopped is None:
            left = self._child is not None and not self._child.gone()
            self._stopped = Stopped.after(None, None, 0.0, left=left)
        _at_exit.forget(self._stop_at_exit)
        _managed.discard(self)
        self._over.set()


def stop_within(client: Client[Any], budget: StopBudget) -> None:
    """Stop a client at the interpreter's exit, in its share of the time that all have."""
    client._stop_at_exit(budget)


def cleanup_clients() -> None:
    """Stop all managed clients that were started and not stopped, at once: it takes as long as the slowest of them.

    Those of ``goplugin.hostlib.aio`` have a function of their own.

    Raises:
        ExceptionGroup: of ``MachineFault``, where the kernel did not end processes, and of whatever else kept a client
            from being stopped; all the others were.
    """
    faults: list[Exception] = []

    def stop(client: Client[Any]) -> None:
        try:
            client.stop()
        except Exception as fault:  # noqa: BLE001 - raised when all were stopped
            faults.append(fault)

    threads = list[threading.Thread]()
    for client in list(_managed):
        if client._life.state is not State.READY and client._busy == threading.get_ident():
            stop(client)  # we are a signal handler, say, in the midst of its start or stop: no thread could await that
            continue
        thread = threading.Thread(target=stop, args=(client,), name="goplugin-cleanup", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # there are no threads to be had, as at the end of the interpreter
            stop(client)
        else:
            threads.append(thread)
    for thread in threads:
        thread.join()  # each has its own budget
    if faults:
        raise ExceptionGroup("some plugins do not end", faults)
