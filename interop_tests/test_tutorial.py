"""Every file and every command of docs/tutorial.md, in its order and in one shell, with the output that it shows.

The page is read as it is: a block of code is a file if the text before it ends with its name and a colon; in a block of
the console, what follows a command is its output, where "…" stands for anything.
"""

import contextlib
import os
import re
import secrets
import shlex
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "tutorial.md").read_text()
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NAMED = re.compile(r"`([^`\s]+)`:\s*\Z")
ENDS_WITH = re.compile(r"# ends with (\d+)")
LIMIT = 100  # seconds for the whole page


@dataclass
class Step:
    """A command of the page, or one that writes a file of it, and the lines that the page shows below it."""

    command: str
    shown: list[str] = field(default_factory=list[str])

    @property
    def code(self) -> int:
        """The exit code that the page says it has."""
        said = ENDS_WITH.search(self.command)
        return int(said[1]) if said else 0


def steps() -> Iterator[Step]:
    """Everything that the page asks its reader to do."""
    last = 0
    for block in BLOCK.finditer(PAGE):
        kind, text = block.groups()
        before, last = PAGE[last : block.start()], block.end()
        if kind == "console":
            yield from commands(text)
        else:
            name = NAMED.search(before)
            assert name is not None, f"no name before this file:\n{text}"
            yield Step(f"printf %s {shlex.quote(text)} > {shlex.quote(name[1])}")


def commands(text: str) -> list[Step]:
    """The commands of a block of the console."""
    found: list[Step] = []
    for line in text.splitlines():
        if line.startswith("$ "):
            found.append(Step(line.removeprefix("$ ")))
        else:
            found[-1].shown.append(line)
    return found


def as_shown(shown: list[str], output: str) -> bool:
    """Whether ``output`` is what the page shows; a line "…" stands for any lines, and for none."""
    lines = (r"(?:.*\n)*?" if line == "…" else ".*".join(map(re.escape, line.split("…"))) + r"\n" for line in shown)
    return re.fullmatch("".join(lines), output) is not None


@pytest.fixture
def reader(program: Callable[[str], Path]) -> Iterator[dict[str, str]]:
    """The environment of a reader: an empty home, and Redpanda Connect on PATH."""
    with tempfile.TemporaryDirectory(prefix="tut-", dir="/tmp") as home:  # short: sockets lie in it
        connect = Path(home, "bin", "redpanda-connect")
        connect.parent.mkdir()
        # The engine's HTTP server would listen on every address.
        connect.write_text(f'#!/bin/sh\nshift\nexec {program("engine")} run --set http.enabled=false "$@"\n')
        connect.chmod(0o755)
        path = f"{connect.parent}:{os.environ['PATH']}"
        mine = {key: value for key, value in os.environ.items() if not key.startswith(("MAKE", "PYTEST", "MFLAGS"))}
        yield mine | {"HOME": home, "TMPDIR": home, "PATH": path, "LC_ALL": "C.UTF-8", "PYTHON": sys.executable}


def test_the_tutorial_works_as_it_is_written(reader: dict[str, str]) -> None:
    todo = list(steps())
    mark = secrets.token_hex()
    script = "".join(f"{step.command}\nprintf '{mark}%d\\n' $?\n" for step in todo)
    with open(Path(reader["HOME"], "log"), "w+") as log:
        shell = subprocess.Popen(
            ["bash", "-c", script],
            cwd=ROOT,
            env=reader,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            shell.wait(LIMIT)
        finally:
            with contextlib.suppress(ProcessLookupError):  # raised where, as it should be, nothing is left
                os.killpg(shell.pid, signal.SIGKILL)
            shell.wait()
        log.seek(0)
        parts = re.split(rf"{mark}(\d+)\n", log.read())
    assert len(parts) == 2 * len(todo) + 1, "the shell ended early"
    for step, output, code in zip(todo, parts[::2], parts[1::2], strict=False):
        assert int(code) == step.code, f"$ {step.command}\n{output}"
        if step.shown:
            assert as_shown(step.shown, output), f"$ {step.command}\n{output}\nbut the page shows\n" + "\n".join(
                step.shown
            )


def test_the_page_is_read_to_the_last_block() -> None:
    assert PAGE.count("\n```") == 2 * len(BLOCK.findall(PAGE))
    assert {"shout.py", "plugin.yaml", "all.yaml"} <= {step.command.rpartition(" ")[2] for step in steps()}


def test_what_differs_from_the_page_is_seen() -> None:
    assert as_shown(["a…", "…", "c"], "ab\nx\ny\nc\n")
    assert as_shown(["…"], "")
    assert not as_shown(["a"], "a\nb\n")
    assert not as_shown(["a…c"], "ab\n")
