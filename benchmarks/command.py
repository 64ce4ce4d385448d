"""The command: reads its arguments, runs the suites in turns and hands their rows to the report."""

import argparse
import random
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import provision
from rich.console import Console
from rich.progress import Progress

from benchmarks import report
from benchmarks.figures import Contestant, Row, Samples, rows
from benchmarks.plugin import Failed
from benchmarks.suites import Suite, registered
from benchmarks.workshop import ROOT, Workshop

ROUNDS = 20
BUDGET = 400.0  # seconds for the rounds of all suites together; on a slow machine there are fewer rounds
LEAST = 3  # rounds, be they ever so slow: a median of less is none


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, and return the exit status: 0 whether or not the goals are met, for no figure is a test."""
    known = registered()
    parser = argparse.ArgumentParser(description="Measures goplugin against bare grpcio and its peers.")
    parser.add_argument("--quick", action="store_true", help="one short round: does it all run?")
    parser.add_argument("--without-peers", action="store_true", help="against bare grpcio alone")
    parser.add_argument("--only", choices=known, metavar="NAME", help="one suite: " + ", ".join(known))
    parser.add_argument("--rounds", type=_positive, metavar="N", help=f"default: {ROUNDS}, within {BUDGET:.0f} s")
    parser.add_argument("--output", type=Path, default=ROOT / "build" / "bench.json", metavar="PATH")
    parser.add_argument("--page", type=Path, metavar="PATH", help="a page whose figures are to be replaced")
    chosen = parser.parse_args(arguments)
    names = [chosen.only] if chosen.only else list(known)
    suites = {name: known[name](chosen.quick, not chosen.without_peers) for name in names}
    try:
        done, contestants = measure(suites, chosen.rounds or (1 if chosen.quick else ROUNDS))
    except (Failed, provision.Missing) as failure:
        print(f"bench: {failure}; nothing was written", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("bench: interrupted; nothing was written", file=sys.stderr)
        return 130
    report.write(done, chosen.output)
    if chosen.page is not None:
        report.publish(done, chosen.page)
    report.show(done, contestants, report.console())
    return 0


def _positive(text: str) -> int:
    if (number := int(text)) < 1:
        raise ValueError(text)
    return number


def measure(suites: dict[str, Suite], rounds: int) -> tuple[list[Row], list[Contestant]]:
    """Prepare and measure all suites, round by round, and return their rows and who took part or could not."""
    samples: dict[str, list[Samples]] = {name: [] for name in suites}
    with Workshop() as workshop, Progress(console=Console(stderr=True), transient=True) as progress:
        preparing = progress.add_task("preparing", total=len(suites))
        contestants: dict[str, Sequence[Contestant]] = {}
        for name, suite in suites.items():
            contestants[name] = suite.prepare(workshop)
            progress.advance(preparing)
        measuring = progress.add_task("measuring", total=rounds)
        began = time.monotonic()
        for number in range(rounds):
            spent = time.monotonic() - began
            if number >= LEAST and spent * (number + 1) / number > BUDGET:
                break
            for name, suite in suites.items():
                order = [contestant.name for contestant in contestants[name] if contestant.missing is None]
                random.Random(number).shuffle(order)  # nobody always comes after the same one
                samples[name].append(suite.measure(order))
            progress.advance(measuring)
    done = [
        row for name, suite in suites.items() for row in rows(name, suite.comparisons, contestants[name], samples[name])
    ]
    return done, [contestant for several in contestants.values() for contestant in several]
