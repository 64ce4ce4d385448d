"""What a client was asked to do, checked once for both shells. Never looks at the environment or at a file itself."""

import logging
import os
import re
import subprocess
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Generic, Literal, Protocol, TypedDict, TypeVar

from ..handshake import Cookie, Handshake, Misuse, PluginEnvironment, Reattach, Unix, without_plugin_variables
from ..transport import TlsConfig
from ._ladder import SECONDS_MAX, StopBudget
from ._launch import SKIP_MAX
from ._output import Sink
from ._runner import Runner
from ._secure import SecureConfig
from ._stderr import LINE_PIECE

if TYPE_CHECKING:
    import ssl

F = TypeVar("F")

_INTERPRETER = re.compile(r"(python|pypy)[0-9.]*")


class HasDescriptor(Protocol):
    """A file, or anything else that the operating system knows by a number."""

    def fileno(self) -> int:
        """Return that number."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class UnixSockets:
    """Where a plugin's Unix sockets are and who may use them: go-plugin's UnixSocketConfig.

    Attributes:
        group: a group, by name or number, that may use them besides the owner. The host must be a member of it.
        temp_dir: the directory in which the plugin's own socket directory is made, instead of ``TMPDIR``.
        check: what is asked of the address on the handshake line, in case another than the plugin wrote it.
            ``"peer"``: where the system tells who listens at a Unix socket, the plugin or a process of its own must.
            ``"directory"``: moreover, it must be a Unix socket in the plugin's own directory; plugins built with
            go-plugin before 1.5.0 never put it there. ``"nothing"``: for a plugin whose server runs elsewhere.
    """

    group: str | None = None
    temp_dir: str | os.PathLike[str] | None = None
    check: Literal["peer", "directory", "nothing"] = "peer"

    def __post_init__(self) -> None:
        if self.check not in ("peer", "directory", "nothing"):
            raise Misuse(f'check must be "peer", "directory" or "nothing": got {self.check!r}')


class Options(TypedDict, total=False):
    """What a client can be told besides what it starts. Each may be left out.

    Attributes:
        reattach: instead of a command: a plugin that runs already, as ``Client.reattach_config`` or its test mode
            tells of it. It needs no handshake, for it was exchanged when the plugin was started.
        runner: instead of a command: what runs the plugin in some other way; for this client alone.
        secure: checksums of the plugin's files; nothing runs that differs, whatever becomes of them meanwhile.
        env: variables for the plugin, which win over inherited ones.
        inherit_env: which of the host's own variables the plugin inherits: True for all, False for none, or the names
            of those, in which ``*`` stands for anything: ``["PATH", "HOME", "LC_*"]``.
        cwd: the plugin's working directory.
        stdin: what the plugin reads on its stdin: nothing unless given, else a file, or the number of a descriptor, of
            which 0 is the host's own stdin.
        start_timeout: seconds from spawning it until it has answered its first call, 30 unless given.
        call_timeout: seconds for a unary call whose caller gave no timeout, 60 unless given; None for no limit.
        managed: have ``cleanup_clients`` stop it, too.
        stop_budget: how long each step of ``stop`` may take.
        sync_stdout, sync_stderr: where the output goes that the plugin sends over gRPC; it is read in any case.
        stdout: where a copy goes of what the process itself writes to stdout once it has started.
        stderr: where a copy of the process's own stderr goes, which is logged in any case.
        logger: the parent of the logger for what the plugin logs, ``goplugin.hostlib`` unless given. That logger is
            named for the plugin's file; records carry hclog's key-value pairs in the attribute ``hclog``.
        log_buffer_size: bytes of one line on stderr that are logged as one, 64 KiB unless given. What is longer
            arrives in pieces of that size, at debug.
        min_port, max_port: the range for a plugin that listens on TCP, 10000 to 25000 unless given.
        unix_sockets: where the plugin's sockets are, who may use them, and what is checked of them.
        address_variable: a variable to be given the address, ``unix:PATH``, of a socket where the plugin may listen
            instead of printing a handshake line. Whichever it does first counts; Redpanda Connect's plugins listen.
        auto_mtls: make a certificate for this plugin alone and have it make one, by which alone they know each other.
        tls: TLS with certificates of your own instead: a context for clients, or a ``TlsConfig`` where the plugin
            dials brokered connections, too, or where its certificate names something else than ``localhost``.
        guardian: whether the plugin is ended, and its socket directory removed, when this process is gone without
            having stopped it, even by SIGKILL; for plugins that do not watch their parent. Needs Linux. A small
            process of its own does it, one for all clients.
        skip_lines: how many lines of something else the plugin may print before its handshake line, none unless given;
            they count as output.
        multiplex: have all brokered connections share the main one (go-plugin's GRPCBrokerMultiplex), so that host and
            plugin need one socket and no more. Plugins that cannot are refused.
    """

    reattach: Reattach | None
    runner: Runner | None
    secure: SecureConfig | None
    env: Mapping[str, str] | None
    inherit_env: bool | Collection[str]
    cwd: str | os.PathLike[str] | None
    stdin: int | HasDescriptor
    start_timeout: float
    call_timeout: float | None
    managed: bool
    stop_budget: StopBudget
    sync_stdout: Sink | None
    sync_stderr: Sink | None
    stdout: Sink | None
    stderr: Sink | None
    logger: logging.Logger | None
    log_buffer_size: int
    min_port: int
    max_port: int
    unix_sockets: UnixSockets
    address_variable: str | None
    auto_mtls: bool
    tls: "ssl.SSLContext | TlsConfig | None"
    guardian: bool
    skip_lines: int
    multiplex: bool


class Config(Generic[F]):
    """A checked configuration, made of the arguments of ``Client``; ``F`` is what makes a stub of a channel.

    Raises:
        Misuse: naming the argument that makes no sense.
    """

    def __init__(
        self,
        command: Sequence[str | os.PathLike[str]] | None,
        handshake: Handshake | None,
        plugins: Mapping[str, F] | None,
        versions: Mapping[int, Mapping[str, F]] | None,
        *,
        reattach: Reattach | None = None,
        runner: Runner | None = None,
        secure: SecureConfig | None = None,
        env: Mapping[str, str] | None = None,
        inherit_env: bool | Collection[str] = True,
        cwd: str | os.PathLike[str] | None = None,
        stdin: int | HasDescriptor = subprocess.DEVNULL,
        start_timeout: float = 30.0,
        call_timeout: float | None = 60.0,
        managed: bool = False,
        stop_budget: StopBudget = StopBudget(),  # noqa: B008 - frozen
        sync_stdout: Sink | None = None,
        sync_stderr: Sink | None = None,
        stdout: Sink | None = None,
        stderr: Sink | None = None,
        logger: logging.Logger | None = None,
        log_buffer_size: int = LINE_PIECE,
        min_port: int = 10000,
        max_port: int = 25000,
        unix_sockets: UnixSockets = UnixSockets(),
        address_variable: str | None = None,
        auto_mtls: bool = False,
        tls: "ssl.SSLContext | TlsConfig | None" = None,
        guardian: bool = False,
        skip_lines: int = 0,
        multiplex: bool = False,
    ) -> None:
        if [command, reattach, runner].count(None) != 2:
            raise Misuse("give a command, a record to reattach by or a runner, one of them")
        self.command = _words(command) if command is not None else ()
        self.reattach, self.runner = reattach, runner
        self._cookie = {} if reattach is not None else _cookie(handshake)
        if (plugins is None) == (versions is None):
            raise Misuse("give plugins or versions, one of them")
        # Where a plugin runs already, nothing is negotiated any more.
        self.version = reattach.version if reattach is not None else handshake.protocol_version if handshake else 0
        offered = versions if versions is not None else {self.version: plugins or {}}
        if not offered or not all(offered.values()):
            raise Misuse("there must be at least one plugin to dispense, in every version offered")
        if min(offered) < 0:
            raise Misuse(f"a protocol version is not negative, this one is {min(offered)}")
        self.versions = {version: dict(set_) for version, set_ in offered.items()}
        if reattach is not None:
            _check_record(reattach, self.versions)
            if guardian:
                raise Misuse("guardian does not go with reattach: such a plugin is for whoever started it to end")
            if env is not None or cwd is not None or inherit_env is not True or stdin != subprocess.DEVNULL:
                raise Misuse("env, inherit_env, cwd and stdin are for a plugin that is to be started; this one runs")
            if secure is not None:
                raise Misuse("secure does not go with reattach: the plugin runs already, unchecked")
            if auto_mtls:
                raise Misuse(
                    "auto_mtls does not go with reattach: only the host that started it has the plugin's trust"
                )
        if runner is not None and (secure is not None or cwd is not None or stdin != subprocess.DEVNULL):
            raise Misuse("secure, cwd and stdin are for a command; with a runner they are that one's own affair")
        if secure is not None:
            secure.check(self.command)
        self.secure = secure
        for name, value in (env or {}).items():
            if not name or "=" in name or "\0" in name + value:
                raise Misuse(f"env has a name or a value that no environment can hold: {name!r}")
        self.env = dict(env or {})
        if isinstance(inherit_env, str):
            raise Misuse(f"inherit_env must be True, False or a collection of names, not one name: {inherit_env!r}")
        self.inherited = _patterns(inherit_env)
        self.cwd = None if cwd is None else os.fspath(cwd)
        self.stdin = _descriptor(stdin)
        self.start_timeout = _duration("start_timeout", start_timeout)
        self.call_timeout = None if call_timeout is None else _duration("call_timeout", call_timeout)
        self.managed, self.stop_budget = managed, stop_budget
        self.sync_stdout, self.sync_stderr, self.logger = sync_stdout, sync_stderr, logger
        self.stdout, self.stderr = stdout, stderr
        if log_buffer_size < 1:
            raise Misuse(f"log_buffer_size must be bytes, at least 1: got {log_buffer_size}")
        self.log_buffer_size = log_buffer_size
        PluginEnvironment(min_port=min_port, max_port=max_port).format()  # judges the range
        self.min_port, self.max_port = min_port, max_port
        self.unix_sockets = unix_sockets
        if address_variable is not None and (not address_variable or set(address_variable) & {"=", "\0"}):
            raise Misuse(f"address_variable is a name that no environment can hold: {address_variable!r}")
        self.address_variable = address_variable
        if auto_mtls and tls is not None:
            raise Misuse("auto_mtls makes certificates of its own: give either auto_mtls or tls")
        if auto_mtls and address_variable is not None:
            raise Misuse("auto_mtls needs a handshake line, which a plugin with address_variable need not print")
        if not 0 <= skip_lines <= SKIP_MAX:
            raise Misuse(f"skip_lines must be a number of lines, from 0 to {SKIP_MAX}: got {skip_lines}")
        if skip_lines and address_variable is not None:
            raise Misuse("skip_lines does not go with address_variable: such a plugin may print what it likes")
        self.auto_mtls, self.tls = auto_mtls, tls
        self.guardian, self.skip_lines = guardian, skip_lines
        if multiplex and reattach is not None:
            raise Misuse("multiplex does not go with reattach: the one connection is with the host that started it")
        if multiplex and address_variable is not None:
            raise Misuse("multiplex needs a handshake line, which a plugin with address_variable need not print")
        self.multiplex = multiplex

    @property
    def name(self) -> str:
        """The plugin's name in logs and of threads: that of its file, or of the script that a Python is to run."""
        if self.reattach is not None:
            return f"reattached-{self.reattach.pid}"
        if self.runner is not None:
            return self.runner.name.replace(".", "_")
        program, *rest = self.command
        script = next((word for word in rest if not word.startswith("-")), None)
        if script is not None and _INTERPRETER.fullmatch(os.path.basename(program)):
            program = script.removesuffix(".py")
        return os.path.basename(program).replace(".", "_") or program

    def asked(self, socket_dir: str, client_cert: str | None = None) -> PluginEnvironment:
        """Return what the plugin is asked for. The sockets that the host makes itself go by the same rules."""
        return PluginEnvironment(
            versions=tuple(self.versions),
            min_port=self.min_port,
            max_port=self.max_port,
            client_cert=client_cert,
            socket_dir=socket_dir,
            socket_group=self.unix_sockets.group,
            multiplex_understood=self.multiplex,
            multiplex=self.multiplex,
        )

    def environment(
        self, inherited: Mapping[str, str], socket_dir: str, client_cert: str | None = None
    ) -> dict[str, str]:
        """Return the plugin's whole environment; ``client_cert`` is the host's certificate (PEM) for AutoMTLS.

        The caller's variables win over inherited ones; go-plugin does it the other way round (client.go:655), a known
        trap. What a host of ours was told as a plugin itself is not handed down.
        """
        base = {
            name: value
            for name, value in without_plugin_variables(inherited).items()
            if any(fnmatchcase(name, pattern) for pattern in self.inherited)
        }
        asked = self.asked(socket_dir, client_cert).format()
        if self.address_variable is not None:
            # The bare path, and no URI with escapes: what Redpanda Connect gives and its Go plugins read (rpcn.go).
            asked[self.address_variable] = f"unix:{self.meeting(socket_dir)}"
        return {**base, **self.env, **asked, **self._cookie}

    def meeting(self, socket_dir: str) -> Unix:
        """Return where the plugin may listen instead of printing a line, if there is an ``address_variable``."""
        return Unix(os.path.join(socket_dir, "plugin.sock"))


def _cookie(handshake: Handshake | None) -> dict[str, str]:
    if handshake is None:
        raise Misuse("a plugin that is to be started needs a handshake")
    if isinstance(handshake.cookie_value, Cookie):
        raise Misuse("a host must give its cookie a value; Cookie.ANY is for plugins")
    return {handshake.cookie_key: handshake.cookie_value}


def _check_record(record: Reattach, versions: Collection[int]) -> None:
    if record.protocol != "grpc":
        raise Misuse(f"the plugin to reattach to speaks {record.protocol!r}; net/rpc exists in Go alone")
    if record.version not in versions:
        wanted = " or ".join(str(version) for version in sorted(versions))
        raise Misuse(f"the plugin to reattach to serves version {record.version}, and the host offers {wanted}")


def _words(command: Sequence[str | os.PathLike[str]]) -> tuple[str, ...]:
    if isinstance(command, str) or not command:
        raise Misuse(f"command must be a program and its arguments, as a list of words: got {command!r}")
    words = tuple(os.fspath(word) for word in command)
    if not words[0] or any("\0" in word for word in words):
        raise Misuse(f"command must name a program, and no word of it may hold a NUL: got {words!r}")
    return words


def _patterns(inherit_env: bool | Collection[str]) -> tuple[str, ...]:
    if isinstance(inherit_env, bool):
        return ("*",) if inherit_env else ()
    return tuple(inherit_env)


def _descriptor(stdin: int | HasDescriptor) -> int:
    """Return the descriptor, or ``subprocess.DEVNULL``."""
    try:
        number = stdin if isinstance(stdin, int) else stdin.fileno()
    except (AttributeError, OSError, ValueError):  # no file at all, one in memory, a closed one
        number = -1
    if number < 0 and number != subprocess.DEVNULL:
        raise Misuse(f"stdin must be an open file of the operating system, or a descriptor's number: got {stdin!r}")
    return number


def _duration(name: str, seconds: float) -> float:
    if not 0 < seconds <= SECONDS_MAX:
        raise Misuse(f"{name} must be seconds, more than 0 and at most {SECONDS_MAX}: got {seconds!r}")
    return seconds
