"""A start in either of two ways, a line or a socket, as facts and times; then with real programs on both shells."""

import asyncio
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from goplugin import hostlib
from goplugin.handshake import Handshake, HandshakeRefused, Misuse, PluginLost, StartTimeout, Unix
from goplugin.hostlib import aio
from goplugin.hostlib._launch import SETTLE, Terms
from goplugin.hostlib._rendezvous import HEARD_MAX, POLL, Rendezvous

HANDSHAKE = Handshake(cookie_key="MEETING", cookie_value="x")
LINE = b"1|1|unix|/tmp/p|grpc|\n"


class Start:
    """A start at time 100 with 10 s, and whether somebody listens."""

    def __init__(self) -> None:
        self.listening = False
        terms = Terms(timeout=10.0, versions={1}, argv=["p"], pid=42, stderr=lambda: (b"last words",))
        there = Unix("/there")
        self.launch = Rendezvous(100.0, terms, address=there, version=1, listens=lambda: self.listening)

    def lost(self, now: float) -> PluginLost:
        assert self.launch.outcome(now) is None
        assert self.launch.condemned
        with pytest.raises(PluginLost) as caught:
            self.launch.outcome(now + SETTLE)
        return caught.value


def test_the_address_is_looked_at_again_and_again_until_somebody_listens() -> None:
    start = Start()
    start.launch.stdout(b"Successfully loaded\n")
    assert start.launch.outcome(100.0) is None
    assert start.launch.deadline == 100.0 + POLL
    start.listening = True
    line = start.launch.outcome(100.5)
    assert line is not None
    assert (line.address, line.version, line.protocol) == (Unix("/there"), 1, "grpc")
    assert start.launch.rest == b"Successfully loaded\n"


def test_a_handshake_line_counts_whether_or_not_somebody_listens() -> None:
    start = Start()
    start.listening = True
    start.launch.stdout(LINE + b"more")
    line = start.launch.outcome(100.0)
    assert line is not None
    assert line.address == Unix("/tmp/p")
    assert start.launch.rest == b"more"


@pytest.mark.parametrize(
    ("said", "refused"),
    [
        pytest.param(b"hello\n" * 3 + LINE, "hello", id="a line behind others, for the first of them"),
        pytest.param(b"hello\n" + LINE, "hello", id="a line behind another one, for the first"),
        pytest.param(b"2|1|unix|/tmp/p|grpc|\n", "core protocol", id="a line that cannot be accepted"),
    ],
)
def test_a_handshake_line_out_of_order_is_refused_at_once(said: bytes, refused: str) -> None:
    start = Start()
    start.launch.stdout(said)
    assert start.launch.outcome(100.0) is None
    with pytest.raises(HandshakeRefused, match=refused):
        start.launch.outcome(101.0)


@pytest.mark.parametrize(
    "said", [b"2026-01-01 12:00:00.000 | INFO     | app:main:1 - a|b\n", b"1 of 3|a|b|c|d\n", b"1|2|3\n"]
)
def test_a_log_that_only_looks_like_a_handshake_line_is_none(said: bytes) -> None:
    start = Start()
    start.launch.stdout(said)
    assert start.launch.outcome(100.0) is None
    assert not start.launch.condemned
    start.listening = True
    assert start.launch.outcome(101.0) is not None


def test_a_handshake_line_that_comes_in_pieces_counts() -> None:
    start = Start()
    for at in range(len(LINE)):
        assert start.launch.outcome(100.0) is None
        start.launch.stdout(LINE[at : at + 1])
    assert start.launch.outcome(100.0) is not None


def test_an_end_that_nobody_knows_the_status_of_is_an_end() -> None:
    start = Start()
    start.launch.stdout(b"")
    start.launch.exited(None)
    assert "exited without a handshake line" in str(start.lost(100.0))


def test_neither_in_time_is_a_timeout_that_quotes_what_was_said() -> None:
    start = Start()
    start.launch.stdout(b"hello\n")
    assert start.launch.outcome(109.995) is None
    assert start.launch.deadline == 110.0
    loss = start.lost(110.0)
    assert type(loss) is StartTimeout
    assert "ran for 10 s without a handshake line, and without listening at /there" in str(loss)
    assert loss.said == b"hello\n"


def test_an_end_without_either_has_the_exit_code_and_the_last_words() -> None:
    start = Start()
    start.launch.exited(3)
    assert start.launch.outcome(101.0) is None
    assert not start.launch.condemned
    start.launch.stdout(b"late\n")
    start.launch.stdout(b"")
    loss = start.lost(101.1)
    assert (loss.exit_code, loss.said, loss.stderr) == (3, b"late\n", (b"last words",))
    assert loss.reason.startswith("exited without a handshake line")


def test_an_end_whose_stdout_a_grandchild_holds_is_settled_soon() -> None:
    start = Start()
    start.launch.exited(3)
    assert start.launch.outcome(101.0) is None
    assert start.lost(101.0 + SETTLE).exit_code == 3


def test_what_is_printed_without_end_before_the_start_takes_no_memory_without_end() -> None:
    start = Start()
    for _ in range(5):
        start.launch.stdout(b"x" * HEARD_MAX)
    start.listening = True
    assert start.launch.outcome(101.0) is not None
    assert len(start.launch.rest) == HEARD_MAX


LISTENER = """
import os, sys, time
from concurrent.futures import ThreadPoolExecutor
import grpc
print("chatter", flush=True)
server = grpc.server(ThreadPoolExecutor(2))
server.add_insecure_port(os.environ["WHERE"])
assert os.environ["MEETING"] == "x"
server.start()
print("serving", flush=True)
server.wait_for_termination()
"""
Started = Callable[..., list[bytes]]


def sync_start(command: list[str], start_timeout: float = 30.0) -> list[bytes]:
    said: list[bytes] = []
    with hostlib.Client(
        command,
        HANDSHAKE,
        plugins={"it": lambda _: None},
        address_variable="WHERE",
        stdout=said.append,
        start_timeout=start_timeout,
    ) as client:
        client.dispense("it")
    return [b"".join(said)]


def aio_start(command: list[str], start_timeout: float = 30.0) -> list[bytes]:
    said: list[bytes] = []

    async def start() -> None:
        async with aio.Client(
            command,
            HANDSHAKE,
            plugins={"it": lambda _: None},
            address_variable="WHERE",
            stdout=said.append,
            start_timeout=start_timeout,
        ) as client:
            client.dispense("it")

    asyncio.run(start())
    return [b"".join(said)]


@pytest.fixture(params=[sync_start, aio_start], ids=["sync", "aio"])
def start(request: pytest.FixtureRequest) -> Started:
    found: Started = request.param
    return found


def test_a_program_that_listens_where_it_is_told_is_a_plugin_whatever_it_prints(start: Started) -> None:
    (said,) = start([sys.executable, "-c", LISTENER])
    assert said.startswith(b"chatter\n")
    assert os.listdir(os.environ["TMPDIR"]) == []


def test_a_program_that_ends_before_is_lost_with_its_exit_code(start: Started) -> None:
    with pytest.raises(PluginLost) as caught:
        start([sys.executable, "-c", "print('hi'); raise SystemExit(7)"])
    assert (caught.value.exit_code, caught.value.said) == (7, b"hi\n")


def test_a_socket_that_is_bound_and_never_listens_is_a_timeout(start: Started, tmp_path: Path) -> None:
    program = """
import os, socket, time
s = socket.socket(socket.AF_UNIX)
s.bind(os.environ["WHERE"].removeprefix("unix:"))
time.sleep(60)
"""
    with pytest.raises(StartTimeout):
        start([sys.executable, "-c", program], start_timeout=1.0)


@pytest.mark.parametrize("name", ["", "A=B", "A\0"])
def test_a_variable_that_cannot_be_is_refused(name: str) -> None:
    with pytest.raises(Misuse, match="address_variable"):
        hostlib.Client(["x"], HANDSHAKE, plugins={"it": lambda _: None}, address_variable=name)
