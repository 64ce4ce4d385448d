"""The fuzz targets, for as long as a test may take: `make fuzz` runs them for longer, guided by coverage."""

import runpy
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

FUZZ = Path(__file__).parent / "fuzz"
TARGETS = sorted(path.stem for path in FUZZ.glob("*.py"))


def test_the_targets_are_these() -> None:
    assert TARGETS == ["conn_info", "descriptor", "hclog", "line", "yamux"]


@pytest.mark.parametrize("name", TARGETS)
def test_a_target_finds_nothing(name: str) -> None:
    one_input: Callable[[bytes], object] = runpy.run_path(str(FUZZ / f"{name}.py"))["one_input"]

    @settings(max_examples=300)
    @given(st.binary(max_size=60))
    def run(data: bytes) -> None:
        one_input(data)

    run()
