"""Durations are read as Go reads them."""

import pytest

from goplugin.batch._duration import parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1s", 1.0), ("500ms", 0.5), ("1h2m3s", 3723.0), ("1.5h", 5400.0), (".5s", 0.5), ("1.s", 1.0), ("10us", 1e-5),
        ("10µs", 1e-5), ("10μs", 1e-5), ("10ns", 1e-8), ("0", 0.0), ("+1s", 1.0), ("+0", 0.0),
        ("", None), ("1", None), ("s", None), ("-1s", None), ("1 s", None), ("1d", None), ("1s ", None), (".s", None),
        ("1sx", None), ("x1s", None), ("1s-2s", None), ("\u0661s", None),
        ("2562047h", 9223369200.0), ("2562048h", None), ("1" + 400 * "0" + "s", None),
    ],
)  # fmt: skip
def test_a_duration_reads_as_go_reads_it(text: str, seconds: float | None) -> None:
    assert parse_duration(text) == pytest.approx(seconds)
