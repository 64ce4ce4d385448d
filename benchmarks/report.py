"""The rows as tables for people and as a file for programs."""

import json
import os
from collections.abc import Sequence
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.figures import Contestant, Row

PLAIN_WIDTH = 200  # columns, where no terminal says how many it has


def write(rows: Sequence[Row], path: Path) -> None:
    """Write the rows as a JSON list, all or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".unfinished")
    unfinished.write_text(json.dumps(rows, indent=2, ensure_ascii=False) + "\n")
    os.replace(unfinished, path)


def show(rows: Sequence[Row], contestants: Sequence[Contestant], console: Console) -> None:
    """Print a table for each of ours, and who is missing."""
    for suite, subject in dict.fromkeys((row["suite"], row["subject"]) for row in rows):
        console.print(_table([row for row in rows if (row["suite"], row["subject"]) == (suite, subject)]))
    for contestant in contestants:
        if contestant.missing is not None:
            console.print(f"missing: {contestant.name} {contestant.version}: {contestant.missing}", markup=False)


def console() -> Console:
    """Return where tables go: stdout, whose width is ours to choose where it is no terminal."""
    here = Console()
    return here if here.is_terminal else Console(width=PLAIN_WIDTH, no_color=True)


def _table(rows: Sequence[Row]) -> Table:
    first = rows[0]
    peers = dict.fromkeys((row["peer"], row["peer_version"]) for row in rows)
    rounds = max(row["rounds"] for row in rows)
    title = f"{first['suite']}: {first['subject']}, and its ratio to others; medians of {rounds} rounds"
    table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left")
    table.add_column("figure", no_wrap=True)
    table.add_column(first["subject"], justify="right", no_wrap=True)
    for peer, version in peers:
        table.add_column(f"{peer} {version}".strip(), justify="right")
    table.add_column("goal", no_wrap=True)
    for figure in dict.fromkeys(row["figure"] for row in rows):
        cells = [row for row in rows if row["figure"] == figure]
        goals = [text for row in cells if (text := _goal(row))]
        table.add_row(figure, _value(cells[0]["ours"], cells[0]["unit"]), *map(_cell, cells), ", ".join(goals))
    return table


def _cell(row: Row) -> str:
    if row["ratio"] is None:
        return "missing" if row["note"] else "-"
    return f"{_value(row['against'])}  {row['ratio']:.2f}x"


def _value(value: float | None, unit: str = "") -> str:
    if value is None:
        return "-"
    return f"{value:.0f} {unit}".strip() if value >= 100 or value == int(value) else f"{value:.1f} {unit}"


def _goal(row: Row) -> str:
    if row["goal"] is None:
        return ""
    sign = "≤" if row["better"] == "lower" else "≥"
    return f"{sign} {row['goal']:.2f} {'met' if row['met'] else 'missed'}"
