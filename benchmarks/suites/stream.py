"""A whole `goplugin run`, from file to file: without a plugin, with one, and the same files under Redpanda Connect."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import perf_counter

import provision

from benchmarks.figures import Comparison, Contestant, Figure, Samples
from benchmarks.plugin import Failed
from benchmarks.workshop import Workshop, version

RUN = Figure(name="a run from start to end", unit="ms")
RATE = Figure(name="messages of 256 B through a run", unit="messages/s", better="higher")
WIDTH = 255  # and the end of the line
RUN_WITHIN = 120.0  # seconds; far more than any run takes

ALONE = "goplugin run, no plugin"
EACH, EACH_ASYNC = "goplugin run, @batch.processor", "goplugin run, @batch.processor async def"
WHOLE, WHOLE_ASYNC = "goplugin run, @batch.batch_processor", "goplugin run, @batch.batch_processor async def"
ENGINE = "Redpanda Connect, @batch.processor"
FORMS = {EACH: "each", EACH_ASYNC: "each-async", WHOLE: "whole", WHOLE_ASYNC: "whole-async", ENGINE: "each"}


class Stream:
    """Runs the same pipeline over the same file, once in a round for each contestant."""

    def __init__(self, messages: int, peers: bool) -> None:
        self._messages, self._peers = messages, peers
        self._commands: dict[str, Sequence[str]] = {}
        self._folder = Path()
        self.comparisons = [Comparison(ours=ours, against=ALONE) for ours in (EACH, EACH_ASYNC, WHOLE, WHOLE_ASYNC)]
        if peers:
            self.comparisons.append(Comparison(ours=EACH, against=ENGINE))

    def prepare(self, workshop: Workshop) -> list[Contestant]:
        self._folder = workshop.scratch
        (self._folder / "lines").write_text(("x" * WIDTH + "\n") * self._messages)
        ours = version("goplugin")
        contestants = [Contestant(name=ALONE, version=ours)]
        self._commands[ALONE] = [*self._runner(), self._pipeline("alone", [])]
        for name, form in FORMS.items():
            if name == ENGINE and not self._peers:
                continue
            descriptor = self._descriptor(workshop, form)
            pipeline = self._pipeline(form, [{form.replace("-", "_"): {}}])
            try:
                runner = [str(provision.program("engine")), "run", "--rpc-plugins"] if name == ENGINE else None
            except provision.Missing as missing:
                contestants.append(Contestant(name=name, version="4.100.0", missing=missing.why))
                continue
            self._commands[name] = [*(runner or [*self._runner(), "--plugins"]), descriptor, pipeline]
            contestants.append(Contestant(name=name, version="4.100.0" if runner else ours))
        for name in self._commands:
            self._seconds(name)
        return contestants

    def measure(self, order: Sequence[str]) -> Samples:
        samples: dict[tuple[str, Figure], float] = {}
        for name in order:
            seconds = self._seconds(name)
            samples[name, RUN] = seconds * 1e3
            samples[name, RATE] = self._messages / seconds
        return samples

    def _seconds(self, name: str) -> float:
        out = self._folder / "out"
        out.unlink(missing_ok=True)
        began = perf_counter()
        done = subprocess.run(
            self._commands[name], cwd=self._folder, capture_output=True, text=True, timeout=RUN_WITHIN, check=False
        )
        seconds = perf_counter() - began
        written = out.read_bytes().count(b"\n") if out.exists() else 0
        if done.returncode or written != self._messages:
            raise Failed(f"{name} ended with {done.returncode} and {written} of {self._messages} lines: {done.stderr}")
        return seconds

    def _runner(self) -> list[str]:
        return [os.path.join(os.path.dirname(sys.executable), "goplugin"), "run"]

    def _descriptor(self, workshop: Workshop, form: str) -> str:
        command = ["env", f"PYTHONPATH={workshop.library}", *workshop.subject("batch_goplugin.py"), form]
        return self._write(
            f"{form}.plugin.yaml", {"name": form.replace("-", "_"), "type": "processor", "command": command}
        )

    def _pipeline(self, name: str, processors: list[dict[str, object]]) -> str:
        nothing: dict[str, object] = {}
        lines = {"file": {"paths": ["lines"], "scanner": {"lines": nothing}}}
        pipeline = {
            "input": {"batched": {"child": lines, "policy": {"count": 1000}}},
            "pipeline": {"threads": 1, "processors": processors},
            "output": {"file": {"path": "out", "codec": "lines"}},
        }
        return self._write(f"{name}.yaml", pipeline)

    def _write(self, name: str, document: Mapping[str, object]) -> str:
        path = self._folder / name
        path.write_text(json.dumps(document))
        return str(path)


def suite(quick: bool, peers: bool) -> Stream:
    """Return the suite."""
    return Stream(messages=2_000 if quick else 50_000, peers=peers)
