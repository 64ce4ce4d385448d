"""The clients, both shells over one table: good plugins, and bad ones that are real programs."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from shells import SHELLS, Shell

PROGRAMS = Path(__file__).parent / "programs"
Start = Callable[..., Shell]


def program(name: str) -> list[str]:
    """Return the command that runs a program of the folder ``programs``."""
    return [sys.executable if name.endswith(".py") else "sh", str(PROGRAMS / name)]


@pytest.fixture(params=SHELLS)
def make(request: pytest.FixtureRequest) -> Iterator[Start]:
    made: list[Shell] = []

    def make(name: str, **options: Any) -> Shell:
        made.append(SHELLS[request.param](program(name), **options))
        return made[-1]

    yield make
    for shell in made:
        shell.close()


def test_a_plugin_starts_answers_and_stops(make: Start) -> None:
    shell = make("bare.py")
    shell.start()
    echo = shell.echo()
    assert shell.call(echo.echo, b"hello") == b"hello"
    assert shell.collect(echo.count, b"3") == [b"0", b"1", b"2"]
    assert shell.call(echo.join, iter([b"a", b"b"])) == b"ab"
    assert shell.collect(echo.each, iter([b"a", b"b"])) == [b"a", b"b"]
    shell.ping()
    assert not shell.client.exited
    stopped = shell.stop()
    assert (stopped.how, stopped.exit_code, stopped.signal) == ("shutdown", 0, None)
    assert shell.client.exited
