"""What the author of a plugin raises becomes the error of an answer, which is never empty."""

import math
from datetime import timedelta

import pytest

from goplugin.batch import BackOff, BadValue, EndOfInput, NotConnected
from goplugin.batch._errors import BACKOFF_MAX
from goplugin.batch._failures import read_error, write_error
from goplugin.handshake import Misuse
from goplugin.proto import redpanda as rp


class Mute(Exception):
    def __str__(self) -> str:
        raise ValueError


@pytest.mark.parametrize(
    ("error", "wire"),
    [
        (NotConnected(), rp.Error(message="not connected", not_connected=rp.Error.NotConnected())),
        (NotConnected(""), rp.Error(message="NotConnected", not_connected=rp.Error.NotConnected())),
        (EndOfInput("done"), rp.Error(message="done", end_of_input=rp.Error.EndOfInput())),
        (BadValue(got="x", want="y"), rp.Error(message="the value: got x, want y")),
        (Misuse("no"), rp.Error(message="no")),
        (ValueError("bad"), rp.Error(message="ValueError: bad")),
        (KeyError(), rp.Error(message="KeyError")),
        (Mute(), rp.Error(message="Mute")),
        (ValueError("\udcff"), rp.Error(message="ValueError: \\udcff")),
    ],
)
def test_an_error_is_its_text_and_its_kind(error: Exception, wire: rp.Error) -> None:
    written = rp.Error()
    write_error(written, error)
    assert written == wire


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (rp.Error(), ""),
        (rp.Error(message="bad"), "bad"),
        (rp.Error(message="gone", not_connected=rp.Error.NotConnected()), "gone"),
        (rp.Error(not_connected=rp.Error.NotConnected()), "not_connected"),
        (rp.Error(end_of_input=rp.Error.EndOfInput()), "end_of_input"),
        (rp.Error(backoff=timedelta(seconds=1)), "backoff"),
    ],
)
def test_a_detail_is_an_error_without_a_text_too(error: rp.Error, text: str) -> None:
    assert read_error(error) == text


@pytest.mark.parametrize("seconds", [0, 0.5, BACKOFF_MAX])
def test_backing_off_carries_its_seconds(seconds: float) -> None:
    written = rp.Error()
    write_error(written, BackOff(seconds))
    assert written.message == f"try again in {seconds:g} s"
    assert written.backoff.ToTimedelta().total_seconds() == seconds


@pytest.mark.parametrize("seconds", [-1, math.nan, math.inf, BACKOFF_MAX + 1])
def test_nobody_backs_off_for_a_time_that_makes_no_sense(seconds: float) -> None:
    with pytest.raises(Misuse):
        BackOff(seconds)
