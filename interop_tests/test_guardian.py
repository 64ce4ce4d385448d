"""A Go plugin whose Python host is killed: it lives on, as under go-plugin's own host, unless a guardian ends it."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from leftovers import nothing_left as nothing_left
from leftovers import warm_grpc as warm_grpc
from lives import Life
from shells import SHELLS

Program = Callable[[str], Path]

HOST = """
import asyncio, signal, sys
from goplugin import hostlib
from goplugin.handshake import Handshake
from goplugin.hostlib import aio

handshake = Handshake(cookie_key="INTEROP_PLUGIN", cookie_value="hello")
kind = aio.Client if sys.argv[3] == "aio" else hostlib.Client
client = kind([sys.argv[1]], handshake, {"probe": lambda channel: channel}, guardian=sys.argv[2] == "yes")
if kind is aio.Client:
    loop = asyncio.new_event_loop()
    loop.run_until_complete(client.start())
else:
    client.start()
print(client.id, flush=True)
signal.pause()
"""


@pytest.mark.fault(40)
@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("guardian", ["yes", "no"])
def test_a_go_plugin_ends_with_a_host_that_is_killed_if_it_is_guarded(
    guardian: str, shell: str, program: Program, nothing_left: str
) -> None:
    command = [sys.executable, "-c", HOST, str(program("plugin-1.8.0")), guardian, shell]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as host:
        assert host.stdout is not None
        host.stdout.readline()
        plugin, *others = (Life(child.pid) for child in psutil.Process(host.pid).children())
        host.kill()
    try:
        assert len(others) == (guardian == "yes")
        if guardian == "yes":
            assert plugin.ended()
            assert others[0].ended()
            assert list(Path(nothing_left).iterdir()) == []
        else:
            assert not plugin.ended(0.3)
    finally:
        for life in (plugin, *others):
            life.end()
    for directory in Path(nothing_left).iterdir():
        shutil.rmtree(directory)
