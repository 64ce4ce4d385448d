"""A plugin's bytes as harmless text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goplugin.handshake import quoted


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"plain", '"plain"'),
        (b'say "hi" \\', '"say \\"hi\\" \\\\"'),
        (b"\x1b[2J\x00\n", '"\\x1b[2J\\x00\\n"'),
        ("é\u202e", '"\\xe9\\u202e"'),
        (b"\xff", '"\\\\xff"'),
        ("\udcff", '"\\udcff"'),
        (b"x" * 210, '"' + "x" * 200 + '" (+10 more)'),
    ],
)
def test_quoting_escapes_and_clips(raw: bytes | str, text: str) -> None:
    assert quoted(raw) == text


@given(st.binary() | st.text(), st.integers(0, 50))
def test_whatever_comes_what_goes_out_is_short_and_printable(raw: bytes | str, limit: int) -> None:
    text = quoted(raw, limit)
    assert text.isascii()
    assert text.isprintable()
    assert len(text) <= 10 * limit + 40
