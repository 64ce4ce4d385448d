"""What the guardian's own process does with its orders, and whom it must not end."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goplugin.hostlib import _guardian_process
from goplugin.hostlib._guardian_process import Charges, remove, started_at, watch

LIMIT = 60.0


@pytest.fixture
def sleeper() -> Iterator["subprocess.Popen[bytes]"]:
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as process:
        yield process
        process.kill()


def order(pid: int, start: int | None, directory: str = "/nowhere") -> bytes:
    return f"+ {pid} {start} {os.fsencode(directory).hex()}\n".encode()


def test_a_plugin_in_care_is_ended(sleeper: "subprocess.Popen[bytes]") -> None:
    charges = Charges()
    charges.hear(order(sleeper.pid, started_at(sleeper.pid)))
    charges.end()
    assert sleeper.wait(LIMIT) == -signal.SIGTERM


def test_a_plugin_that_was_forgotten_is_left_alone(sleeper: "subprocess.Popen[bytes]", tmp_path: Path) -> None:
    charges = Charges()
    charges.hear(order(sleeper.pid, started_at(sleeper.pid), str(tmp_path)) + f"- {sleeper.pid}\n".encode())
    charges.end()
    assert sleeper.poll() is None
    assert tmp_path.exists()


@pytest.mark.fault(44)
def test_a_process_that_has_the_number_of_an_earlier_plugin_is_left_alone(
    sleeper: "subprocess.Popen[bytes]", tmp_path: Path
) -> None:
    directory = tmp_path / "sockets"
    directory.mkdir()
    start = started_at(sleeper.pid)
    assert start is not None
    charges = Charges()
    charges.hear(order(sleeper.pid, start - 1, str(directory)))
    charges.end()
    assert sleeper.poll() is None
    assert not directory.exists()


def test_a_plugin_of_another_user_or_none_at_all_stops_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = tmp_path / "sockets"
    directory.mkdir()

    def refused(group: int, number: int) -> None:
        raise PermissionError

    charges = Charges()
    charges.hear(order(2**22 + 1, 1) + order(os.getpid(), started_at(os.getpid()), str(directory)))
    monkeypatch.setattr(os, "killpg", refused)
    charges.end()
    assert not directory.exists()


@given(st.lists(st.integers(1, 300)))
def test_orders_are_the_same_however_they_are_cut(cuts: list[int]) -> None:
    orders = order(1, 2, "/a b\n") + order(3, 4) + b"- 1\n" + order(5, 6)
    whole, cut = Charges(), Charges()
    whole.hear(orders)
    rest = orders
    for size in cuts:
        cut.hear(rest[:size])
        rest = rest[size:]
    cut.hear(rest)
    assert vars(whole) == vars(cut)


def test_a_directory_goes_with_all_it_holds_and_nothing_else(tmp_path: Path) -> None:
    directory, kept = tmp_path / "sockets", tmp_path / "kept"
    (directory / "deep" / "er").mkdir(parents=True)
    kept.mkdir()
    (kept / "file").touch()
    (directory / "link").symlink_to(kept)
    (directory / "deep" / "linked").symlink_to(kept)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(directory / "s"))
    remove(os.fsencode(directory))
    assert not directory.exists()
    assert (kept / "file").exists()
    remove(os.fsencode(directory))
    directory.symlink_to(kept)  # as a plugin may that is up to no good
    remove(os.fsencode(directory))
    assert list(tmp_path.iterdir()) == [kept]
    assert (kept / "file").exists()


def test_a_host_that_is_gone_before_it_is_watched_is_noticed(sleeper: "subprocess.Popen[bytes]") -> None:
    read, write = os.pipe()
    try:
        os.write(write, order(sleeper.pid, started_at(sleeper.pid)))
        # A number that was never our parent's; the pipe is still open.
        watch(2**22 + 1, read).end()
    finally:
        os.close(read)
        os.close(write)
    assert sleeper.wait(LIMIT) == -signal.SIGTERM


def test_the_process_imports_next_to_nothing_and_ignores_the_terminal() -> None:
    path = _guardian_process.__file__
    program = (
        f"import sys; sys.argv[1:] = ['1']; exec(compile(open({path!r}).read(), 'guardian', 'exec'))\n"
        "print(signal.getsignal(signal.SIGINT).name, sys.modules.keys() & {'typing', 're', 'subprocess', 'goplugin'})"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=True,
    )
    assert done.stdout == "+SIG_IGN set()\n"
