"""Numbers and booleans as Go's strconv reads them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goplugin.handshake import go_bool, go_int


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0),
        ("+5", 5),
        ("-5", -5),
        ("007", 7),
        ("9223372036854775807", 2**63 - 1),
        ("-9223372036854775808", -(2**63)),
    ],
)
def test_what_atoi_reads_is_read(text: str, value: int) -> None:
    assert go_int(text) == value


@pytest.mark.parametrize(
    "text",
    ["", " 1", "1 ", "1_0", "0x1", "1.0", "--1", "+", "٣", "9223372036854775808", "-9223372036854775809", "9" * 5000],
)
def test_what_atoi_refuses_is_none(text: str) -> None:
    assert go_int(text) is None


@given(st.integers(-(2**63), 2**63 - 1))
def test_every_int64_is_read(value: int) -> None:
    assert go_int(str(value)) == value


def test_parse_bool_knows_twelve_spellings() -> None:
    assert {text for text in ("1", "t", "T", "TRUE", "true", "True", "yes", "tRUE", "") if go_bool(text)} == {
        "1", "t", "T", "TRUE", "true", "True",
    }  # fmt: skip
    assert [go_bool(text) for text in ("0", "f", "F", "FALSE", "false", "False")] == [False] * 6
    assert go_bool("no") is None
