"""What a room exports is what its `__all__` says, and importing it does no work."""

import importlib
import inspect
import subprocess
import sys

import pytest

ROOMS = ["handshake", "transport", "hostlib", "pluginlib", "batch"]


@pytest.mark.parametrize("room", ROOMS)
def test_every_exported_name_exists_and_is_documented(room: str) -> None:
    module = importlib.import_module(f"goplugin.{room}")
    assert module.__doc__
    names: list[str] = module.__all__
    assert len(names) == len(set(names))
    for name in names:
        found = getattr(module, name)
        if inspect.isclass(found) or inspect.isfunction(found):
            assert found.__doc__, f"{room}.{name} has no docstring"


@pytest.mark.parametrize(
    ("room", "unloaded"),
    [
        ("handshake", ["grpc", "google.protobuf", "asyncio", "socket", "cryptography", "json"]),
        ("proto", ["grpc", "google.protobuf", "asyncio"]),
        ("transport", ["grpc", "google.protobuf", "asyncio", "cryptography", "ssl"]),
        ("pluginlib", ["grpc", "google.protobuf", "asyncio", "cryptography", "ssl", "psutil"]),
    ],
)
def test_importing_a_room_loads_nothing_heavy_and_starts_nothing(room: str, unloaded: list[str]) -> None:
    program = (
        f"import sys, threading, goplugin.{room}\n"
        f"print(*[name for name in {unloaded!r} if name in sys.modules])\n"
        "print(threading.active_count())"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "\n1\n"


WINDOWS = """
import importlib, os, pathlib, select, signal, socket, sys
import asyncio, grpc.aio, multiprocessing, psutil, ssl, subprocess, tempfile, typer  # each asks for its system
missing = {
    os: ["fchmod", "fork", "geteuid", "getuid", "killpg", "memfd_create", "pidfd_open", "set_blocking", "waitid"]
    + ["O_CLOEXEC", "O_NONBLOCK", "P_PID", "WEXITED", "WNOHANG"],
    select: ["epoll", "poll", "POLLIN"],
    signal: ["SIGHUP", "SIGKILL", "SIGSTOP", "pidfd_send_signal", "pthread_sigmask"],
    socket: ["AF_UNIX", "SO_PEERCRED"],
}
for module, names in missing.items():
    for name in names:
        delattr(module, name)
for name in ("fcntl", "grp", "pty", "pwd", "resource", "termios", "tty"):
    sys.modules[name] = None
for room in sys.argv[1:]:
    for file in sorted(pathlib.Path(importlib.import_module(f"goplugin.{room}").__file__).parent.glob("*.py")):
        if not file.stem.startswith("__") and (room, file.stem) != ("proto", "generate"):
            print(importlib.import_module(f"goplugin.{room}.{file.stem}").__name__)
"""


@pytest.mark.parametrize("room", [*ROOMS, "proto", "cli"])
def test_a_system_without_what_only_posix_has_can_import_every_module(room: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WINDOWS, room], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout
