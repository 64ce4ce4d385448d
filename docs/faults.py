"""Writes docs/faults.md from docs/faults.toml and a run of the tests of faults: `python docs/faults.py`.

Takes a few minutes, unless it is given what a run has written down: `pytest --faults=FILE`, then
`python docs/faults.py FILE`.
"""

import json
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "faults.md"
WORDS = ROOT / "docs" / "faults.toml"
TEST = re.compile(r"^\| (\d+) \| \[`(\w+)`\]\(\.\./([\w/.]+)\)", re.MULTILINE)

NOTHING = "\N{EN DASH}"  # where nothing is to be said of go-plugin

HEAD = """# Fifty faults

What can go wrong between a host and a plugin, what go-plugin does then and what goplugin does. Every line of ours is
a test that starts a real program with that fault (`interop_tests/badplugins/`), or puts the machine in that state.

The second table has the tests by name. Where a line begins with a version, that release of go-plugin was put to the
same fault in the same run and was seen to do so (`interop_tests/test_differential.py`); "read" is what its source
says. This page is made by `python docs/faults.py`, and a test compares it with what the tests find out.
"""


def rows() -> dict[int, dict[str, str]]:
    """Return the words of each fault."""
    return {int(number): words for number, words in tomllib.loads(WORDS.read_text()).items()}


def complaints(record: Mapping[str, Any], *, whole: bool) -> list[str]:
    """Return what a run that went well found out otherwise than the page says; ``whole`` is one of all tests."""
    text = PAGE.read_text()
    wrong = [f"it does not say: {line.strip()}" for line in lines(record) if line not in text]
    if whole:
        wrong += [f"did not run: {name}" for name in tests_on_page() if name not in record]
        skipped = [name for name, ran in record.items() if ran["outcome"] != "passed"]
        if not wrong and not skipped and page(record) != text:
            wrong.append("it says more than the tests found out")
    return [*wrong, "run: python docs/faults.py"] if wrong else []


def lines(record: Mapping[str, Any]) -> list[str]:
    """Return the lines of the page that a run vouches for: one for each test and fault, one for each measurement."""
    tests = [test_line(row, name) for name, ran in record.items() for row in ran["rows"]]
    measured = [saw(version, did) for ran in record.values() for version, did in ran["go_plugin"].items()]
    return tests + measured


def test_line(row: int, name: str) -> str:
    """Return the line of one test of one fault."""
    file, _, test = name.partition("::")
    return f"| {row} | [`{test}`](../{file}) |\n"


def saw(version: str, did: str) -> str:
    """Return what was measured, as the table has it."""
    return f"{version}: {did}"


def tests_on_page() -> dict[str, list[int]]:
    """Return the tests that the page names, each with its faults."""
    found: dict[str, list[int]] = {}
    for row, test, file in TEST.findall(PAGE.read_text()):
        found.setdefault(f"{file}::{test}", []).append(int(row))
    return found


def page(record: Mapping[str, Any]) -> str:
    """Return the page for what a run has found out."""
    text = [HEAD, "| # | fault | go-plugin | ours |", "|---|---|---|---|"]
    tests: list[tuple[int, str]] = []
    for number, words in sorted(rows().items()):
        ran = {name: test for name, test in sorted(record.items()) if number in test["rows"]}
        measured = [saw(version, did) for test in ran.values() for version, did in test["go_plugin"].items()]
        read = [f"read: {words['go']}"] if "go" in words else []
        text.append(f"| {number} | {words['fault']} | {'<br>'.join(measured + read) or NOTHING} | {words['ours']} |")
        tests += [(number, name) for name, test in ran.items() if test["outcome"] == "passed"]
    text += ["\n## The tests\n", "| # | test |", "|---|---|"]
    return "\n".join(text) + "\n" + "".join(test_line(*test) for test in tests)


def main() -> None:
    """Write the page."""
    if len(sys.argv) > 1:
        record = Path(sys.argv[1]).read_text()
    else:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "faults.json"
            subprocess.run(
                [sys.executable, "-m", "pytest", "-q", "-m", "fault", f"--faults={file}"], cwd=ROOT, check=True
            )
            record = file.read_text()
    PAGE.write_text(page(json.loads(record)))


if __name__ == "__main__":
    main()
