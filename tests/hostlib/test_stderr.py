"""The bytes of stderr, and the log that they make."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goplugin.hostlib._hclog import DEBUG, ERROR, INFO, WARNING, Entry
from goplugin.hostlib._stderr import LINE_PIECE, LINES_PER_SECOND, TAIL_LINE_MAX, TAIL_LINES, StderrLog, Window


def entries(data: bytes, now: float = 0.0) -> list[Entry]:
    log = StderrLog()
    return log.feed(data, now) + log.end(now)


def levels(data: bytes) -> list[int]:
    return [entry.level for entry in entries(data)]


def test_plain_lines_are_debug_and_keep_their_text() -> None:
    assert entries(b"one\r\ntwo\n\nthree") == [Entry(DEBUG, "one"), Entry(DEBUG, "two"), Entry(DEBUG, "three")]


def test_a_prefix_raises_a_line_and_stays_in_it() -> None:
    assert entries(b"[WARN] careful\n") == [Entry(WARNING, "[WARN] careful")]


def test_an_hclog_line_is_read() -> None:
    assert entries(b'{"@level":"info","@message":"up","port":7}\n') == [Entry(INFO, "up", {"port": 7})]


@pytest.mark.parametrize("opening", [b"panic: boom", b"fatal error: all asleep", b"Fatal Python error: Aborted"])
def test_a_dying_program_is_an_error_to_its_end_but_for_what_is_tagged(opening: bytes) -> None:
    data = b"before\n" + opening + b"\n\ngoroutine 1 [running]:\n[INFO] still here\nmain.main()\n"
    assert levels(data) == [DEBUG, ERROR, ERROR, INFO, ERROR]


def test_a_python_traceback_is_an_error_and_ends() -> None:
    data = (
        b"Traceback (most recent call last):\n"
        b'  File "p.py", line 1, in <module>\n'
        b"    boom()\n"
        b"    ^^^^^^\n"
        b"ValueError: boom\n"
        b"\n"
        b"During handling of the above exception, another exception occurred:\n"
        b"\n"
        b"Traceback (most recent call last):\n"
        b'  File "p.py", line 2, in <module>\n'
        b"KeyError: 'x'\n"
        b"going on\n"
    )
    assert levels(data) == [ERROR] * 9 + [DEBUG]


def test_a_traceback_in_a_thread_and_one_of_a_group_are_errors_too() -> None:
    thread = b"Exception in thread Thread-1 (f):\nTraceback (most recent call last):\n  x\nOSError\nok\n"
    assert levels(thread) == [ERROR] * 4 + [DEBUG]
    group = (
        b"  + Exception Group Traceback (most recent call last):\n"
        b'  |   File "p.py", line 1\n'
        b"  | ExceptionGroup: two (2 sub-exceptions)\n"
        b"  +-+---------------- 1 ----------------\n"
        b"    | ValueError\n"
        b"    +------------------------------------\n"
        b"ok\n"
    )
    assert levels(group) == [ERROR] * 6 + [DEBUG]


def test_a_long_line_comes_in_pieces_at_debug_with_nothing_missing() -> None:
    raw = b'{"@level":"error","@message":"' + b"x" * LINE_PIECE + b'"}'
    found = entries(raw + b"\nnext\n")
    assert [entry.level for entry in found] == [DEBUG, DEBUG, DEBUG]
    assert "".join(entry.message for entry in found) == (raw + b"next").decode()
    assert len(found[0].message) == LINE_PIECE


def test_a_line_of_just_the_limit_is_still_a_line() -> None:
    message = "x" * (LINE_PIECE - len('{"@level":"info","@message":""}'))
    raw = f'{{"@level":"info","@message":"{message}"}}\n'.encode()
    assert len(raw) == LINE_PIECE + 1
    assert entries(raw) == [Entry(INFO, message)]


def test_the_tail_keeps_the_last_lines_clipped_and_the_one_that_has_not_ended() -> None:
    log = StderrLog()
    log.feed(b"".join(b"%d\n" % n for n in range(100)) + b"y" * 5000 + b"\nunfinished", 0.0)
    tail = log.tail()
    assert len(tail) == TAIL_LINES
    assert tail[-3:] == (b"99", b"y" * TAIL_LINE_MAX, b"unfinished")
    log.end(0.0)
    assert log.tail() == tail, "the end of the stream makes it a line like the others"


def test_a_line_without_an_end_takes_one_place_in_the_tail_and_no_memory() -> None:
    log = StderrLog()
    for _ in range(64):
        log.feed(b"z" * LINE_PIECE, 0.0)
    assert log.tail() == (b"z" * TAIL_LINE_MAX,)
    assert len(log._pending) <= LINE_PIECE  # pyright: ignore[reportPrivateUsage]


@pytest.mark.fault(13, 49)
def test_a_flood_is_counted_not_logged_and_never_hides_an_error() -> None:
    log = StderrLog()
    flood = b"noise\n" * (LINES_PER_SECOND + 500)
    assert len(log.feed(flood, 10.0)) == LINES_PER_SECOND
    assert log.feed(b"[ERROR] but this\n", 10.5) == [Entry(ERROR, "[ERROR] but this")]
    note, after = log.feed(b"after\n", 11.0)
    assert note.level == WARNING
    assert note.message.startswith("500 lines are left out")
    assert after == Entry(DEBUG, "after")
    assert log.tail()[-3:] == (b"noise", b"[ERROR] but this", b"after")


def test_what_a_flood_held_back_is_told_at_the_end() -> None:
    log = StderrLog()
    log.feed(b"noise\n" * (LINES_PER_SECOND + 1), 10.0)
    (note,) = log.end(10.0)
    assert note.message.startswith("1 lines are left out")


def test_what_the_logger_would_drop_does_not_count_towards_the_limit() -> None:
    log = StderrLog()
    assert log.feed(b"noise\n" * 10 * LINES_PER_SECOND, 10.0, threshold=INFO) == []
    assert log.feed(b"[INFO] heard\n", 10.0, threshold=INFO) == [Entry(INFO, "[INFO] heard")]


def test_a_window_admits_its_limit_every_second() -> None:
    window = Window(2)
    assert [window.admits(t) for t in (0.0, 0.5, 0.9, 1.0, 1.5, 1.6)] == [True, True, False, True, True, False]
    assert window.refused() == 2
    assert window.refused() == 0


PARTS = {
    "letter": b"a",
    "return": b"\r",
    "end": b"\n",
    "tagged": b"[WARN] w\n",
    "panic": b"panic: p",
    "traceback": b"Traceback (most recent call last):\n",
    "indented": b"  in\n",
    "hclog": b'{"@level":"info"}\n',
    "no UTF-8": b"\xff",
    "nearly a piece": b"x" * (LINE_PIECE - 1),
    "a few": b"x" * 3,
}


@given(
    st.lists(st.sampled_from(sorted(PARTS)), max_size=12),
    st.sampled_from([3, 100, LINE_PIECE - 1, LINE_PIECE, LINE_PIECE + 1]),
)
def test_the_same_bytes_make_the_same_log_however_they_are_cut(parts: list[str], size: int) -> None:
    data = b"".join(PARTS[part] for part in parts)
    whole, cut = StderrLog(), StderrLog()
    expected = whole.feed(data, 0.0)
    found = [entry for at in range(0, len(data), size) for entry in cut.feed(data[at : at + size], 0.0)]
    assert cut.tail() == whole.tail()
    assert found + cut.end(0.0) == expected + whole.end(0.0)


def test_byte_by_byte_is_as_good_as_all_at_once() -> None:
    data = b'{"@level":"warn","@message":"w"}\n[ERROR] e\r\npanic: x\n\xc3\xa9\nlast'
    log = StderrLog()
    found = [entry for at in range(len(data)) for entry in log.feed(data[at : at + 1], 0.0)]
    assert found + log.end(0.0) == entries(data)


def test_the_tail_has_what_was_logged_as_people_read_it() -> None:
    log = StderrLog()
    line = {"@level": "error", "@message": "no \x1b room", "@timestamp": "now", "free": 7, "disk": "/var"}
    log.feed(json.dumps(line).encode() + b"\n", 0.0)
    log.feed(json.dumps({"@level": "warn", "@message": "oh", "@exception": "Traceback:\n  here"}).encode() + b"\n", 0.0)
    log.feed(b"plain\n", 0.0)
    assert log.tail() == (rb"error: no \x1b room free=7 disk=/var", b"warn: oh", b"Traceback:", b"  here", b"plain")
