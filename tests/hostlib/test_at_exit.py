"""A host that ends without stopping its plugins: whole host programs, and what is left of their plugins."""

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from shells import PROGRAMS, SUPPORT

BEGINNING = f"""
import asyncio, os, sys, threading
sys.path.insert(0, {SUPPORT["PYTHONPATH"]!r})
from shells import *
"""
SYNC = "client = SyncShell(program({name!r})).client; client.start(); print(client.id)\n"
THREAD = """
def start():
    client = SyncShell(program({name!r})).client
    client.start()
    print(client.id)
thread = threading.Thread(target=start)
thread.start()
"""
AIO = """
async def main():
    client = AioShell(program({name!r})).client
    await client.start()
    print(client.id)
    {then}
"""


def host(script: str, tmp_path: Path) -> tuple[list[psutil.Process], "subprocess.CompletedProcess[str]"]:
    """Run a host program that prints the numbers of its plugins."""
    file = tmp_path / "host.py"
    file.write_text(BEGINNING + script)
    done = subprocess.run([sys.executable, file], capture_output=True, text=True, timeout=100, check=False)
    return [psutil.Process(int(pid)) for pid in done.stdout.split() if psutil.pid_exists(int(pid))], done


@pytest.mark.parametrize(
    ("script", "code"),
    [
        (SYNC.format(name="bare.py"), 0),
        (SYNC.format(name="bare.py") + "raise ZeroDivisionError", 1),
        (SYNC.format(name="bare.py") + "sys.exit(3)", 3),
        (SYNC.format(name="bare.py") + "del client", 0),
        (SYNC.format(name="no_services.py"), 0),
        (THREAD.format(name="bare.py"), 0),
        (AIO.format(name="bare.py", then="") + "asyncio.run(main())", 0),
        (AIO.format(name="bare.py", then="raise ZeroDivisionError") + "asyncio.run(main())", 1),
        (AIO.format(name="ignores_sigterm.py", then="") + "asyncio.run(main())", 0),
        (AIO.format(name="has_a_child.py", then="") + "asyncio.run(main())", 0),
    ],
)
def test_a_host_that_forgets_its_plugin_takes_it_along(script: str, code: int, tmp_path: Path) -> None:
    left, done = host(script, tmp_path)
    assert left == []
    assert done.returncode == code
    assert ("ZeroDivisionError" in done.stderr) == (code == 1)
    assert "Exception ignored" not in done.stderr
    assert "atexit" not in done.stderr
    assert os.listdir(os.environ["TMPDIR"]) == []


def test_a_plugin_that_was_stopped_costs_nothing_at_the_end(tmp_path: Path) -> None:
    script = "from goplugin.hostlib import _at_exit\n" + SYNC.format(name="bare.py")
    left, done = host(script + "client.stop(); assert not _at_exit._kept", tmp_path)
    assert (left, done.returncode, done.stderr) == ([], 0, "")


def test_one_that_resists_does_not_cost_the_others_their_goodbye(tmp_path: Path) -> None:
    hint = "from goplugin.hostlib import _client\n_client._HINT = 5.0\n"  # a busy machine may take more than the usual
    one = "client = SyncShell(program({name!r}), stderr=sys.stderr.buffer).client; client.start(); print(client.id)\n"
    left, done = host(hint + one.format(name="hangs_in_shutdown.py") + one.format(name="says_goodbye.py") * 3, tmp_path)
    assert (left, done.returncode) == ([], 0)
    assert done.stderr == "goodbye\n" * 3


def test_many_plugins_that_resist_take_no_longer_than_a_few(tmp_path: Path) -> None:
    noted = "import time; print(time.monotonic(), file=sys.stderr)"
    left, done = host(SYNC.format(name="hangs_in_shutdown.py") * 8 + noted, tmp_path)
    ended = time.monotonic()
    assert (left, done.returncode) == ([], 0)
    assert len(done.stdout.split()) == 8
    assert ended - float(done.stderr) < 30, "one after the other they would take a minute"


def test_one_that_cannot_be_stopped_does_not_keep_the_others_running(tmp_path: Path) -> None:
    stuck = (
        "from goplugin.hostlib import _at_exit\n"
        "def stuck(budget=None): raise MachineFault('the kernel does not end it')\n"
        "_at_exit.keep(stuck, stuck)\n"
    )
    left, done = host(
        "from goplugin.handshake import MachineFault\n" + stuck + SYNC.format(name="no_services.py"), tmp_path
    )
    assert left == []
    assert "the kernel does not end it" in done.stderr, "nor is it kept secret"


def test_a_fork_of_the_host_does_not_stop_its_plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRPC_ENABLE_FORK_SUPPORT", "0")  # of its fork handlers a child may die before it exits
    script = SYNC.format(name="bare.py") + (
        "sys.stdout.flush()\n"
        "if os.fork() == 0:\n"
        "    sys.exit()\n"
        "assert os.wait()[1] == 0\n"
        "client.ping(LIMIT)\n"
        "print(client.stop().how, file=sys.stderr)"
    )
    left, done = host(script, tmp_path)
    assert (left, done.returncode) == ([], 0), done.stderr
    assert done.stderr.split()[-1] == "shutdown"


def test_the_programs_are_where_the_hosts_look() -> None:
    assert (PROGRAMS / "bare.py").exists()
