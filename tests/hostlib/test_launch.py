"""The start of a plugin as facts and times: no process, no clock."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goplugin.handshake import LINE_MAX, RUN_BY_HAND, HandshakeRefused, Line, PluginLost, StartTimeout
from goplugin.hostlib._launch import SETTLE, Launch, Terms

LINE = b"1|7|unix|/tmp/p|grpc|\n"


def launch(*stderr: bytes, skip: int = 0) -> Launch:
    said = stderr or (b"last words",)
    terms = Terms(timeout=10.0, versions={7}, argv=["p"], pid=42, stderr=lambda: said, skip_lines=skip)
    return Launch(100.0, terms)


def lost(start: Launch, now: float) -> PluginLost:
    with pytest.raises(PluginLost) as caught:
        start.outcome(now)
    return caught.value


def condemned(start: Launch, now: float) -> None:
    """It was decided, and what remains is to kill it and hear its last words."""
    assert start.outcome(now) is None
    assert start.condemned
    assert start.deadline == now + SETTLE


def test_a_line_in_pieces_is_a_line() -> None:
    start = launch()
    for byte in LINE[:-1]:
        start.stdout(bytes([byte]))
        assert start.outcome(101.0) is None
        assert start.deadline == 110.0
    start.stdout(LINE[-1:] + b"what comes after")
    line = start.outcome(101.0)
    assert line is not None
    assert line.version == 7
    assert start.rest == b"what comes after"
    assert not start.condemned


def test_a_line_counts_even_where_the_process_has_ended_since() -> None:
    start = launch()
    start.stdout(LINE)
    start.stdout(b"")
    start.exited(0)
    assert start.outcome(101.0) is not None


def test_a_plugin_that_says_that_no_host_started_it_is_lost_for_its_cookie() -> None:
    start = launch(*RUN_BY_HAND.encode().splitlines())
    start.exited(1)
    start.stdout(b"")
    condemned(start, 101.0)
    start.stderr_ended()
    error = lost(start, 101.1)
    assert error.notes == ("it says that no host started it: its cookie is another than that of the host's handshake",)


def test_silence_is_given_up_at_the_deadline_and_quotes_what_did_arrive() -> None:
    start = launch()
    start.stdout(b"1|7|un")
    assert start.outcome(109.9) is None
    assert not start.condemned
    condemned(start, 110.0)
    start.exited(-9)
    start.stderr_ended()
    error = lost(start, 110.1)
    assert isinstance(error, StartTimeout)
    assert (error.said, error.pid, error.argv, error.stderr) == (b"1|7|un", 42, ("p",), (b"last words",))
    assert (error.exit_code, error.signal) == (None, None), "the signal was ours"
    assert "within 10 s" in str(error)


@pytest.mark.parametrize("exit_first", [True, False])
def test_the_exit_status_is_known_whichever_of_the_two_ends_comes_first(exit_first: bool) -> None:
    start = launch()
    ends: list[Callable[[], None]] = [lambda: start.stdout(b""), lambda: start.exited(3)]
    first, second = reversed(ends) if exit_first else ends
    first()
    assert start.outcome(101.0) is None
    assert not start.condemned
    assert start.deadline == 101.0 + SETTLE
    second()
    condemned(start, 101.1)
    start.stderr_ended()
    error = lost(start, 101.1)
    assert not isinstance(error, StartTimeout)
    assert error.exit_code == 3
    assert error.reason == "exited before its handshake line was complete"


def test_an_exit_does_not_wait_for_a_grandchild_that_holds_the_pipes() -> None:
    start = launch()
    start.exited(3)
    assert start.outcome(101.0) is None
    condemned(start, 101.0 + SETTLE)
    assert lost(start, 101.0 + 2 * SETTLE).exit_code == 3


def test_an_exit_of_which_nobody_knows_the_status_is_one() -> None:
    start = launch()
    start.exited(None)
    start.stdout(b"")
    condemned(start, 101.0)
    start.stderr_ended()
    error = lost(start, 101.0)
    assert (error.reason, error.exit_code) == ("exited before its handshake line was complete", None)


def test_a_plugin_that_closes_its_stdout_and_lives_is_lost() -> None:
    start = launch()
    start.stdout(b"")
    assert start.outcome(101.0) is None
    condemned(start, 101.0 + SETTLE)
    start.exited(-9)
    start.stderr_ended()
    error = lost(start, 101.3)
    assert error.reason == "closed its stdout before its handshake line was complete"
    assert (error.exit_code, error.signal) == (None, None)


def test_a_line_must_end_in_a_line_feed() -> None:
    start = launch()
    start.stdout(LINE.rstrip())
    start.stdout(b"")
    start.exited(0)
    start.stderr_ended()
    assert lost(start, 101.0).said == LINE.rstrip()


def test_the_settling_never_passes_the_deadline() -> None:
    start = launch()
    start.stdout(b"")
    assert start.outcome(109.9) is None
    assert start.deadline == 110.0


@pytest.mark.parametrize(
    ("said", "field"),
    [
        (b"hello\n", "line"),
        (b"\n", "line"),
        (b"\xff\x00\x1b[2J\n", "line"),
        (b"x" * (LINE_MAX + 1), "line"),
        (b"2|7|unix|/tmp/p|grpc|\n", "core protocol"),
        (b"1|8|unix|/tmp/p|grpc|\n", "protocol version"),
        (b"1|7|pipe|/tmp/p|grpc|\n", "network"),
        (b"1|7|unix|/tmp/p|netrpc|\n", "protocol"),
        (b"1|7|unix|/tmp/p\n", "protocol"),
        (b"1|7|unix|/tmp/p|grpc|" + b"A" * 60 + b"\n", "server certificate"),
    ],
)
def test_a_bad_first_line_is_refused_at_once(said: bytes, field: str) -> None:
    start = launch()
    start.stdout(said)
    condemned(start, 101.0)
    start.exited(-9)
    start.stderr_ended()
    with pytest.raises(HandshakeRefused) as caught:
        start.outcome(101.0)
    assert caught.value.field == field
    assert str(caught.value).endswith('its last stderr line "last words"')
    assert 'command "p"; pid 42' in str(caught.value)
    assert ("its stdout began" in str(caught.value)) is (field != "line"), "where the line is what is bad, it is quoted"


def test_the_longest_line_that_is_allowed_is_not_too_long() -> None:
    start = launch()
    start.stdout(b"x" * LINE_MAX)
    assert start.outcome(101.0) is None
    assert not start.condemned


OTHERS = b"hello\n", b"2026-11-29 | INFO | main:1 | a message\n"


def test_as_many_lines_as_were_asked_for_may_come_before_the_line_and_are_output() -> None:
    start = launch(skip=2)
    said = b"".join(OTHERS) + LINE
    for byte in said[:-1]:
        start.stdout(bytes([byte]))
        assert start.outcome(101.0) is None
        assert not start.condemned
    start.stdout(said[-1:] + b"what comes after")
    line = start.outcome(101.0)
    assert line is not None
    assert line.version == 7
    assert start.first_line == LINE[:-1]
    assert start.rest == b"".join(OTHERS) + b"what comes after"


@pytest.mark.parametrize(
    ("said", "field"),
    [
        (b"".join(OTHERS) + b"one too many\n" + LINE, "line"),
        (b"hello\n1|8|unix|/tmp/p|grpc|\n" + LINE, "protocol version"),
        (b"1|7|pipe|/tmp/p|grpc|\n" + LINE, "network"),
        (b"x" * (LINE_MAX + 1) + b"\n" + LINE, "line"),
    ],
)
def test_what_is_one_line_too_many_or_a_wrong_handshake_line_is_refused_at_once(said: bytes, field: str) -> None:
    start = launch(skip=2)
    start.stdout(said)
    condemned(start, 101.0)
    start.exited(-9)
    start.stderr_ended()
    with pytest.raises(HandshakeRefused) as caught:
        start.outcome(101.0)
    assert caught.value.field == field


def test_lines_that_were_skipped_are_quoted_where_no_other_comes() -> None:
    start = launch(skip=2)
    start.stdout(b"hello\n1|7|un")
    condemned(start, 110.0)
    start.exited(-9)
    start.stderr_ended()
    assert lost(start, 110.1).said == b"hello\n1|7|un"


@given(
    st.binary(max_size=300) | st.lists(st.sampled_from([*OTHERS, LINE, b"1|7|un"])).map(b"".join),
    st.lists(st.integers(min_value=1, max_value=40)),
    st.integers(min_value=0, max_value=3),
)
def test_any_bytes_give_a_line_or_our_error_however_they_are_cut(said: bytes, cuts: list[int], skip: int) -> None:
    def judged(pieces: list[bytes]) -> Line | tuple[str, str]:
        start = launch(skip=skip)
        for piece in pieces:
            if piece:
                start.stdout(piece)
                if (line := start.outcome(101.0)) is not None:
                    return line
        start.stdout(b"")
        start.exited(0)
        start.stderr_ended()
        try:
            for now in (101.0, 102.0, 103.0):
                if (line := start.outcome(now)) is not None:
                    return line
        except (HandshakeRefused, PluginLost) as error:
            return type(error).__name__, getattr(error, "field", "")
        raise AssertionError("no outcome")

    pieces, rest = list[bytes](), said
    for cut in cuts:
        pieces.append(rest[:cut])
        rest = rest[cut:]
    # One thing may differ: a long line is refused before its end has come.
    assert judged([*pieces, rest]) == judged([said])


@pytest.mark.parametrize(
    ("said", "first"),
    [
        (b"1|7|un", None),
        (LINE + b"what comes after", LINE[:-1]),
        (b"hello \r\n1|7", b"hello \r"),
        (b"x" * (LINE_MAX + 5), b"x" * LINE_MAX),
    ],
)
def test_the_first_line_is_kept_as_it_came_whether_or_not_it_is_accepted(said: bytes, first: bytes | None) -> None:
    start = launch()
    start.stdout(said)
    start.outcome(101.0)
    assert start.first_line == first
