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
