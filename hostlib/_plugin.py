"""What a client knows of its plugin, whichever shell it has: what was asked for, what was found, how it ended.

Never waits and never talks to the plugin; ``_client.py`` and ``_aio_client.py`` do.
"""

import os
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar, Unpack

import grpc

from ..handshake import (
    Address,
    Handshake,
    HandshakeRefused,
    HostFault,
    Line,
    MachineFault,
    Misuse,
    PluginFault,
    PluginLost,
    Reattach,
    StartTimeout,
    TlsRefused,
    Unix,
)
from ..transport import Carrier, Multiplexing, PrivateDirectory, somebody_listens
from ._attached import Attached
from ._child import Child
from ._config import Config, Options
from ._guardian import GUARDIAN
from ._hclog import legible
from ._identity import belongs, listener, peer, started
from ._ladder import Rung, Stopped
from ._launch import Launch, Terms
from ._output import Output, Tap
from ._process import Process
from ._rendezvous import Rendezvous
from ._runner import RunnerProcess, Translated
from ._secure import Image
from ._security import Security
from ._sheltered import Wanted
from ._silence import tls_wanted
from ._states import Lifecycle

F = TypeVar("F")
V = TypeVar("V")

TIDY = 2.0  # seconds that another thread or task may need after its steps, for threads to join
UNANSWERED = "ended between its handshake line and its first answer"
_DESCRIPTORS = 16  # that must be free: grpc's first channel takes up to seven, and without them aborts this process
VETTED_AGAIN = 0.02  # seconds between two looks at who listens at a plugin's address


@dataclass(frozen=True, slots=True, kw_only=True)
class StartTimes:
    """How long a start took, in seconds since the process was spawned.

    Attributes:
        line: until its handshake line.
        connected: until it answered its first call.
    """

    line: float
    connected: float


class Plugin(Generic[F]):
    """The facts about one plugin. ``F`` makes a stub of a channel; the clients describe the arguments."""

    def __init__(
        self,
        command: Sequence[str | os.PathLike[str]] | None = None,
        handshake: Handshake | None = None,
        plugins: Mapping[str, F] | None = None,
        *,
        versions: Mapping[int, Mapping[str, F]] | None = None,
        **options: Unpack[Options],
    ) -> None:
        if unknown := options.keys() - Options.__annotations__.keys():
            raise TypeError(f"{type(self).__name__} has no option {', '.join(map(repr, sorted(unknown)))}")
        config = self._config = Config[F](command, handshake, plugins, versions, **options)
        self._output = Output(config.name, config.logger, config.stderr, config.log_buffer_size, config.stdout)
        self._security = Security(config.auto_mtls, config.tls, self._output.logger)
        self._sync_stdout = Tap(config.sync_stdout, "sync_stdout", self._output.logger)
        self._sync_stderr = Tap(config.sync_stderr, "sync_stderr", self._output.logger)
        self._life = Lifecycle()
        self._directory: PrivateDirectory | None = None
        self._child: Process | None = None
        self._spared = config.reattach is not None and config.reattach.test  # to be left running
        self._launched: Launch | None = None
        self._line: Line | None = None
        self._address: Address | None = None  # that of its main server, as the host reaches it
        self._stranger: HandshakeRefused | None = None  # where the address leads to somebody else
        self._carried: Carrier | None = None
        self._doubtful: Unix | None = None  # that address, as long as nobody knows who listens there
        self._times: StartTimes | None = None
        self._stopped: Stopped | None = None
        self._abandoned = False  # stopped while it was starting
        self._owner = os.getpid()  # of the process that started it
        self._prepare()

    def _prepare(self) -> None:
        """Make what the shell needs of its own."""
        raise NotImplementedError

    def _own(self) -> None:
        """Refuse to act for another process, of which this one is a fork: its threads, and grpc's, are not here.

        Raises:
            Misuse: that is so.
        """
        if self._owner != os.getpid():
            raise Misuse(f"this client was started by process {self._owner}, which alone can stop it; this is a fork")

    @property
    def exited(self) -> bool:
        """Whether its process has ended. False before the start."""
        return self._child is not None and self._child.gone()

    @property
    def id(self) -> int | None:
        """The process id, or None before the start."""
        return self._child.pid if self._child is not None else None

    @property
    def line(self) -> Line:
        """Its handshake line; what the record says in place of one where it was reattached."""
        return self._known(self._line)

    @property
    def first_line(self) -> bytes | None:
        """Its first line on stdout as it came, without its end, even if it was refused; None where there was none.

        At most ``handshake.LINE_MAX`` bytes of it.
        """
        return self._launched.first_line if self._launched is not None else None

    @property
    def negotiated_version(self) -> int:
        """The protocol version that the plugin chose."""
        return self.line.version

    @property
    def protocol(self) -> str:
        """The protocol that it speaks."""
        return self.line.protocol

    @property
    def reattach_config(self) -> Reattach:
        """The record by which another client, also of another process or program, finds the running plugin.

        Raises:
            Misuse: none is running, or it cannot be reattached to: nobody but this client has the keys of AutoMTLS,
                or the one connection of a plugin that multiplexes.
        """
        self._life.require_ready()
        if self._config.reattach is not None:
            return self._config.reattach
        line, pid = self.line, self._known(self._child).pid
        if pid is None:
            raise Misuse("the plugin has no process of this machine, so nobody could reattach to it")
        if line.server_cert is not None:
            raise Misuse("a plugin with AutoMTLS cannot be reattached to: its keys are those of this connection alone")
        if self._config.multiplex:
            raise Misuse("a plugin that multiplexes cannot be reattached to: it has one connection, which is this one")
        return Reattach(address=self._address or line.address, pid=pid, version=line.version, started=started(pid))

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

    def _guard(self, directory: str) -> None:
        """Give the process that was started into the guardian's care, if it is to have one."""
        if self._config.guardian:
            pid = self._known(self._child).pid
            if pid is None:
                raise Misuse("guardian is for a plugin with a process of this machine")
            GUARDIAN.keep(pid, directory)

    def _unguard(self) -> None:
        if self._config.guardian and self._child is not None and self._child.pid is not None:
            GUARDIAN.forget(self._child.pid)

    def _known(self, value: V | None) -> V:
        if value is None:
            raise Misuse(f"the plugin {self._life.state.value}")
        return value

    def _socket_directory(self) -> PrivateDirectory:
        sockets = self._config.unix_sockets
        try:
            return PrivateDirectory(os.environ, sockets.group, sockets.temp_dir)
        except HostFault as error:
            raise Misuse(f"the plugin cannot have the unix_sockets that were asked for: {error}") from None

    def _acquired(self, undo: ExitStack, wanted: Wanted) -> Process:
        """Make the directory for the sockets and start the process, or find it again; ``undo`` ends both."""
        self._directory = self._socket_directory()
        undo.callback(self._directory.close)
        child = self._child = self._spawned(self._directory.path, wanted)
        undo.callback(self._end, child)
        return child

    def _spawned(self, socket_dir: str, wanted: Wanted) -> Process:
        """Start the process, or find it again. May take its time where there are checksums, or a runner."""
        config = self._config
        if config.reattach is not None:
            return Attached(config.reattach)
        environment = config.environment(os.environ, socket_dir, self._security.offer())
        if config.runner is not None:
            return RunnerProcess(config.runner, environment, socket_dir, self._output.logger)
        if config.secure is None:
            return Child(config.command, environment, config.cwd, config.stdin)
        image = Image(config.secure, config.command, config.cwd, environment, wanted)
        try:
            return Child(config.command, environment, config.cwd, config.stdin, image)
        finally:
            image.close()

    def _end(self, child: Process) -> None:
        try:
            child.end(self._config.stop_budget.kill)
        finally:
            if self._launched is None:
                child.close_pipes()  # nobody came to read them

    @property
    def _unstarted(self) -> str:
        if self._config.runner is not None:
            return "was not started by its runner"
        return "was not started" if self._config.secure is None else "was not checked and started"

    @property
    def _recorded(self) -> Line | None:
        """What would be the line of a plugin that prints none any more."""
        record = self._config.reattach
        return Line(version=record.version, address=record.address) if record is not None else None

    @property
    def _argv(self) -> tuple[str, ...]:
        runner = self._config.runner
        return self._config.command if runner is None else (runner.name,)

    def _launch(self, child: Process, begun: float, socket_dir: str) -> Launch:
        config = self._config
        terms = Terms(
            timeout=config.start_timeout,
            versions=config.versions,
            argv=self._argv,
            pid=child.pid,
            stderr=self._output.tail,
            diagnose=child.diagnose,
            auto_mtls=config.auto_mtls,
            multiplex=config.multiplex,
            skip_lines=config.skip_lines,
        )
        if config.address_variable is None:
            self._launched = Launch(begun, terms)
        else:
            meeting = config.meeting(socket_dir)
            listens = partial(somebody_listens, meeting)
            self._launched = Rendezvous(begun, terms, address=meeting, version=config.version, listens=listens)
        return self._launched

    def _translated(self, undo: ExitStack, wanted: Wanted) -> Address:  # noqa: ARG002 - a step as others
        """Return where the host reaches the plugin's main server. Its runner may take its time."""
        return self._known(self._config.runner).plugin_to_host(self.line.address)

    def _carrier(self, line: Line, address: Address, socket_dir: str, on_refusal: Callable[[], object]) -> Carrier:
        _spare_descriptors()
        self._address = address
        try:
            self._check(address, socket_dir)
            asked = self._config.asked(socket_dir)
            self._carried = self._security.carrier(line, asked, on_refusal, self._knows)
        except HandshakeRefused as refusal:
            raise refusal.blame(self._lost("said this")) from None
        return self._carried

    def _brokered(self, carrier: Carrier) -> Carrier:
        """Return what carries brokered connections, which a runner may have to translate."""
        runner = self._config.runner
        if runner is None or isinstance(carrier, Multiplexing):  # there, nothing but the main connection has an address
            return carrier
        return Translated(carrier, runner)

    def _check(self, address: Address, socket_dir: str) -> None:
        """Refuse an address that another than the plugin may have put on the line."""
        check = self._config.unix_sockets.check
        if self._config.reattach is not None or check == "nothing":
            return
        if check == "directory" and not (isinstance(address, Unix) and os.path.dirname(address.path) == socket_dir):
            hint = 'a plugin built with go-plugin before 1.5.0 needs check="peer" in its unix_sockets'
            raise HandshakeRefused(field="address", got=str(address), want=f"a socket in {socket_dir}", hint=hint)
        # A plugin that multiplexes takes its first connection for the only one, so `_knows` looks at that.
        if not self._config.multiplex and isinstance(address, Unix) and self.id is not None:
            self._doubtful = address
            self._vetted()

    def _knows(self, connection: socket.socket) -> bool:
        """Return whether the one connection to a plugin that multiplexes leads to it; if not, the start will fail."""
        if self._config.unix_sockets.check != "nothing":
            self._judge(peer(connection))
        return self._stranger is None

    def _vetted(self) -> bool:
        """Return whether it is known, as far as the system tells, that the plugin listens there; refuse a stranger."""
        if self._doubtful is None:
            return True
        try:
            self._judge(listener(self._doubtful, 0.0))
        except OSError:
            return False  # nobody listens there yet, or who does has many others waiting
        if self._stranger is not None:
            raise self._stranger
        self._doubtful = None
        return True

    def _answered(self, *, last: bool) -> bool:
        """After the first answer, return whether it is known to be the plugin's, and refuse any other.

        At the ``last`` time of asking, one of whom nobody knows is refused, too.
        """
        try:
            if self._vetted():
                return True
            if last:
                raise self._foreign("it cannot be found out who listens there")
        except HandshakeRefused as refusal:
            raise refusal.blame(self._lost("said this")) from None
        return False

    def _judge(self, who: int | None) -> None:
        if who is not None and self.id is not None and not belongs(who, self.id):
            self._stranger = self._foreign(f"process {who} listens there")

    def _foreign(self, hint: str) -> HandshakeRefused:
        want = f"a socket of process {self.id}, which was started, or of one of its own"
        return HandshakeRefused(field="address", got=str(self._address), want=want, hint=hint)

    def _maker(self, name: str) -> F:
        plugins = self._config.versions[self.negotiated_version]
        if name not in plugins:
            known = ", ".join(sorted(plugins))
            raise Misuse(f"version {self.negotiated_version} has no plugin {name!r}; it has {known}")
        return plugins[name]

    def _lost(self, reason: str, kind: type[PluginLost] = PluginLost) -> PluginLost:
        child = self._known(self._child)
        argv, stderr = self._argv, self._output.tail()
        return kind(reason, argv=argv, pid=child.pid, status=child.status(), stderr=stderr)

    def _cut(self) -> PluginLost | None:
        """Return the error where everything was multiplexed on a connection that is lost, though the process runs."""
        loss = self._carried.loss if isinstance(self._carried, Multiplexing) else None
        return self._lost(f"broke off the connection that everything was multiplexed on: {loss}") if loss else None

    def _tls_wanted(self, answered: Callable[[float], bool]) -> TlsRefused | None:
        """Return the error for a plugin that has not ``answered`` because it waits for TLS. Blocks for a moment."""
        config = self._config
        if self._address is None or config.multiplex or config.auto_mtls or config.tls is not None:
            return None  # what carries these tells by itself
        wanted = tls_wanted(self._address, answered)
        return wanted.blame(self._lost("is silent")) if wanted is not None else None

    def _unanswered(self, code: grpc.StatusCode, line: Line, refusal: TlsRefused | None) -> PluginFault:
        """Return the error for a plugin that runs and has not answered the first call, which ended with ``code``."""
        if self._stranger is not None:
            return self._stranger.blame(self._lost("said this"))
        if refusal is not None:
            return refusal.blame(self._lost("did this"))
        if (cut := self._cut()) is not None:
            return cut
        if code is grpc.StatusCode.DEADLINE_EXCEEDED:
            seconds = self._config.start_timeout
            reason = f"printed its handshake line but gave no answer at {line.address} within {seconds:g} s"
            return self._lost(reason, StartTimeout)
        return self._lost(f"printed its handshake line but broke off the connection to {line.address}")

    def _go_on(self) -> None:
        """Raise unless the start is still wanted."""
        if self._abandoned:
            raise self._given_up()

    def _late(self, reason: str) -> StartTimeout:
        """Return the error for a step of the start that took too long."""
        seconds = self._config.start_timeout
        return StartTimeout(f"{reason} within {seconds:g} s", argv=self._argv, pid=self.id, stderr=self._output.tail())

    def _given_up(self) -> PluginLost:
        return PluginLost("was stopped while it was starting", argv=self._argv, pid=self.id)

    def _fell(self, seconds: float) -> None:
        """It was killed while it was starting, unless it had ended of itself."""
        child = self._known(self._child)
        self._stopped = Stopped.after(Rung.KILL if child.killed else None, child.status(), seconds)


def _spare_descriptors() -> None:
    """Make sure that grpc will find some.

    Raises:
        MachineFault: there are too few.
    """
    taken: list[int] = []
    try:
        while len(taken) < _DESCRIPTORS:
            taken += os.pipe()
    except OSError as error:
        raise MachineFault(f"cannot connect to the plugin: {error.strerror}") from error
    finally:
        for descriptor in taken:
            os.close(descriptor)
