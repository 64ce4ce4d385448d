"""What is measured, what it is compared with, and how samples become rows. Pure: never looks at a clock."""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypedDict


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One thing that is measured of a contestant, once in every round."""

    name: str
    unit: str
    better: Literal["lower", "higher"] = "lower"


@dataclass(frozen=True, slots=True, kw_only=True)
class Contestant:
    """Somebody who is measured.

    Attributes:
        name: as rows and tables show it.
        version: of what it is made of, or empty.
        missing: why this machine cannot have it, or None.
    """

    name: str
    version: str = ""
    missing: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Two contestants, by name, and what the ratio of a figure should be: at most, or at least where more is better."""

    ours: str
    against: str
    goals: Mapping[Figure, float] = field(default_factory=dict[Figure, float])


Samples = Mapping[tuple[str, Figure], float]
"""One round: a value for a contestant's name and a figure."""


class Row(TypedDict):
    """One line of build/bench.json. What could not be measured is null, and ``note`` says why."""

    name: str
    suite: str
    figure: str
    unit: str
    better: Literal["lower", "higher"]
    subject: str
    peer: str
    peer_version: str
    ours: float | None
    against: float | None
    ratio: float | None
    quartiles: tuple[float, float] | None
    goal: float | None
    met: bool | None
    rounds: int
    note: str


def quantile(values: Iterable[float], share: float) -> float:
    """Return the value below which ``share`` of all lie, interpolated between neighbours.

    Raises:
        ValueError: there are no values, or the share is not from 0 to 1.
    """
    ordered = sorted(values)
    if not ordered or not 0 <= share <= 1:
        raise ValueError(f"no quantile {share} of {len(ordered)} values")
    place = share * (len(ordered) - 1)
    low, high = math.floor(place), math.ceil(place)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def met(ratio: float, goal: float, better: Literal["lower", "higher"]) -> bool:
    """Return whether a ratio of ours to theirs reaches the goal."""
    return ratio <= goal if better == "lower" else ratio >= goal


def rows(
    suite: str, comparisons: Sequence[Comparison], contestants: Sequence[Contestant], rounds: Sequence[Samples]
) -> list[Row]:
    """Return a row for each comparison and each figure that its other side has, or that it is missing for.

    The ratio is taken within each round, and of these ratios the median: what slows the machine for a while slows
    both sides of a round, and one bad round moves nothing.
    """
    known = {contestant.name: contestant for contestant in contestants}
    measured = dict.fromkeys(key for samples in rounds for key in samples)
    figures = list(dict.fromkeys(figure for _, figure in measured))
    return [
        _row(suite, figure, comparison, known[comparison.against], rounds)
        for comparison in comparisons
        for figure in figures
        if known[comparison.against].missing is not None or (comparison.against, figure) in measured
    ]


def _row(suite: str, figure: Figure, comparison: Comparison, peer: Contestant, rounds: Sequence[Samples]) -> Row:
    ours = [samples.get((comparison.ours, figure)) for samples in rounds]
    theirs = [samples.get((comparison.against, figure)) for samples in rounds]
    ratios = [mine / other for mine, other in zip(ours, theirs, strict=True) if mine is not None and other]
    goal = comparison.goals.get(figure)
    ratio = statistics.median(ratios) if ratios else None
    return Row(
        name=f"{figure.name}: {comparison.ours} / {comparison.against}",
        suite=suite,
        figure=figure.name,
        unit=figure.unit,
        better=figure.better,
        subject=comparison.ours,
        peer=peer.name,
        peer_version=peer.version,
        ours=_median(ours),
        against=_median(theirs),
        ratio=ratio,
        quartiles=(quantile(ratios, 0.25), quantile(ratios, 0.75)) if ratios else None,
        goal=goal,
        met=None if goal is None or ratio is None else met(ratio, goal, figure.better),
        rounds=len(ratios),
        note=f"missing: {peer.missing}" if peer.missing is not None else "",
    )


def _median(values: Iterable[float | None]) -> float | None:
    present = [value for value in values if value is not None]
    return statistics.median(present) if present else None
