"""What a client knows of its plugin, whichever shell it has: what was asked for, what was found, how it ended.

Never waits and never talks to the plugin; ``_client.py`` and ``_aio_client.py`` do.
"""

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import grpc

from ..handshake import Handshake, Line, Misuse, PluginLost, StartTimeout
from ._child import Child
from ._config import Config
from ._hclog import legible
from ._ladder import Rung, StopBudget, Stopped
from ._launch import Launch
from ._output import Output, Sink, Tap
from ._states import Lifecycle

F = TypeVar("F")
V = TypeVar("V")


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
        command: Sequence[str | os.PathLike[str]],
        handshake: Handshake,
        plugins: Mapping[str, F] | None = None,
        *,
        versions: Mapping[int, Mapping[str, F]] | None = None,
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
        self._config = Config[F].checked(
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
        self._life = Lifecycle()
        self._child: Child | None = None
        self._launched: Launch | None = None
        self._line: Line | None = None
        self._times: StartTimes | None = None
        self._stopped: Stopped | None = None
        self._abandoned = False  # stopped while it was starting
        self._prepare()

    def _prepare(self) -> None:
        """Make what the shell needs of its own."""
        raise NotImplementedError

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
        self._launched = Launch(
            now=begun,
            timeout=self._config.start_timeout,
            versions=self._config.versions,
            argv=self._config.command,
            pid=child.pid,
            stderr=self._output.tail,
        )
        return self._launched

    def _maker(self, name: str) -> F:
        plugins = self._config.versions[self.negotiated_version]
        if name not in plugins:
            known = ", ".join(sorted(plugins))
            raise Misuse(f"version {self.negotiated_version} has no plugin {name!r}; it has {known}")
        return plugins[name]

    def _lost(self, reason: str, kind: type[PluginLost] = PluginLost) -> PluginLost:
        child = self._known(self._child)
        argv, stderr = self._config.command, self._output.tail()
        return kind(reason, argv=argv, pid=child.pid, status=child.status(), stderr=stderr)

    def _silent(self, code: grpc.StatusCode, line: Line) -> PluginLost:
        if code is grpc.StatusCode.DEADLINE_EXCEEDED:
            seconds = self._config.start_timeout
            reason = f"printed its handshake line but gave no answer at {line.address} within {seconds:g} s"
            return self._lost(reason, StartTimeout)
        return self._lost(f"printed its handshake line but broke off the connection to {line.address}")

    def _go_on(self) -> None:
        """Raise unless the start is still wanted."""
        if self._abandoned:
            raise self._given_up()

    def _given_up(self) -> PluginLost:
        return PluginLost("was stopped while it was starting", argv=self._config.command, pid=self.id)

    def _fell(self, seconds: float) -> None:
        """It was killed while it was starting, unless it had ended of itself."""
        child = self._known(self._child)
        self._stopped = Stopped.after(Rung.KILL if child.killed else None, child.status(), seconds)
