"""A plugin without TLS, as any Go host starts it by default: how soon it answers, how fast, and what it holds."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

import provision

from benchmarks import calls
from benchmarks.calls import Calls
from benchmarks.figures import Comparison, Contestant, Figure, Samples, quantile
from benchmarks.plugin import Plugin
from benchmarks.workshop import COOKIE, Workshop, version

LINE = Figure(name="spawn to handshake line", unit="ms")
FIRST_CALL = Figure(name="spawn to first call", unit="ms")
START_WORK = Figure(name="processor time to first call", unit="ms")
RSS = Figure(name="idle memory, resident", unit="MiB")
PSS = Figure(name="idle memory, proportional", unit="MiB")
THREADS = Figure(name="idle threads", unit="")
UNARY = Figure(name="unary call, p50", unit="µs")
UNARY_TAIL = Figure(name="unary call, p99", unit="µs")
UNARY_WORK = Figure(name="processor time of a unary call", unit="µs")
CROWD = Figure(name="16 calls in flight, p50", unit="µs")
CROWD_TAIL = Figure(name="16 calls in flight, p99", unit="µs")
CROWD_RATE = Figure(name="16 calls in flight", unit="calls/s", better="higher")
LARGE = Figure(name="messages of 1 MiB", unit="MiB/s", better="higher")

GOALS = {FIRST_CALL: 1.15, UNARY: 1.05, RSS: 1.15}
"""What design.md §8 promises over the bare server."""

SYNC, AIO = "goplugin", "goplugin aio"
BARE, BARE_AIO = "bare grpcio", "bare grpcio aio"
PYVIDER, PYTHON_PLUGIN, GO = "pyvider-rpcplugin", "python-plugin", "go-plugin in Go"

IN_FLIGHT = 16
IDLE = 0.2  # seconds between the last first call and the look at the memory
WARM = 30  # calls that are not measured, after each start


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A plugin program: what it is called, its version, and how its command is found (or ``provision.Missing``)."""

    name: str
    version: str
    command: Callable[[Workshop], Sequence[str]]
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    is_peer: bool = False


def own(script: str) -> Callable[[Workshop], Sequence[str]]:
    """Return how to find the command of a script of subjects/ on the interpreter of ours."""
    return lambda workshop: workshop.subject(script)


def in_go(_: Workshop) -> Sequence[str]:
    """Return the command of go-plugin's own example plugin."""
    return [str(provision.program("example-kv-plugin"))]


def peer(name: str, distribution: str, version: str, script: str, **environment: str) -> Subject:
    """Return a peer whose script needs one distribution, and runs on an interpreter of its own."""
    requirement = f"{distribution}=={version}"
    return Subject(
        name=name,
        version=version,
        command=lambda workshop: workshop.subject(script, workshop.python(distribution, [requirement])),
        environment=environment,
        is_peer=True,
    )


def _subjects() -> list[Subject]:
    ours, grpcio = version("goplugin"), version("grpcio")
    return [
        Subject(name=SYNC, version=ours, command=own("goplugin_sync.py")),
        Subject(name=AIO, version=ours, command=own("goplugin_aio.py")),
        Subject(name=BARE, version=grpcio, command=own("bare_grpcio.py")),
        Subject(name=BARE_AIO, version=grpcio, command=own("bare_grpcio_aio.py")),
        peer(
            PYVIDER,
            PYVIDER,
            "0.5.5",
            "peer_pyvider.py",
            PLUGIN_AUTO_MTLS="false",
            PLUGIN_MAGIC_COOKIE_KEY=COOKIE[0],
            PLUGIN_MAGIC_COOKIE_VALUE=COOKIE[1],
        ),
        peer(PYTHON_PLUGIN, PYTHON_PLUGIN, "0.1.0", "peer_python_plugin.py"),
        Subject(name=GO, version="1.8.0", command=in_go, is_peer=True),
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How often, in one round: slices are how often the turn goes round, the rest is calls in one slice."""

    slices: int
    single: int
    crowd: int
    large: int


class Plain:
    """Starts every subject afresh in each round, then lets them take turns at calls."""

    def __init__(self, subjects: Sequence[Subject], effort: Effort) -> None:
        self._subjects, self._effort = subjects, effort
        self._start: dict[str, Callable[[], Plugin]] = {}
        names = {subject.name for subject in subjects}
        self.comparisons = [
            comparison
            for comparison in (
                Comparison(ours=SYNC, against=BARE, goals=GOALS),
                *(Comparison(ours=SYNC, against=other) for other in (PYVIDER, PYTHON_PLUGIN, GO)),
                Comparison(ours=AIO, against=BARE_AIO, goals=GOALS),
                *(Comparison(ours=AIO, against=other) for other in (BARE, PYVIDER, PYTHON_PLUGIN, GO)),
            )
            if {comparison.ours, comparison.against} <= names
        ]

    def prepare(self, workshop: Workshop) -> list[Contestant]:
        return [self._prepared(subject, workshop) for subject in self._subjects]

    def _prepared(self, subject: Subject, workshop: Workshop) -> Contestant:
        try:
            command = subject.command(workshop)
        except provision.Missing as missing:
            if not subject.is_peer:
                raise
            return Contestant(name=subject.name, version=subject.version, missing=missing.why)
        environment = {**workshop.environment, **subject.environment}
        folder = str(workshop.scratch)
        self._start[subject.name] = lambda: Plugin(subject.name, command, environment, folder)
        with self._start[subject.name]():
            return Contestant(name=subject.name, version=subject.version)

    def measure(self, order: Sequence[str]) -> Samples:
        samples: dict[tuple[str, Figure], float] = {}
        with ExitStack() as running:
            plugins = {name: running.enter_context(self._start[name]()) for name in order}
            time.sleep(IDLE)
            for name, plugin in plugins.items():
                samples[name, LINE] = plugin.line * 1e3
                samples[name, FIRST_CALL] = plugin.first_call * 1e3
                if plugin.first_call_work:
                    samples[name, START_WORK] = plugin.first_call_work * 1e3
                self._idle(name, plugin, samples)
            self._calls(plugins, samples)
        return samples

    def _idle(self, name: str, plugin: Plugin, samples: dict[tuple[str, Figure], float]) -> None:
        memory = plugin.process.memory_full_info()
        samples[name, RSS] = memory.rss / calls.MIB
        if hasattr(memory, "pss"):  # Linux alone counts it
            samples[name, PSS] = memory.pss / calls.MIB
        samples[name, THREADS] = plugin.process.num_threads()

    def _calls(self, plugins: Mapping[str, Plugin], samples: dict[tuple[str, Figure], float]) -> None:
        effort = self._effort
        for plugin in plugins.values():
            calls.one_at_a_time(plugin, WARM, Calls())
            calls.many_at_once(plugin, IN_FLIGHT, 2, Calls())
            calls.large(plugin, 1, Calls())
        single, crowd, large = ({name: Calls() for name in plugins} for _ in range(3))
        work = dict.fromkeys(plugins, 0.0)
        for _ in range(effort.slices):
            for name, plugin in plugins.items():
                before = plugin.work()
                calls.one_at_a_time(plugin, effort.single, single[name])
                work[name] += plugin.work() - before
            for name, plugin in plugins.items():
                calls.many_at_once(plugin, IN_FLIGHT, effort.crowd, crowd[name])
            for name, plugin in plugins.items():
                calls.large(plugin, effort.large, large[name])
        for name in plugins:
            for figure, value in of_calls(single[name], crowd[name], large[name]).items():
                samples[name, figure] = value
            if work[name]:
                samples[name, UNARY_WORK] = work[name] / len(single[name].latencies) * 1e6


def of_calls(single: Calls, crowd: Calls, large: Calls) -> dict[Figure, float]:
    """Return what calls one at a time, many at once, and large ones come to."""
    return {
        UNARY: quantile(single.latencies, 0.5) * 1e6,
        UNARY_TAIL: quantile(single.latencies, 0.99) * 1e6,
        CROWD: quantile(crowd.latencies, 0.5) * 1e6,
        CROWD_TAIL: quantile(crowd.latencies, 0.99) * 1e6,
        CROWD_RATE: len(crowd.latencies) / crowd.seconds,
        LARGE: large.bytes / calls.MIB / large.seconds,
    }


def suite(quick: bool, peers: bool) -> Plain:
    """Return the suite."""
    subjects = [subject for subject in _subjects() if peers or not subject.is_peer]
    if quick:
        return Plain(subjects, Effort(slices=1, single=20, crowd=3, large=1))
    return Plain(subjects, Effort(slices=5, single=60, crowd=15, large=3))
