"""Waits for what another thread or process brings about."""

from collections.abc import Callable
from time import monotonic, sleep


def until(true: Callable[[], object], timeout: float = 60.0) -> None:
    """Wait until ``true`` is so; fail if it is not within ``timeout`` seconds."""
    limit = monotonic() + timeout
    while not true():
        assert monotonic() < limit, f"not so within {timeout:g} s"
        sleep(0.005)
