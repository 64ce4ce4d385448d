"""Fixtures of the tests against foreign programs."""

import os
from collections.abc import Callable, Generator
from pathlib import Path

import provision
import pytest


@pytest.fixture(scope="session")
def program() -> Callable[[str], Path]:
    """`program(name)` is the executable of that name; see provision.NAMES."""
    return provision.program


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup() -> Generator[None, None, None]:
    yield from _skipping_what_is_missing()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None, None, None]:
    yield from _skipping_what_is_missing()


def _skipping_what_is_missing() -> Generator[None, None, None]:
    """A program that this machine cannot have skips its tests by name; in CI it fails them."""
    try:
        yield
    except provision.Missing as missing:
        if os.environ.get("CI"):
            pytest.fail(str(missing))
        pytest.skip(str(missing))
