"""The rows as tables for people, as a file for programs and as part of a page of the documentation."""

import json
import os
import platform
from collections.abc import Sequence
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.figures import Contestant, Row

BEGIN, END = "<!-- written by run.py --page: begin -->", "<!-- written by run.py --page: end -->"
PLAIN_WIDTH = 200  # columns, where no terminal says how many it has


def write(rows: Sequence[Row], path: Path) -> None:
    """Write the rows as a JSON list, all or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".unfinished")
    unfinished.write_text(json.dumps(rows, indent=2, ensure_ascii=False) + "\n")
    os.replace(unfinished, path)


def show(rows: Sequence[Row], contestants: Sequence[Contestant], console: Console) -> None:
    """Print a table for each of ours, and who is missing."""
    for table in _tables(rows):
        console.print(_table(table))
    for contestant in contestants:
        if contestant.missing is not None:
            console.print(f"missing: {contestant.name} {contestant.version}: {contestant.missing}", markup=False)


def publish(rows: Sequence[Row], path: Path) -> None:
    """Replace the figures of a page, between BEGIN and END. Ratios alone, for no time of one machine is a claim.

    Raises:
        ValueError: the page has no such place.
    """
    before, begin, rest = path.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{path} lacks the lines {BEGIN} and {END}")
    tables = "\n\n".join(_markdown(table) for table in _tables(rows))
    where = f"Python {platform.python_version()} on {platform.system()}, {max(row['rounds'] for row in rows)} rounds."
    path.write_text(f"{before}{begin}\n{where}\n\n{tables}\n{end}{after}")


def console() -> Console:
    """Return where tables go: stdout, whose width is ours to choose where it is no terminal."""
    here = Console()
    return here if here.is_terminal else Console(width=PLAIN_WIDTH, no_color=True)


def _tables(rows: Sequence[Row]) -> list[list[Row]]:
    """The rows by suite and by who of us is measured."""
    keys = dict.fromkeys((row["suite"], row["subject"]) for row in rows)
    return [[row for row in rows if (row["suite"], row["subject"]) == key] for key in keys]


def _markdown(rows: Sequence[Row]) -> str:
    peers = _peers(rows)
    lines = [[f"{rows[0]['subject']}, ratio to", *peers.values(), "goal"], ["---", *("---:" for _ in peers), "---"]]
    for figure, cells in _by_figure(rows).items():
        name = f"{figure} ({'less' if next(iter(cells.values()))['better'] == 'lower' else 'more'} is better)"
        ratios = [_ratio(cells[peer]) if peer in cells else "" for peer in peers]
        lines.append([name, *ratios, ", ".join(filter(None, map(_goal, cells.values())))])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _peers(rows: Sequence[Row]) -> dict[str, str]:
    """The columns of a table: each peer, and what to call it."""
    return {row["peer"]: f"{row['peer']} {row['peer_version']}".strip() for row in rows}


def _by_figure(rows: Sequence[Row]) -> dict[str, dict[str, Row]]:
    """The lines of a table: by figure, the row of each peer that has it."""
    lines: dict[str, dict[str, Row]] = {}
    for row in rows:
        lines.setdefault(row["figure"], {})[row["peer"]] = row
    return lines


def _ratio(row: Row) -> str:
    if row["ratio"] is None or row["quartiles"] is None:
        return "missing" if row["note"] else "-"
    low, high = row["quartiles"]
    return f"{row['ratio']:.2f} ({low:.2f} to {high:.2f})"


def _table(rows: Sequence[Row]) -> Table:
    first = rows[0]
    peers = _peers(rows)
    rounds = max(row["rounds"] for row in rows)
    title = f"{first['suite']}: {first['subject']}, and its ratio to others; medians of {rounds} rounds"
    table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left")
    table.add_column("figure", no_wrap=True)
    table.add_column(first["subject"], justify="right", no_wrap=True)
    for peer in peers.values():
        table.add_column(peer, justify="right")
    table.add_column("goal", no_wrap=True)
    for figure, cells in _by_figure(rows).items():
        ours = next(iter(cells.values()))
        ratios = [_cell(cells[peer]) if peer in cells else "" for peer in peers]
        goals = ", ".join(filter(None, map(_goal, cells.values())))
        table.add_row(figure, _value(ours["ours"], ours["unit"]), *ratios, goals)
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
