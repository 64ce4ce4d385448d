"""A fuzz target for what a plugin logs: any bytes become entries that harm nobody, however they were cut."""

import logging

from fuzzing import fuzz, pieces, spelled

from goplugin.hostlib._hclog import Entry, parse
from goplugin.hostlib._stderr import LINE_PIECE, TAIL_LINE_MAX, TAIL_LINES, StderrLog

WORDS = (
    b'{"@level":"info","@message":"hello"}\n', b'{"@level":"', b'"@message":', b'"@timestamp":"', b"trace", b"debug",
    b"warn", b"error", b'":', b'"', b",", b"{", b"}", b"[" * 2000, b"]", b"\n", b"\r\n", b"[WARN] ", b"[ERROR]",
    b"panic: ", b"fatal error: ", b"Traceback (most recent call last):\n", b"  File", b"  + Exception Group ",
    b"+------------------------------------", b"\\u0000", b"\\ud800", b"\xff", b"\xc3\xa9", b"\x1b]0;", b"1e999",
    b"NaN", b"9" * 5000, b"null", b"x" * (LINE_PIECE - 1), b"y" * TAIL_LINE_MAX,
)  # fmt: skip


def heard(arrivals: list[bytes]) -> tuple[list[Entry], tuple[bytes, ...]]:
    """Return the entries and the tail of a stderr that arrives like this."""
    log = StderrLog()
    entries = [entry for data in arrivals for entry in log.feed(data, 0.0)]
    tail = log.tail()
    return entries + log.end(0.0), tail


def one_input(data: bytes) -> None:
    """Read one stderr; an AssertionError, or any error at all, is a finding."""
    raw = spelled(data[4:], WORDS)
    entries, tail = heard([raw])
    for entry in entries:
        assert entry.message.replace("\t", "").isprintable()
        assert logging.NOTSET < entry.level <= logging.ERROR
    assert len(tail) <= TAIL_LINES
    assert all(len(line) <= TAIL_LINE_MAX and b"\n" not in line for line in tail)
    # By their reprs, for a pair may be NaN, which equals nothing.
    assert repr(heard(pieces(raw, data[:4]))) == repr((entries, tail))
    for line in raw.split(b"\n"):
        found = parse(line)
        assert found is None or not {"@level", "@message"} & found.fields.keys()


if __name__ == "__main__":
    fuzz(one_input)
