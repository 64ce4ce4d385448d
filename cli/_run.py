"""`goplugin run`: runs a pipeline file, shows how far it is, and sums up.

The decisions are `goplugin.batch.host`'s; here are the arguments, the signals, the bar, the table and the exit code.
"""

import glob
import logging
import os
import signal
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager, nullcontext, suppress
from time import monotonic
from types import FrameType
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from ..batch import host
from ..handshake import GoPluginError, MachineFault, Misuse, quoted
from ._standard import lost

DEFAULT_PLUGINS = ("plugin.yaml", "*.plugin.yaml", "*/plugin.yaml", "plugins/*/plugin.yaml")
"""Where descriptors are looked for, from the pipeline file's directory, unless ``--plugins`` says otherwise."""

_PIPE_WIDTH = 1000  # columns where there is no terminal, so that no line is folded
_METRICS_EVERY = 5.0  # seconds; Prometheus reads every 15 s unless told otherwise
_TEXT_MAX = 500  # characters of a plugin's words in one message

_STOP_SIGNALS = [one for one in signal.Signals if one.name in ("SIGINT", "SIGTERM", "SIGHUP")]  # Windows has no SIGHUP


def run(
    pipeline: Annotated[str, typer.Argument(metavar="PIPELINE", help="The pipeline file.")],
    plugins: Annotated[
        list[str] | None,
        typer.Option(
            metavar="GLOB",
            help="Where the plugin.yaml files are, once or several times. Unless given, beside the pipeline file: "
            + ", ".join(DEFAULT_PLUGINS)
            + ".",
        ),
    ] = None,
    restarts: Annotated[int, typer.Option(min=0, metavar="N", help="How often each plugin may be started anew.")] = 3,
    retries: Annotated[
        int,
        typer.Option(min=0, metavar="N", help="How often a batch may be sent again to a plugin that was lost with it."),
    ] = 1,
    start_timeout: Annotated[
        float, typer.Option(min=0.1, metavar="SECONDS", help="For the start of each plugin.")
    ] = 30.0,
    call_timeout: Annotated[
        float, typer.Option(min=0.1, metavar="SECONDS", help="For each answer of a plugin.")
    ] = 60.0,
    connect_timeout: Annotated[
        float, typer.Option(min=0.1, metavar="SECONDS", help="For which a plugin may fail to connect.")
    ] = 60.0,
    attempts: Annotated[
        int,
        typer.Option(min=1, metavar="N", help="How often a batch may fail to be delivered before the run does."),
    ] = 3,
    allow_failed: Annotated[
        bool, typer.Option("--allow-failed", help="End with 0 even if a processor failed on messages.")
    ] = False,
    metrics: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Keep a file with what the run has done, as Prometheus reads it."),
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show all that plugins log and print.")] = False,
) -> None:
    """Run a pipeline: read messages, send them through plugins, write them.

    Ends with 0 when every message was read and written or dropped on purpose, with 1 when something failed, and with
    2 when an argument, or what a file says, is wrong. A message that a processor fails on is written all the same,
    unchanged, and counted; the end is then 1. SIGINT, SIGTERM and SIGHUP end the reading and let what was read go
    through, which ends with 0 as in Redpanda Connect; a second one gives up.

    Plugins find this Python first on their PATH, so that "python3" in a plugin.yaml is the one that goplugin is
    installed for.
    """
    shown = Console(stderr=True, highlight=False, soft_wrap=True)
    try:
        parsed = _parse(pipeline, plugins)
        runner = host.Runner(
            parsed,
            env={"PATH": _path()},
            limits=host.Limits(
                restarts=restarts,
                retries=retries,
                start_timeout=start_timeout,
                call_timeout=call_timeout,
                connect_timeout=connect_timeout,
            ),
            attempts=attempts,
        )
        code = _run(runner, parsed, shown, metrics, verbose=verbose, allow_failed=allow_failed)
    except GoPluginError as error:
        cause = error.cause if isinstance(error, host.RunFailed) else error
        text = "\n".join([str(error), *getattr(cause, "__notes__", ())])
        shown.print(Text.assemble(("error: ", "bold red"), text))
        code = 2 if isinstance(error, Misuse) else 1
    raise typer.Exit(code)


def _run(
    runner: host.Runner,
    parsed: host.Pipeline,
    shown: Console,
    metrics: str | None,
    *,
    verbose: bool,
    allow_failed: bool,
) -> int:
    """Run, and sum up; return the exit code."""
    to_stdout = isinstance(parsed.output, host.StdoutOutput)
    summary = shown if to_stdout else Console(highlight=False, width=None if sys.stdout.isatty() else _PIPE_WIDTH)
    # Where the messages themselves go to the terminal, a bar would run through them.
    bar = _Bar(shown, visible=shown.is_terminal and not (to_stdout and sys.stdout.isatty()))
    signals: list[int] = []

    def stop(number: int, _frame: FrameType | None) -> None:
        signals.append(number)
        if len(signals) > 1:
            runner.kill()
        else:
            runner.stop()

    def progress(stats: host.Stats) -> None:
        log.let_go()
        if signals:
            bar.say("stopping")
        bar.update(stats)
        kept.keep(stats)

    failure: host.RunFailed | None = None
    log = _Log(shown, verbose=verbose)
    kept = _Metrics(metrics, shown)
    kept.keep(runner.stats)
    with bar, _logging(log), _handling(stop):
        try:
            runner.run(progress)
        except host.RunFailed as error:
            if not isinstance(error.cause, GoPluginError):
                raise  # a fault of ours, which deserves its traceback
            failure = error
    stats = runner.stats
    kept.keep(stats, last=True)
    if failure is None or stats.read.messages:
        _sum_up(stats, summary, shown, verbose=verbose)
    if (fault := lost()) is not None:
        shown.print(Text.assemble(("warning", "yellow"), f": cannot write the summary: {fault.strerror}"))
    if failure is not None:
        if len(signals) > 1:
            shown.print(Text.assemble(("error: ", "bold red"), f"given up; {stats.lost} messages were not written"))
            return 128 + signals[1]
        raise failure
    return 1 if stats.undelivered or stats.unwritable or (stats.failed and not allow_failed) else 0


def _parse(pipeline: str, plugins: list[str] | None) -> host.Pipeline:
    try:
        with open(pipeline, encoding="utf-8") as stream:
            text = stream.read()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise MachineFault(f"cannot read the pipeline file {pipeline}: {reason}") from None
    if plugins is None:
        beside = glob.escape(os.path.dirname(pipeline))
        descriptors = host.load_descriptors((os.path.join(beside, one) for one in DEFAULT_PLUGINS), optional=True)
    else:
        descriptors = host.load_descriptors(plugins)
    return host.parse_pipeline(text, pipeline, os.environ, descriptors)


def _path() -> str:
    inherited = os.environ.get("PATH", os.defpath)
    return os.pathsep.join([os.path.dirname(sys.executable), inherited])


class _Bar:
    """The progress bar, or nothing where there is no terminal."""

    def __init__(self, console: Console, *, visible: bool) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[messages]:,} messages"),
            TextColumn("{task.fields[rate]:,.0f}/s"),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=not visible,
        )
        self._task: TaskID = self._progress.add_task("starting", total=None, messages=0, rate=0.0)

    def __enter__(self) -> None:
        self._progress.start()

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def say(self, what: str) -> None:
        """Say what is going on."""
        self._progress.update(self._task, description=what)

    def update(self, stats: host.Stats) -> None:
        """Show how far a run is."""
        if self._progress.tasks[0].description == "starting":
            self.say("running")
        done = stats.written.messages
        rate = done / stats.seconds if stats.seconds else 0.0
        total = stats.expected if stats.expected else None
        self._progress.update(self._task, total=total, completed=stats.read.bytes, messages=done, rate=rate)


class _Metrics:
    """The file that `--metrics` names, replaced as a whole now and then, or nothing."""

    def __init__(self, path: str | None, shown: Console) -> None:
        self._path, self._shown = path, shown
        self._next = 0.0
        self._well: bool | None = None  # how it went the last time, if it did

    def keep(self, stats: host.Stats, *, last: bool = False) -> None:
        """Write it, if that is due. Once it was written, a failure is only warned of: messages count for more.

        Raises:
            MachineFault: it cannot be written the first time.
        """
        if self._path is None or (monotonic() < self._next and not last):
            return
        self._next = monotonic() + _METRICS_EVERY
        beside = f"{self._path}.{os.getpid()}"
        try:
            with open(beside, "w", encoding="utf-8") as stream:
                stream.write(host.prometheus(stats))
            os.replace(beside, self._path)
        except OSError as error:
            with suppress(OSError):
                os.unlink(beside)
            what = f"cannot write the metrics {self._path}: {error.strerror}"
            if self._well is None:
                raise MachineFault(what) from None
            if self._well:
                self._shown.print(Text.assemble(("warning", "yellow"), f": {what}"))
            self._well = False
        else:
            self._well = True


class _Log(logging.Handler):
    """Shows log records of the plugins above the bar.

    While they start, it keeps them: the error of a start that fails has the plugin's last words itself.
    """

    def __init__(self, console: Console, *, verbose: bool) -> None:
        super().__init__(logging.INFO if verbose else logging.WARNING)
        self._console = console
        self._kept: list[logging.LogRecord] | None = None if verbose else []

    def emit(self, record: logging.LogRecord) -> None:
        """Show a record, or keep it."""
        if self._kept is None:
            self._show(record)
        else:
            self._kept.append(record)

    def let_go(self) -> None:
        """Show what was kept, and all that comes."""
        with self.lock or nullcontext():
            kept, self._kept = self._kept, None
            for record in kept or ():
                self._show(record)

    def _show(self, record: logging.LogRecord) -> None:
        name = record.name.split(".")[2] if record.name.count(".") > 1 else record.name
        fields: dict[str, object] = getattr(record, "hclog", {})
        # What begins with @ is hclog's own, such as the time.
        pairs = (f"{key}={quoted(str(value), _TEXT_MAX)}" for key, value in fields.items() if key[:1] != "@")
        words = [record.getMessage(), *pairs]
        style = "bold red" if record.levelno >= logging.ERROR else "yellow" if record.levelno >= logging.WARNING else ""
        text = Text.assemble((record.levelname.lower(), style), f" {name}: {' '.join(words)}")
        if self.level < logging.WARNING:
            lines = str(fields.get("@exception", "")).splitlines()
            text.append("".join(f"\n    {quoted(line, _TEXT_MAX)[1:-1]}" for line in lines))
        self._console.print(text)


@contextmanager
def _logging(handler: logging.Handler) -> Generator[None]:
    logger = logging.getLogger("goplugin")
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(handler.level)
    try:
        yield
    finally:
        logger.setLevel(before)
        logger.removeHandler(handler)


@contextmanager
def _handling(stop: Callable[[int, FrameType | None], None]) -> Generator[None]:
    # What is ignored stays ignored: nohup does so with SIGHUP.
    heard = (number for number in _STOP_SIGNALS if signal.getsignal(number) is not signal.SIG_IGN)
    before = {number: signal.signal(number, stop) for number in heard}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _sum_up(stats: host.Stats, summary: Console, shown: Console, *, verbose: bool) -> None:
    table = _table(stats)
    table.width = summary.measure(table, options=summary.options.update(max_width=_PIPE_WIDTH)).maximum
    summary.print(table, soft_wrap=True)  # a terminal that is too narrow breaks lines, where rich would cut numbers
    seconds = f"{stats.seconds:.2f} s"
    rate = stats.read.messages / stats.seconds if stats.seconds else 0.0
    summary.print(f"{stats.read.messages:,} messages in {seconds}: {rate:,.0f} messages/s")
    for stage in stats.stages:
        if stage.failed:
            first = quoted(stage.first_error, _TEXT_MAX)
            what = f"{stage.name} failed on {stage.failed:,} messages; the first error: {first}"
            shown.print(what if verbose else f"{what} (--verbose shows its traceback)", markup=False)
    if stats.unwritable:
        first = quoted(stats.first_unwritable, _TEXT_MAX)
        shown.print(f"output: {stats.unwritable:,} messages cannot be written; the first: {first}", markup=False)
    if stats.rejected:
        what = f"output: {stats.rejected:,} messages could not be delivered, {stats.replayed:,} were tried again"
        shown.print(f"{what}, {stats.undelivered:,} were given up; the first: {stats.first_rejection}", markup=False)
    if stats.unfinished:
        shown.print(f"input: the last {stats.unfinished:,} bytes were no whole line, and no message was made of them")


def _table(stats: host.Stats) -> Table:
    ends = [("input", stats.read), ("output", stats.written)]
    first, last = ([name, f"{end.messages:,}", f"{end.batches:,}", f"{end.bytes:,}", *[""] * 5] for name, end in ends)
    first[8], last[8] = (f"{end.restarts:,}" if end.restarts else "" for _, end in ends)
    if stats.unwritable or stats.rejected:
        last[6] = f"{stats.unwritable + stats.rejected:,}"
    rows = [first]
    for stage in stats.stages:
        rate = f"{stage.taken / stage.seconds:,.0f}" if stage.seconds else ""
        counts = (f"{count:,}" for count in (stage.failed, stage.filtered, stage.restarts))
        rows.append([stage.name, f"{stage.taken:,}", f"{stage.batches:,}", "", rate, f"{stage.seconds:.2f} s", *counts])
    rows.append(last)
    headings = ("", "messages", "batches", "bytes", "messages/s", "time", "failed", "filtered", "restarts")
    # Without the last two, which seldom have something to tell, it fits on a terminal of 80 columns.
    width = 9 if any(count not in ("", "0") for row in rows for count in row[7:]) else 7
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading in headings[:width]:
        table.add_column(heading, justify="right" if heading else "left", no_wrap=True)
    for row in rows:
        table.add_row(*map(Text, row[:width]))
    return table
