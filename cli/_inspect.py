"""`goplugin inspect`: starts a plugin, whichever it is, shows what it is and what it serves, and stops it.

Never lets a word of the plugin's act on the terminal, and leaves no process behind.
"""

import json
import logging
import signal
import socket
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated

import grpc
import psutil
import typer
from rich.console import Console
from rich.text import Text

from .. import handshake as contract
from ..batch import HANDSHAKE
from ..handshake import (
    RUN_BY_HAND,
    GoPluginError,
    Handshake,
    HandshakeRefused,
    Misuse,
    PluginFault,
    PluginLost,
    go_int,
    parse_versions,
    quoted,
)
from ..hostlib import Client, NoReflection, list_services
from ._report import Memory, Report, document, show

VERSIONS = tuple(range(100))
"""Offered unless others are asked for. A plugin takes the highest that it serves, and most serve a single digit."""

ANSWER_WITHIN = 5.0  # seconds for each question; a plugin that is well answers in milliseconds
STDERR_SHOWN = 10  # lines, where an error has none of its own
PIPE_WIDTH = 1000  # columns where the output is no terminal, so that no line of it is folded

_RUN_BY_HAND = RUN_BY_HAND.splitlines()[0].encode()


def inspect(
    command: Annotated[list[str], typer.Argument(metavar="COMMAND", help="The plugin's program and its arguments.")],
    cookie: Annotated[
        str | None, typer.Option(metavar="KEY=VALUE", help="The magic cookie that the plugin wants to see.")
    ] = None,
    versions: Annotated[
        str | None, typer.Option(metavar="1,5,6", help="The protocol versions to offer, 0 to 99 unless given.")
    ] = None,
    start_timeout: Annotated[
        float, typer.Option(metavar="SECONDS", help="How long the plugin may take to start.")
    ] = 30.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document, for programs.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show what the plugin logs and prints.")] = False,
) -> None:
    """Start any go-plugin plugin; show its handshake, health, memory and services; stop it."""
    aside = Console(stderr=True, highlight=False, soft_wrap=True)
    report = Report(command=tuple(command), offered=_offered(versions))
    examination = Examination(report, _handshake(cookie), start_timeout, aside if verbose else None)
    error = _interruptible(examination)
    if error is not None:
        report.error = _kind(error), _explained(error, cookie, report.stderr)
    if as_json:
        sys.stdout.write(json.dumps(document(report), indent=2) + "\n")
    else:
        show(report, Console(highlight=False, width=None if sys.stdout.isatty() else PIPE_WIDTH))
    if report.error is not None:
        aside.print(Text.assemble(("error: ", "bold red"), report.error[1]))
        raise typer.Exit(1)


class Examination:
    """Starts the plugin, fills in the report, and stops the plugin."""

    def __init__(self, report: Report, handshake: Handshake, start_timeout: float, listener: Console | None) -> None:
        self._report, self._handshake = report, handshake
        self._start_timeout, self._listener = start_timeout, listener
        self._lock = threading.Lock()
        self._client: Client[grpc.Channel] | None = None
        self._over = False

    def run(self) -> GoPluginError | None:
        """Do it all; return what went wrong first.

        Raises:
            typer.BadParameter: no plugin can be started in this way.
        """
        offered = self._report.offered
        error = self._attempt(offered)
        served = _version_refused(error)
        if served is None:
            return error
        # A host would stop here. To see the rest, the plugin is offered what it insists on.
        return self._attempt((*offered, served))

    def stop(self) -> None:
        """Break it off, from another thread.

        Raises:
            MachineFault: the kernel does not end the plugin.
        """
        with self._lock:
            self._over, client = True, self._client
        if client is not None:
            client.stop()

    def _attempt(self, versions: tuple[int, ...]) -> GoPluginError | None:
        report = self._report
        fault: GoPluginError | None = None
        with self._lock:
            if self._over:
                return Misuse("the inspection was broken off")
            client = self._client = self._new_client(versions)
        try:
            with client:
                fault = _look(report, client)
        except GoPluginError as error:
            fault = error
        report.pid, report.line, report.stderr = client.id, client.first_line, client.stderr_tail
        if client.id is not None:
            report.stopped = client.stopped
        return fault

    def _new_client(self, versions: tuple[int, ...]) -> Client[grpc.Channel]:
        try:
            return Client(
                self._report.command,
                self._handshake,
                versions={version: {"channel": _itself} for version in versions},
                start_timeout=self._start_timeout,
                logger=_logger(self._listener),
                sync_stdout=_Printer(self._listener, "stdout"),
                sync_stderr=_Printer(self._listener, "stderr"),
            )
        except Misuse as misuse:
            raise typer.BadParameter(str(misuse)) from None


def _interruptible(examination: Examination) -> GoPluginError | None:
    """Run the examination until it is over or a signal comes; then break it off and exit.

    Python runs the handlers of signals in the main thread. Raising there, in the midst of a start, could lose a process
    between its birth and its first mention; so the start is left to another thread.
    """
    told, teller = socket.socketpair()
    with told, teller, ThreadPoolExecutor(1) as pool:
        # The number of a signal arrives as a byte, at once and whichever thread the system gave the signal to. Waiting
        # for a lock would miss one that came just before.
        teller.setblocking(False)
        signal.set_wakeup_fd(teller.fileno())
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, _heeded)
        running = pool.submit(examination.run)
        running.add_done_callback(lambda _: teller.send(b"\0"))
        came = told.recv(1)[0]
        if came:
            examination.stop()
        signal.set_wakeup_fd(-1)
    if came:
        raise SystemExit(128 + came)
    return running.result()


def _heeded(_number: int, _frame: object) -> None:
    """Python tells of a signal only where it has a handler."""


def _look(report: Report, client: Client[grpc.Channel]) -> PluginFault | None:
    report.version, report.times, report.memory = client.negotiated_version, client.times, _memory(client.id)
    fault: PluginFault | None = None
    try:
        client.ping(ANSWER_WITHIN)
        report.healthy = True
    except PluginLost:
        raise
    except PluginFault as unwell:
        report.healthy, report.health_fault, fault = False, str(unwell), unwell
    try:
        report.services = list_services(client.channel, ANSWER_WITHIN)
        report.reflection = True
    except PluginLost:
        raise
    except NoReflection:
        report.reflection = False
    except PluginFault as nonsense:
        fault = fault or nonsense
    return fault


def _memory(pid: int | None) -> Memory | None:
    try:
        first = psutil.Process(pid)
        processes = [first, *first.children(recursive=True)]
        return Memory(
            processes=len(processes),
            rss=sum(process.memory_info().rss for process in processes),
            pss=_pss(processes),
            threads=sum(process.num_threads() for process in processes),
        )
    except psutil.Error:  # one of them ended meanwhile, or is another user's
        return None


def _pss(processes: list[psutil.Process]) -> int | None:
    try:
        shares: list[int | None] = [getattr(process.memory_full_info(), "pss", None) for process in processes]
    except psutil.AccessDenied:
        return None
    known = [share for share in shares if share is not None]
    return sum(known) if len(known) == len(shares) else None


def _version_refused(error: GoPluginError | None) -> int | None:
    if not isinstance(error, HandshakeRefused) or error.field != "protocol version":
        return None
    number = go_int(error.got)
    return number if number is not None and number >= 0 else None


def _kind(error: GoPluginError) -> str:
    # What was lost in a call is of a class of its own, which is no name to document.
    return next(cls.__name__ for cls in type(error).__mro__ if cls.__name__ in contract.__all__)


def _explained(error: GoPluginError, cookie: str | None, stderr: Sequence[str]) -> str:
    if isinstance(error, PluginLost):
        if any(_RUN_BY_HAND in line for line in error.stderr):
            missing = "its host's magic cookie" if cookie is None else f"another magic cookie than {cookie}"
            return f"the plugin wants {missing}: pass it with --cookie KEY=VALUE. It printed:{_block(stderr)}"
        return str(error)
    notes: Sequence[str] = getattr(error, "__notes__", ())
    if notes:  # who said it, and its last words
        return "\n".join([str(error), *notes])
    tail = stderr[-STDERR_SHOWN:]
    return str(error) + (f"\nits last stderr lines:{_block(tail)}" if tail else "")


def _block(lines: Sequence[str]) -> str:
    return "".join(f"\n    {line}" for line in lines)


def _offered(text: str | None) -> tuple[int, ...]:
    if text is None:
        return VERSIONS
    numbers, bad = parse_versions(text)
    if bad or not numbers:
        raise typer.BadParameter(f"protocol versions are numbers with commas between them, such as 1,5,6: got {text!r}")
    return numbers


def _handshake(cookie: str | None) -> Handshake:
    if cookie is None:
        return HANDSHAKE  # of no use but to batch plugins; any other says what it misses
    key, equals, value = cookie.partition("=")
    if not equals:
        raise typer.BadParameter(f"a cookie has the form KEY=VALUE: got {cookie!r}")
    try:
        return Handshake(cookie_key=key, cookie_value=value)
    except Misuse as misuse:
        raise typer.BadParameter(str(misuse)) from None


def _itself(channel: grpc.Channel) -> grpc.Channel:
    return channel


def _logger(listener: Console | None) -> logging.Logger:
    logger = logging.getLogger("goplugin.inspect")
    logger.propagate = False
    logger.setLevel(logging.CRITICAL + 1 if listener is None else 1)
    logger.handlers = [] if listener is None else [_Aside(listener)]
    return logger


class _Aside(logging.Handler):
    """Prints what the plugin logs."""

    def __init__(self, listener: Console) -> None:
        super().__init__()
        self._listener = listener

    def emit(self, record: logging.LogRecord) -> None:
        pairs: dict[str, object] = getattr(record, "hclog", {})
        shown = [f"{quoted(key)[1:-1]}={quoted(str(value))}" for key, value in pairs.items() if key[:1] != "@"]
        text = " ".join([f"{record.levelname.lower():7}", record.getMessage(), *shown])
        self._listener.print(Text(text, "dim"))


class _Printer:
    """Prints what the plugin prints."""

    def __init__(self, listener: Console | None, stream: str) -> None:
        self._listener, self._stream = listener, stream

    def write(self, data: bytes) -> None:
        if self._listener is not None:
            for line in data.splitlines():
                self._listener.print(Text(f"{self._stream:7} {quoted(line, len(line))[1:-1]}", "dim"))
