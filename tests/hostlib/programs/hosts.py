"""A host, not a plugin: starts the programs that its arguments name, tells their numbers, and waits to be killed."""

import asyncio
import os
import signal
import subprocess
import sys
from typing import Any

from shells import HANDSHAKE, SUPPORT, Echo, program

from goplugin import hostlib
from goplugin.hostlib import aio

shell, guardian, *names = sys.argv[1:]
kind: Any = hostlib if shell == "sync" else aio
plugins = {"echo": Echo}
clients = [kind.Client(program(name), HANDSHAKE, plugins, env=SUPPORT, guardian=guardian == "yes") for name in names]


def tell() -> None:
    """A child that inherits all that the host has open must not keep the guardian from noticing."""
    for name in os.listdir("/proc/self/fd"):
        try:
            os.set_inheritable(int(name), True)
        except OSError:
            pass  # that of the listing itself
    heir = subprocess.Popen(["sleep", "60"], close_fds=False, start_new_session=True)
    print(heir.pid, *(client.id for client in clients), flush=True)


async def run() -> None:
    for client in clients:
        await client.start()
    tell()
    await asyncio.sleep(60)


if shell == "aio":
    asyncio.run(run())
for client in clients:
    client.start()
tell()
signal.pause()
