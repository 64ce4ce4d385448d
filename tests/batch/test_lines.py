"""Lines are cut the same however the bytes arrive."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goplugin.batch._components import LINE_MAX, Lines
from goplugin.batch._lines import LineSplitter


def cut(pieces: list[bytes], lines: Lines) -> tuple[list[bytes], int | None]:
    splitter = LineSplitter(lines)
    found = [line for piece in pieces for line in splitter.feed(piece)]
    return found + splitter.end(), splitter.too_long


@pytest.mark.parametrize(
    ("data", "lines", "found"),
    [
        (b"", Lines(), []),
        (b"a\nb\n", Lines(), [b"a", b"b"]),
        (b"a\nb", Lines(), [b"a", b"b"]),
        (b"\n\na", Lines(), [b"", b"", b"a"]),
        (b"a\r\nb\r\r\nc\r", Lines(), [b"a", b"b\r", b"c"]),
        (b"a\r\n\r\n\nb", Lines(omit_empty=True), [b"a", b"b"]),
        (b"a--b-c--\r--", Lines(delimiter=b"--"), [b"a", b"b-c", b"\r"]),
        (b"a---b", Lines(delimiter=b"--"), [b"a", b"-b"]),
        (b"a" * (LINE_MAX - 1) + b"\n", Lines(), [b"a" * (LINE_MAX - 1)]),
        (b"a" * (LINE_MAX - 1), Lines(), [b"a" * (LINE_MAX - 1)]),
        (b"\xff\x00\n", Lines(), [b"\xff\x00"]),
    ],
)
def test_lines_are_cut_at_the_delimiter(data: bytes, lines: Lines, found: list[bytes]) -> None:
    assert cut([data], lines) == (found, None)


@pytest.mark.parametrize(
    ("data", "found", "number"),
    [
        (b"abcd\nabcde\nx\n", [b"abcd"], 2),
        (b"a\nb\nabcde", [b"a", b"b"], 3),
        (b"abcdefgh", [], 1),
        (b"\n\nabcdefgh\nx", [b"", b""], 3),
    ],
)
def test_a_line_that_is_too_long_is_named_and_nothing_after_it_is_given(
    data: bytes, found: list[bytes], number: int
) -> None:
    assert cut([data], Lines(max_size=5)) == (found, number)


@given(
    st.lists(st.sampled_from([b"a", b"-", b"--", b"\n", b"\r", b"xyz"]), max_size=40),
    st.sampled_from([None, b"-", b"--", b"-a-"]),
    st.integers(1, 12),
    st.booleans(),
)
def test_all_at_once_equals_byte_by_byte(
    pieces: list[bytes], delimiter: bytes | None, max_size: int, omit_empty: bool
) -> None:
    lines = Lines(delimiter=delimiter, max_size=max_size, omit_empty=omit_empty)
    data = b"".join(pieces)
    whole = cut([data], lines)
    assert cut(pieces, lines) == whole
    assert cut([data[i : i + 1] for i in range(len(data))], lines) == whole


@given(st.lists(st.binary(max_size=20).filter(lambda line: b"\n" not in line and line[-1:] != b"\r")))
def test_lines_that_were_joined_are_found_again(lines: list[bytes]) -> None:
    assert cut([b"".join(line + b"\n" for line in lines)], Lines()) == (lines, None)


def test_what_has_no_end_yet_is_pending() -> None:
    splitter = LineSplitter(Lines())
    splitter.feed(b"a\nbc")
    assert splitter.pending == 2
    assert splitter.end() == [b"bc"]
    assert splitter.pending == 0
