"""A plugin under a Go host, with verified AutoMTLS, multiplexed, and plain: what the relay before grpcio costs."""

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import provision

from benchmarks.calls import MIB, Calls
from benchmarks.figures import Comparison, Contestant, Figure, Samples
from benchmarks.gohost import GoHost, Tls
from benchmarks.plugin import Failed
from benchmarks.suites import plain
from benchmarks.suites.plain import IDLE, IN_FLIGHT, WARM, Effort, Subject
from benchmarks.workshop import COOKIE, Workshop, version

EXTRA = Figure(name="spawn to first call, over plain", unit="ms")

SYNC, AIO = "goplugin, AutoMTLS", "goplugin aio, AutoMTLS"
PLAIN, PLAIN_AIO = "goplugin, plain", "goplugin aio, plain"
GRPCIO = "grpcio's own TLS, unverified"
SHARED, SHARED_TLS = "goplugin, multiplexed", "goplugin, AutoMTLS multiplexed"
PYVIDER, PYTHON_PLUGIN, GO = (f"{name}, AutoMTLS" for name in (plain.PYVIDER, plain.PYTHON_PLUGIN, plain.GO))
GO_SHARED = f"{plain.GO}, multiplexed"
ALLOWANCE = "60 ms"  # of a start for AutoMTLS; a contestant by name only
OVER_PLAIN = {plain.UNARY: 1.35}
OVER_GRPCIO = {plain.LARGE: 0.6}


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A plugin program and the way a Go host starts it; ``plain`` names the same program without TLS."""

    subject: Subject
    tls: Tls
    plain: str | None = None
    multiplex: bool = False


def _entries() -> list[Entry]:
    ours = version("goplugin")
    sync, aio = plain.own("goplugin_sync.py"), plain.own("goplugin_aio.py")
    cookie = {"PLUGIN_MAGIC_COOKIE_KEY": COOKIE[0], "PLUGIN_MAGIC_COOKIE_VALUE": COOKIE[1]}
    peers = [
        plain.peer(PYVIDER, plain.PYVIDER, "0.5.5", "peer_pyvider.py", PLUGIN_AUTO_MTLS="true", **cookie),
        plain.peer(PYTHON_PLUGIN, plain.PYTHON_PLUGIN, "0.1.0", "peer_python_plugin.py"),
        Subject(name=GO, version="1.8.0", command=plain.in_go, is_peer=True),
    ]
    go_shared = Subject(name=GO_SHARED, version="1.8.0", command=plain.in_go, is_peer=True)
    return [
        Entry(subject=Subject(name=SYNC, version=ours, command=sync), tls="auto", plain=PLAIN),
        Entry(subject=Subject(name=AIO, version=ours, command=aio), tls="auto", plain=PLAIN_AIO),
        Entry(subject=Subject(name=PLAIN, version=ours, command=sync), tls="none"),
        Entry(subject=Subject(name=PLAIN_AIO, version=ours, command=aio), tls="none"),
        Entry(
            subject=Subject(name=GRPCIO, version=version("grpcio"), command=plain.own("bare_tls.py")),
            tls="unverified",
        ),
        Entry(subject=Subject(name=SHARED, version=ours, command=sync), tls="none", multiplex=True),
        Entry(subject=Subject(name=SHARED_TLS, version=ours, command=sync), tls="auto", plain=SHARED, multiplex=True),
        *(Entry(subject=peer, tls="auto") for peer in peers),
        Entry(subject=go_shared, tls="none", multiplex=True),
    ]


class Trust:
    """Starts every entry afresh in each round, each under a Go host of its own, then lets them take turns."""

    def __init__(self, entries: Sequence[Entry], effort: Effort) -> None:
        self._entries = {entry.subject.name: entry for entry in entries}
        self._effort = effort
        self._commands: dict[str, Sequence[str]] = {}
        self._environment: Mapping[str, str] = {}
        self._folder = ""
        wanted = [
            Comparison(ours=SYNC, against=PLAIN, goals=OVER_PLAIN),
            Comparison(ours=SYNC, against=ALLOWANCE, goals={EXTRA: 1.0}),
            Comparison(ours=SYNC, against=GRPCIO, goals=OVER_GRPCIO),
            *(Comparison(ours=SYNC, against=peer) for peer in (PYVIDER, PYTHON_PLUGIN, GO)),
            Comparison(ours=AIO, against=PLAIN_AIO, goals=OVER_PLAIN),
            Comparison(ours=AIO, against=ALLOWANCE, goals={EXTRA: 1.0}),
            Comparison(ours=AIO, against=GRPCIO, goals=OVER_GRPCIO),
            *(Comparison(ours=AIO, against=peer) for peer in (PYVIDER, PYTHON_PLUGIN, GO)),
            *(Comparison(ours=SHARED, against=other) for other in (PLAIN, GO_SHARED)),
            Comparison(ours=SHARED_TLS, against=SYNC),
        ]
        names = {*self._entries, ALLOWANCE}
        self.comparisons = [comparison for comparison in wanted if comparison.against in names]

    def prepare(self, workshop: Workshop) -> list[Contestant]:
        provision.program("caller")
        self._environment, self._folder = workshop.environment, str(workshop.scratch)
        return [*(self._prepared(entry, workshop) for entry in self._entries.values()), Contestant(name=ALLOWANCE)]

    def _prepared(self, entry: Entry, workshop: Workshop) -> Contestant:
        subject = entry.subject
        known = Contestant(name=subject.name, version=subject.version)
        try:
            self._commands[subject.name] = subject.command(workshop)
            with self._started(subject.name):
                return known
        except (provision.Missing, Failed) as failure:
            if not subject.is_peer:
                raise
            return Contestant(name=subject.name, version=subject.version, missing=str(failure))

    def _started(self, name: str) -> GoHost:
        entry = self._entries[name]
        environment = {**self._environment, **entry.subject.environment}
        return GoHost(name, self._commands[name], entry.tls, environment, self._folder, multiplex=entry.multiplex)

    def measure(self, order: Sequence[str]) -> Samples:
        samples: dict[tuple[str, Figure], float] = {(ALLOWANCE, EXTRA): 60.0}
        with ExitStack() as running:
            hosts = {name: running.enter_context(self._started(name)) for name in order if name != ALLOWANCE}
            time.sleep(IDLE)
            for name, host in hosts.items():
                samples[name, plain.FIRST_CALL] = host.first_call * 1e3
                samples[name, plain.RSS] = host.process.memory_info().rss / MIB
                without = self._entries[name].plain
                if without is not None:
                    samples[name, EXTRA] = (host.first_call - hosts[without].first_call) * 1e3
            self._calls(hosts, samples)
        return samples

    def _calls(self, hosts: Mapping[str, GoHost], samples: dict[tuple[str, Figure], float]) -> None:
        effort = self._effort
        for host in hosts.values():
            host.unary(1, WARM, Calls())
            host.unary(IN_FLIGHT, 2, Calls())
            host.large(1, Calls())
        single, crowd, large = ({name: Calls() for name in hosts} for _ in range(3))
        for _ in range(effort.slices):
            for name, host in hosts.items():
                host.unary(1, effort.single, single[name])
            for name, host in hosts.items():
                host.unary(IN_FLIGHT, effort.crowd, crowd[name])
            for name, host in hosts.items():
                host.large(effort.large, large[name])
        for name in hosts:
            for figure, value in plain.of_calls(single[name], crowd[name], large[name]).items():
                samples[name, figure] = value


def suite(quick: bool, peers: bool) -> Trust:
    """Return the suite."""
    entries = [entry for entry in _entries() if peers or not entry.subject.is_peer]
    if quick:
        return Trust(entries, Effort(slices=1, single=20, crowd=3, large=1))
    return Trust(entries, Effort(slices=4, single=100, crowd=20, large=4))
