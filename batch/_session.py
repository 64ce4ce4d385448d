"""The process of one batch plugin: started, given its configuration, started anew when it was lost, stopped.

Knows no batches: what is asked of the plugin, and whether a lost question may be asked again, its callers decide.
"""

import logging
import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from time import monotonic
from types import TracebackType
from typing import Generic, Self, TypeVar

import grpc
from google.protobuf.message import Message as WireMessage

from .. import hostlib
from ..handshake import Misuse, PluginFault, PluginLost, quoted
from ..proto import redpanda
from ..proto.rpc import Method
from ._component import Config
from ._descriptor import Descriptor, Kind
from ._document import locate
from ._errors import TEXT_MAX, BadStatus, NoAnswer
from ._failures import read_error
from ._printed import LineLog
from ._serve import HANDSHAKE
from ._value import write_value

_Stub = TypeVar("_Stub")
_Res = TypeVar("_Res")
_Request = TypeVar("_Request", bound=WireMessage)
_Response = TypeVar("_Response", bound=WireMessage)

ADDRESS_VARIABLE = "REDPANDA_CONNECT_PLUGIN_ADDRESS"
"""Where plugins that are built on Redpanda's own SDKs look for the socket to bind (connect, internal/rpcplugin)."""

DAY = 24 * 60 * 60.0  # seconds: the longest wait; those of the operating system overflow after 24 days
_LEAVING = (grpc.StatusCode.CANCELLED, grpc.StatusCode.UNAVAILABLE)
_LEAVES_WITHIN = 2.0  # seconds for the process of a plugin that leaves to end, once it has cancelled its calls


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much a host puts up with from one plugin.

    Attributes:
        restarts: how often it may be started anew in all.
        retries: how often one batch may be sent again after the plugin was lost with it.
        start_timeout: seconds for the start of the process.
        call_timeout: seconds for one answer. ReadBatch alone may take as long as it likes.
        connect_timeout: seconds for which Connect, or what needs a connection, may fail again and again.
        close_timeout: seconds for the answer to Close.

    Raises:
        Misuse: a number makes no sense.
    """

    restarts: int = 3
    retries: int = 1
    start_timeout: float = 30.0
    call_timeout: float = 60.0
    connect_timeout: float = 60.0
    close_timeout: float = 10.0

    def __post_init__(self) -> None:
        if self.restarts < 0 or self.retries < 0:
            raise Misuse(f"restarts and retries are not negative: got {self.restarts} and {self.retries}")
        for name in ("start_timeout", "call_timeout", "connect_timeout", "close_timeout"):
            seconds: float = getattr(self, name)
            if not 0 < seconds <= DAY:
                raise Misuse(f"{name} must be seconds, more than 0 and at most {DAY}: got {seconds!r}")


@dataclass(frozen=True, slots=True)
class Running(Generic[_Stub]):
    """A process that was started and has its configuration. The next one has another ``generation``."""

    generation: int
    client: "hostlib.Client[_Stub]"
    stub: _Stub


class Session(Generic[_Stub]):
    """The processes of one plugin, one after the other. Safe for several threads.

    Args:
        descriptor: what to start.
        kind: what it must be.
        config: its configuration, which is checked against the descriptor and gets its defaults.
        name: what logs call it; the descriptor's name where it is empty.
        env: variables for the plugin, which win over inherited ones.
        inherit_env: which of this process's variables it inherits, as `hostlib.Options` says.
        limits: how much to put up with.
        logger: the parent of the logger for what the plugin logs and prints, ``goplugin.batch`` unless given.
        stub: makes the plugin's calls of a channel.
        init: sends Init with the configuration, and returns the error that the answer has.

    Attributes:
        restarted: how often it was started anew.

    Raises:
        Misuse: the descriptor is of another kind.
        BadFile: the configuration does not fit the descriptor.
    """

    def __init__(
        self,
        descriptor: Descriptor,
        kind: Kind,
        config: Config,
        *,
        name: str,
        env: Mapping[str, str] | None,
        inherit_env: bool | Collection[str],
        limits: Limits,
        logger: logging.Logger | None,
        stub: Callable[[grpc.Channel], _Stub],
        init: Callable[[_Stub, redpanda.Value], redpanda.Error],
    ) -> None:
        if descriptor.kind is not kind:
            raise Misuse(f"{descriptor.file} describes an {descriptor.kind.value}, and this needs an {kind.value}")
        where = f"the configuration of {descriptor.name} (see {descriptor.file})"
        self._config = redpanda.Value()
        write_value(self._config, descriptor.config(locate(config, where)))
        self._descriptor, self._env, self._inherit_env, self.limits = descriptor, dict(env or {}), inherit_env, limits
        self.name = name or descriptor.name
        self.log = (logger or logging.getLogger("goplugin.batch")).getChild(self.name)
        self.restarted = 0
        self._stub, self._init = stub, init
        self._lock = threading.Lock()  # held by whoever starts a process
        self._client: hostlib.Client[_Stub] | None = None
        self._running: Running[_Stub] | None = None
        self._generation = 0
        self._killed = threading.Event()
        self._beyond_close = False  # it was lost, or is stuck, and the caller knows

    def start(self) -> None:
        """Start the process and give it its configuration. Nothing is left behind when that fails.

        Raises:
            PluginLost: it ended, or did not become ready.
            PluginFault: it refused its configuration, or does not answer. That is never tried again.
            MachineFault: its program is not there.
            Misuse: it was started before.
        """
        with self._lock:
            if self._client is not None:
                raise Misuse(f"the {self._what} was started before")
            self._begin()

    def running(self) -> Running[_Stub]:
        """Return the process, having started it anew if it ended while nobody asked anything of it.

        Raises:
            PluginLost: it ended, and may not be started anew.
            Misuse: it was not started, or was closed.
        """
        found = self._known()
        if found.client.exited:
            if (loss := found.client.wait(0.0)) is not None:
                self.renew(found, loss)
            found = self._known()
        return found

    def ask(self, method: str, running: Running[_Stub], call: Callable[[_Stub], _Res]) -> _Res:
        """Return the answer to a call.

        Raises:
            PluginLost: the process ended.
            NoAnswer: there was none in time.
            BadStatus: the plugin answers with a status of gRPC instead.
            PluginFault: it does not serve the method, or was killed.
        """
        answered = False
        try:
            answer = call(running.stub)
            answered = True
        except PluginLost:
            raise
        except Misuse as stopped:  # by another thread, which lost it first and is about to start it anew
            loss = None if self.killed else running.client.wait(0.0)
            raise loss or stopped from None
        except grpc.RpcError as error:
            fault = self.fault(running.client, method, error, self.limits.call_timeout)
            answered = isinstance(fault, BadStatus)
            raise fault from error
        finally:
            if running is self._running:
                self._beyond_close = not answered
        return answer

    def renew(self, lost: Running[_Stub], loss: PluginLost) -> None:
        """Start anew after ``loss``, unless another thread did so already; raise it where that may not be."""
        with self._lock:
            while self._generation == lost.generation:
                if self._killed.is_set() or self._running is None or self.restarted >= self.limits.restarts:
                    self._beyond_close = True
                    raise loss
                self.restarted += 1
                what = str(loss).partition("\n")[0]
                self.log.warning("%s; starting it again (%d of %d)", what, self.restarted, self.limits.restarts)
                lost.client.stop()
                try:
                    self._begin()
                except PluginLost as again:
                    loss = again

    def pause(self, seconds: float) -> None:
        """Wait, but not once it is killed."""
        self._killed.wait(seconds)

    @property
    def killed(self) -> bool:
        """Whether `kill` was called."""
        return self._killed.is_set()

    def close(self, close: Callable[[_Stub, float], redpanda.Error]) -> None:
        """Let the plugin end its work, and stop its process in any case. Closing again does nothing.

        Args:
            close: sends Close with a timeout, and returns the error that the answer has.

        Raises:
            NoAnswer: there was none in time.
            PluginLost: it ended instead.
            PluginFault: it says that its work did not end well.
        """
        running, self._running = self._running, None
        try:
            if running is not None and not self.killed and not self._beyond_close:
                if running.client.exited:
                    # It had answered for everything, so nothing was lost with it.
                    self.log.warning("the plugin ended before it was told to close")
                else:
                    self._end(running, close)
        finally:
            if self._client is not None:
                self._client.stop()

    def kill(self) -> None:
        """Stop the process now, from any thread; a call under way fails, and nothing is started anew."""
        self._killed.set()
        if self._client is not None:
            self._client.stop()

    def fault(self, client: "hostlib.Client[_Stub]", method: str, error: grpc.RpcError, seconds: float) -> PluginFault:
        """Return the error for a call that ended with a status of gRPC: a `PluginLost` where the process did, too.

        A plugin that leaves, on a SIGTERM say, cancels what is under way, and its process ends a moment later. Where it
        runs on, and is what it should be, that is a `BadStatus`.
        """
        code, details = error.code(), error.details() or ""
        if code in _LEAVING and (loss := client.wait(_LEAVES_WITHIN)) is not None:
            return loss
        if code is grpc.StatusCode.DEADLINE_EXCEEDED:
            return NoAnswer(method, seconds)
        if code is grpc.StatusCode.UNIMPLEMENTED:
            kind = self._descriptor.kind.value
            return PluginFault(f"the plugin is no {kind}, although its plugin.yaml says so: it does not serve {method}")
        answer = BadStatus(method, code.name, details)
        return PluginFault(str(answer)) if self.killed else answer  # that was no answer of its own

    @property
    def _what(self) -> str:
        return f"{self._descriptor.kind.value} {self.name}"

    def _begin(self) -> None:
        limits, name = self.limits, self._descriptor.kind.value
        # Both ways to start are offered, and the plugin takes its own: ours and all that are built on go-plugin know
        # the cookie and print a line, those built on Redpanda's SDKs know the address and listen there.
        client = self._client = hostlib.Client(
            self._descriptor.command,
            HANDSHAKE,
            plugins={name: self._stub},
            env=self._env,
            inherit_env=self._inherit_env,
            cwd=self._descriptor.cwd,
            start_timeout=limits.start_timeout,
            call_timeout=limits.call_timeout,
            sync_stdout=LineLog(self.log, logging.INFO),
            sync_stderr=LineLog(self.log, logging.WARNING),
            stdout=LineLog(self.log, logging.INFO),
            logger=self.log,
            address_variable=ADDRESS_VARIABLE,
            guardian=hostlib.guardian_available(),  # plugins on Redpanda's SDKs do not notice that their host is gone
        )
        if self.killed:  # asked after the client is where `kill` finds it
            raise Misuse(f"the {self._what} was killed")
        client.start()
        try:
            stub = client.dispense(name)
            try:
                error = self._init(stub, self._config)
            except PluginLost:
                raise
            except grpc.RpcError as refusal:
                raise self.fault(client, "Init", refusal, limits.call_timeout) from refusal
            if text := read_error(error):
                raise PluginFault(f"the plugin refused its configuration: {quoted(text, TEXT_MAX)}")
        except BaseException:
            client.stop()
            raise
        self._generation += 1
        self._running, self._beyond_close = Running(self._generation, client, stub), False

    def _end(self, running: Running[_Stub], close: Callable[[_Stub, float], redpanda.Error]) -> None:
        try:
            error = close(running.stub, self.limits.close_timeout)
        except PluginLost:
            raise
        except grpc.RpcError as refusal:
            raise self.fault(running.client, "Close", refusal, self.limits.close_timeout) from refusal
        if text := read_error(error):
            raise PluginFault(f"the plugin did not end its work well: {quoted(text, TEXT_MAX)}")

    def _known(self) -> Running[_Stub]:
        running = self._running
        if running is None:
            raise Misuse(f"the {self._what} is not running")
        return running


class Remote(Generic[_Stub]):
    """A plugin that runs in a process of its own; use it as a context to start and to close it.

    Args:
        descriptor: what to start; of this kind.
        config: its configuration, which is checked against the descriptor and gets its defaults.
        name: what logs call it; the descriptor's name unless given.
        env: variables for the plugin, which win over inherited ones.
        inherit_env: which of this process's variables it inherits, as `hostlib.Options` says.
        limits: how much to put up with.
        logger: the parent of the logger for what the plugin logs and prints, ``goplugin.batch`` unless given.

    Raises:
        Misuse: the descriptor is of another kind.
        BadFile: the configuration does not fit the descriptor.
    """

    _kind: Kind
    _stub: Callable[[grpc.Channel], _Stub]
    """Makes the plugin's calls of a channel."""

    def __init__(
        self,
        descriptor: Descriptor,
        config: Config,
        *,
        name: str = "",
        env: Mapping[str, str] | None = None,
        inherit_env: bool | Collection[str] = True,
        limits: Limits = Limits(),
        logger: logging.Logger | None = None,
    ) -> None:
        self._session = Session(
            descriptor,
            self._kind,
            config,
            name=name,
            env=env,
            inherit_env=inherit_env,
            limits=limits,
            logger=logger,
            stub=self._stub,
            init=self._init,
        )
        self._prepare()

    @property
    def restarted(self) -> int:
        """How often it was started anew."""
        return self._session.restarted

    def start(self) -> None:
        """Start the process and give it its configuration. Nothing is left behind when that fails.

        Raises:
            PluginLost: it ended, or did not become ready.
            PluginFault: it refused its configuration, does not answer, or wants what no host can do.
            MachineFault: its program is not there.
            Misuse: it was started before.
        """
        self._session.start()

    def close(self) -> None:
        """Tell the plugin to end its work, and stop the process. Closing again does nothing.

        Raises:
            NoAnswer: there was none to that in time.
            PluginFault: the plugin says that its work did not end well. The process is stopped all the same.
        """
        self._session.close(self._end)

    def kill(self) -> None:
        """Stop the process now, from any thread; a call under way fails, and nothing is started anew."""
        self._session.kill()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _prepare(self) -> None:
        """Set what this kind has besides its session."""

    def _init(self, stub: _Stub, config: redpanda.Value) -> redpanda.Error:
        """Send Init, note what the answer says, and return its error."""
        raise NotImplementedError

    def _end(self, stub: _Stub, seconds: float) -> redpanda.Error:
        """Send Close with a timeout, and return the error of the answer."""
        raise NotImplementedError


def caller(
    channel: grpc.Channel, method: Method[_Request, _Response]
) -> "grpc.UnaryUnaryMultiCallable[_Request, _Response]":
    """Return what calls ``method``."""
    return channel.unary_unary(method.path, method.request_bytes, method.response_from)


def clock() -> float:
    """Return the time by which limits are kept."""
    return monotonic()
