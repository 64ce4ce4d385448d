"""What a client was asked to do, checked once for both shells. Never looks at the environment or at a file itself."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from ..handshake import Cookie, Handshake, Misuse, PluginEnvironment, without_plugin_variables
from ._ladder import SECONDS_MAX, StopBudget

F = TypeVar("F")

_INTERPRETER = re.compile(r"(python|pypy)[0-9.]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Config(Generic[F]):
    """A checked configuration. The fields are those of ``Client``; ``F`` is what makes a stub of a channel.

    Raises:
        Misuse: naming the argument that makes no sense.
    """

    command: tuple[str, ...]
    handshake: Handshake
    cookie: str
    versions: Mapping[int, Mapping[str, F]]
    env: Mapping[str, str]
    skip_host_env: bool
    cwd: str | None
    start_timeout: float
    call_timeout: float | None
    stop_budget: StopBudget
    min_port: int
    max_port: int

    @classmethod
    def checked(
        cls,
        command: Sequence[str | os.PathLike[str]],
        handshake: Handshake,
        plugins: Mapping[str, F] | None,
        versions: Mapping[int, Mapping[str, F]] | None,
        *,
        env: Mapping[str, str] | None,
        skip_host_env: bool,
        cwd: str | os.PathLike[str] | None,
        start_timeout: float,
        call_timeout: float | None,
        stop_budget: StopBudget,
        min_port: int,
        max_port: int,
    ) -> "Config[F]":
        """Return the configuration that these arguments of ``Client`` make."""
        if isinstance(command, str) or not command:
            raise Misuse(f"command must be a program and its arguments, as a list of words: got {command!r}")
        words = tuple(os.fspath(word) for word in command)
        if not words[0] or any("\0" in word for word in words):
            raise Misuse(f"command must name a program, and no word of it may hold a NUL: got {words!r}")
        if isinstance(handshake.cookie_value, Cookie):
            raise Misuse("a host must give its cookie a value; Cookie.ANY is for plugins")
        if (plugins is None) == (versions is None):
            raise Misuse("give plugins or versions, one of them")
        offered = versions if versions is not None else {handshake.protocol_version: plugins or {}}
        if not offered or not all(offered.values()):
            raise Misuse("there must be at least one plugin to dispense, in every version offered")
        if min(offered) < 0:
            raise Misuse(f"a protocol version is not negative, this one is {min(offered)}")
        for name, value in (env or {}).items():
            if not name or "=" in name or "\0" in name + value:
                raise Misuse(f"env has a name or a value that no environment can hold: {name!r}")
        _duration("start_timeout", start_timeout)
        if call_timeout is not None:
            _duration("call_timeout", call_timeout)
        PluginEnvironment(min_port=min_port, max_port=max_port).format()  # judges the range
        return cls(
            command=words,
            handshake=handshake,
            cookie=handshake.cookie_value,
            versions={version: dict(set_) for version, set_ in offered.items()},
            env=dict(env or {}),
            skip_host_env=skip_host_env,
            cwd=None if cwd is None else os.fspath(cwd),
            start_timeout=start_timeout,
            call_timeout=call_timeout,
            stop_budget=stop_budget,
            min_port=min_port,
            max_port=max_port,
        )

    @property
    def name(self) -> str:
        """The plugin's name in logs and of threads: that of its file, or of the script that a Python is to run."""
        program, *rest = self.command
        script = next((word for word in rest if not word.startswith("-")), None)
        if script is not None and _INTERPRETER.fullmatch(os.path.basename(program)):
            program = script.removesuffix(".py")
        return os.path.basename(program).replace(".", "_") or program

    def asked(self, socket_dir: str) -> PluginEnvironment:
        """Return what the plugin is asked for. The sockets that the host makes itself go by the same rules."""
        return PluginEnvironment(
            versions=tuple(self.versions), min_port=self.min_port, max_port=self.max_port, socket_dir=socket_dir
        )

    def environment(self, inherited: Mapping[str, str], socket_dir: str) -> dict[str, str]:
        """Return the plugin's whole environment.

        The caller's variables win over inherited ones; go-plugin does it the other way round (client.go:655), a known
        trap. What a host of ours was told as a plugin itself is not handed down.
        """
        base = {} if self.skip_host_env else without_plugin_variables(inherited)
        return {**base, **self.env, **self.asked(socket_dir).format(), self.handshake.cookie_key: self.cookie}


def _duration(name: str, seconds: float) -> None:
    if not 0 < seconds <= SECONDS_MAX:
        raise Misuse(f"{name} must be seconds, more than 0 and at most {SECONDS_MAX}: got {seconds!r}")
