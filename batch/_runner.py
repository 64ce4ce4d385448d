"""Runs a pipeline: opens its ends, starts its plugins, lets the batches flow, and leaves nothing behind."""

import logging
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import ExitStack
from time import monotonic
from typing import Any, Protocol, TypeVar

from ..handshake import MachineFault, Misuse
from ._components import (
    Batched,
    FileInput,
    GenerateInput,
    InputSettings,
    PluginInput,
    PluginOutput,
    StdinInput,
)
from ._ends import ByteOutlet, Outlet, PluginOutlet, PluginSource
from ._errors import NoAnswer, RunFailed
from ._flow import TICK, Failure, Flow
from ._pipeline import Pipeline, Stage
from ._remote import Processor
from ._remote_input import Input
from ._remote_output import Output
from ._session import Limits, Remote
from ._sink import open_sink
from ._source import Source, open_source
from ._stats import Stats

_R = TypeVar("_R", bound=Remote[Any])

_GIVE_UP_AFTER = 5.0
"""Seconds for the flow to end once the plugins are killed: what waits for a pipe that nobody reads never does."""


class _Plugin(Protocol):
    """What a runner starts and ends."""

    def start(self) -> None: ...
    def close(self) -> None: ...
    def kill(self) -> None: ...


class Runner:
    """One run of a pipeline.

    Delivery: at least once. A batch is acknowledged to its input once every message that came of it was delivered, or
    dropped by a processor. One that cannot be delivered goes through everything again, as often as ``attempts`` allows,
    unless its input wants to hear of it at once. A message that a processor failed on flows on, marked and counted,
    as it does in Redpanda Connect. With one thread and an output that takes one batch at a time, order is kept, but for
    batches that went through again.

    Args:
        pipeline: what to run.
        env: variables for the plugins, which win over inherited ones.
        inherit_env: which of this process's variables they inherit, as `hostlib.Options` says.
        limits: how much to put up with from each plugin.
        attempts: how often one batch may fail before the run does.
        logger: the parent of the loggers for what the plugins log and print, each named for its place in the pipeline;
            ``goplugin.batch`` unless given.

    Raises:
        Misuse: ``attempts`` is not positive.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        *,
        env: Mapping[str, str] | None = None,
        inherit_env: bool | Collection[str] = True,
        limits: Limits = Limits(),  # noqa: B008 - frozen
        attempts: int = 3,
        logger: logging.Logger | None = None,
    ) -> None:
        if attempts < 1:
            raise Misuse(f"a batch is attempted at least once: got attempts={attempts}")
        self._pipeline, self._attempts = pipeline, attempts
        self._log = logger or logging.getLogger("goplugin.batch")

        def made(kind: type[_R], place: Stage | PluginInput | PluginOutput) -> _R:
            return kind(
                place.descriptor,
                place.config,
                name=place.name,
                env=env,
                inherit_env=inherit_env,
                limits=limits,
                logger=logger,
            )

        self._steps = [
            (stage.name, [made(Processor, stage) for _ in range(pipeline.threads)]) for stage in pipeline.stages
        ]
        self._plugins: list[tuple[str, _Plugin]] = [(name, one) for name, workers in self._steps for one in workers]
        leaf, self._input, self._output = _leaf(pipeline.input), None, None
        if isinstance(leaf, PluginInput):
            self._input = made(Input, leaf)
            self._plugins.append(("input", self._input))
        if isinstance(pipeline.output, PluginOutput):
            self._output = made(Output, pipeline.output)
            self._plugins.append(("output", self._output))
        self._flow: Flow | None = None
        self._stopping = self._killed = False
        self._limit: float | None = None  # when a run that was killed is left to itself

    @property
    def stats(self) -> Stats:
        """What the run has done so far."""
        return self._flow.stats if self._flow is not None else Stats()

    def run(self, progress: Callable[[Stats], object] | None = None) -> Stats:
        """Run to the end of the input, or until `stop`; return what was done.

        Args:
            progress: called now and then, and at the end, in this thread.

        Raises:
            RunFailed: a plugin, the input or the output failed; what had passed it was written.
            MachineFault: an input or the output is not there; nothing was started.
            Misuse: the output is one of the inputs; nothing was started.
        """
        with ExitStack() as undo:
            source = open_source(self._pipeline.input, self._fed)
            undo.callback(source.close)
            outlet = self._outlet(source, undo)
            flow = self._flow = Flow(source, self._steps, outlet, self._replays, self._attempts)
            if self._stopping:
                flow.stop()
            with ExitStack() as started:
                started.callback(self._kill_all)
                if not self._start_all():
                    return flow.stats
                try:
                    flow.run(lambda stats: self._watch(stats, progress))
                except Failure as failure:
                    if flow.running:
                        undo.pop_all()  # stays open: what still writes there could come to write elsewhere
                    raise RunFailed(failure.part, failure.cause, flow.stats.lost) from failure.cause
                started.pop_all()
            self._close_all(flow.stats)
        return flow.stats

    def stop(self) -> None:
        """Read no more, and let what was read go through to the end. May be called from a signal handler."""
        self._stopping = True
        if self._flow is not None:
            self._flow.stop()

    def kill(self) -> None:
        """Give up: stop the plugins now, and let `run` fail, soon in any case. May be called from a signal handler.

        What then still waits for the world outside is left in its thread, and its file stays open.
        """
        self._killed = True
        self.stop()

    def _fed(self, _: PluginInput) -> Source:
        assert self._input is not None  # noqa: S101 - made for this very setting
        return PluginSource(self._input, self._log.getChild("input"))

    def _outlet(self, source: Source, undo: ExitStack) -> Outlet:
        settings = self._pipeline.output
        if isinstance(settings, PluginOutput):
            assert self._output is not None  # noqa: S101 - made for this very setting
            return PluginOutlet(self._output, self._log.getChild("output"))
        sink = open_sink(settings, source.files)
        undo.callback(sink.close)
        return ByteOutlet(sink)

    def _replays(self) -> bool:
        leaf = _leaf(self._pipeline.input)
        if isinstance(leaf, PluginInput):
            return self._input is not None and self._input.auto_replay_nacks
        return leaf.replays

    def _watch(self, stats: Stats, progress: Callable[[Stats], object] | None) -> None:
        if self._killed:
            self._kill_all()
            self._limit = self._limit or monotonic() + _GIVE_UP_AFTER
            if monotonic() > self._limit:
                raise Failure(
                    "run", MachineFault(f"given up, and it still waits for something {_GIVE_UP_AFTER:g} s later")
                )
        stats.read.restarts = self._input.restarted if self._input is not None else 0
        if progress is not None:
            progress(stats)

    def _start_all(self) -> bool:
        """Start the plugins; return False if `stop` came first, and then none is running."""
        failed = self._each(lambda plugin: plugin.start(), lambda failed: self._stopping or failed)
        if self._stopping:
            return False
        if failed is not None:
            raise failed from failed.cause
        return True

    def _close_all(self, stats: Stats) -> None:
        failed = self._each(self._end, lambda _failed: self._killed)
        if failed is not None:
            raise RunFailed(failed.part, failed.cause, stats.lost) from failed.cause

    def _end(self, plugin: _Plugin) -> None:
        try:
            plugin.close()
        except NoAnswer as silence:
            # Each batch was answered for before. Outputs on Redpanda's Python SDK never answer Close.
            self._log.warning("%s", silence)

    def _each(self, work: Callable[[_Plugin], None], give_up: Callable[[bool], bool]) -> RunFailed | None:
        """Do ``work`` with all plugins at once, for it is mostly waiting; return the first failure.

        ``give_up`` is told whether one has failed, and says whether to kill them all.
        """
        failed: RunFailed | None = None
        with ThreadPoolExecutor(max(1, len(self._plugins)), "goplugin-plugins") as pool:
            names = {pool.submit(work, plugin): name for name, plugin in self._plugins}
            waiting = set(names)
            while waiting:
                done, waiting = wait(waiting, TICK, FIRST_COMPLETED)
                for future in done:
                    if failed is None and (error := future.exception()) is not None:
                        failed = RunFailed(names[future], error, 0)
                if give_up(failed is not None):
                    self._kill_all()
        return failed

    def _kill_all(self) -> None:
        for _, plugin in self._plugins:
            plugin.kill()


def _leaf(settings: InputSettings) -> FileInput | StdinInput | GenerateInput | PluginInput:
    """Return the input that is behind all gathering."""
    return _leaf(settings.child) if isinstance(settings, Batched) else settings
