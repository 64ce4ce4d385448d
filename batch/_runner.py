"""Runs a pipeline: opens its ends, starts its plugins, lets the batches flow, and leaves nothing behind."""

import logging
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import ExitStack

from ._errors import RunFailed
from ._flow import TICK, Failure, Flow
from ._pipeline import Pipeline
from ._remote import Processor
from ._sink import open_sink
from ._source import open_source
from ._stats import Stats


class Runner:
    """One run of a pipeline.

    Delivery: every message that was read goes through every processor, in order, and is written, dropped by a
    processor, or counted in `Stats.lost` of a run that failed. A processor that was lost may see a batch twice; the
    output gets each result once. A message that a processor failed on flows on, marked and counted, as it does in
    Redpanda Connect.

    Args:
        pipeline: what to run.
        env: variables for the plugins, which win over inherited ones.
        restarts: how often each plugin may be started anew.
        retries: how often one batch may be sent again to a plugin that was lost with it.
        start_timeout: seconds for the start of each plugin.
        call_timeout: seconds for each of a plugin's answers.
        logger: the parent of the loggers for what the plugins log and print, each named for its processor;
            ``goplugin.batch`` unless given.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        *,
        env: Mapping[str, str] | None = None,
        restarts: int = 3,
        retries: int = 1,
        start_timeout: float = 30.0,
        call_timeout: float = 60.0,
        logger: logging.Logger | None = None,
    ) -> None:
        self._pipeline = pipeline
        self._processors = [
            Processor(
                stage.descriptor,
                stage.config,
                name=stage.name,
                env=env,
                restarts=restarts,
                retries=retries,
                start_timeout=start_timeout,
                call_timeout=call_timeout,
                logger=logger,
            )
            for stage in pipeline.stages
        ]
        self._names = [stage.name for stage in pipeline.stages]
        self._flow: Flow | None = None
        self._stopping = self._killed = False

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
            source = open_source(self._pipeline.input)
            undo.callback(source.close)
            sink = open_sink(self._pipeline.output, source.files)
            undo.callback(sink.close)
            flow = self._flow = Flow(source, list(zip(self._names, self._processors, strict=True)), sink)
            if self._stopping:
                flow.stop()
            with ExitStack() as started:
                started.callback(self._kill_all)
                if not self._start_all():
                    return flow.stats
                try:
                    flow.run(lambda stats: self._watch(stats, progress))
                except Failure as failure:
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
        """Give up: stop the plugins now, and let `run` fail. May be called from a signal handler."""
        self._killed = True
        self.stop()

    def _watch(self, stats: Stats, progress: Callable[[Stats], object] | None) -> None:
        if self._killed:
            self._kill_all()
        if progress is not None:
            progress(stats)

    def _start_all(self) -> bool:
        """Start the plugins; return False if `stop` came first, and then none is running."""
        failed = self._each(Processor.start, lambda failed: self._stopping or failed)
        if self._stopping:
            return False
        if failed is not None:
            raise failed from failed.cause
        return True

    def _close_all(self, stats: Stats) -> None:
        failed = self._each(Processor.close, lambda _failed: self._killed)
        if failed is not None:
            raise RunFailed(failed.part, failed.cause, stats.lost) from failed.cause

    def _each(self, work: Callable[[Processor], None], give_up: Callable[[bool], bool]) -> RunFailed | None:
        """Do ``work`` with all processors at once, for it is mostly waiting; return the first failure.

        ``give_up`` is told whether one has failed, and says whether to kill them all.
        """
        failed: RunFailed | None = None
        with ThreadPoolExecutor(max(1, len(self._processors)), "goplugin-plugins") as pool:
            names = {pool.submit(work, one): name for name, one in zip(self._names, self._processors, strict=True)}
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
        for processor in self._processors:
            processor.kill()
