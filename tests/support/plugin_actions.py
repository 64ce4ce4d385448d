"""What the test plugin can be told to do."""

import asyncio
import ctypes
import faulthandler
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any


def say(text: str, times: int = 1, stream: str = "stdout") -> None:
    for _ in range(times):
        print(text, file=getattr(sys, stream))


def say_twice(text: str) -> None:
    print(text)
    print(text, file=sys.stderr)


def say_and_leave(text: str, code: int) -> None:
    print(text)
    sys.exit(code)


def count(lines: int) -> None:
    for number in range(lines):
        print("line", number)


def count_and_leave(lines: int, code: int) -> None:
    count(lines)
    sys.exit(code)


def write(text: str) -> None:
    os.write(1, text.encode())


def puts(text: str) -> None:
    libc = ctypes.CDLL(None)
    libc.puts(text.encode())
    libc.fflush(None)


def child(text: str) -> None:
    subprocess.run([sys.executable, "-c", f"print({text!r})"], check=True, timeout=60)


def child_line(size: int) -> None:
    subprocess.run([sys.executable, "-c", f"print('x' * {size})"], check=True, timeout=60)


def child_holding_stdout(seconds: float) -> int:
    return subprocess.Popen(["sleep", str(seconds)]).pid


def forked(how: str) -> int:
    """Return how a forked child ended that was sent SIGTERM, or that spoke on sys.stderr."""
    pid = os.fork()
    if pid == 0:
        if how == "speaks":
            print("the child speaks", file=sys.stderr)
            os._exit(0)
        time.sleep(30)
        os._exit(1)
    if how == "terminated":
        os.kill(pid, signal.SIGTERM)
    return os.waitpid(pid, 0)[1]


def line(size: int, stream: str = "stdout") -> float:
    """Return the seconds that it took."""
    begun = time.monotonic()
    print("x" * size, file=getattr(sys, stream))
    return time.monotonic() - begun


def log(level: int, message: str, **extra: Any) -> None:
    logging.getLogger("test").log(level, message, extra=extra)


def fail_in_thread() -> None:
    thread = threading.Thread(target=fail, name="doomed")
    thread.start()
    thread.join()


def fail() -> None:
    raise ValueError("as told")


class _Unraisable:
    def __del__(self) -> None:
        raise ValueError("in __del__")


def fail_in_del() -> None:
    _Unraisable()


def crash() -> None:
    faulthandler.enable()
    os.abort()


def hang() -> None:
    threading.Event().wait()


def hang_thread() -> None:
    threading.Thread(target=hang, name="hung", daemon=False).start()


def take(seconds: float, text: str = "", said_first: str = "") -> None:
    if said_first:
        print(said_first)
    time.sleep(seconds)
    if text:
        print(text)


def pids() -> list[int]:
    return [os.getpid(), os.getppid()]


def look() -> dict[str, Any]:
    return {
        "shell": "aio" if "goplugin.pluginlib._aio" in sys.modules else "sync",
        "threads": sorted(thread.name for thread in threading.enumerate()),
        "sigint": str(signal.getsignal(signal.SIGINT)),
        "line_buffering": getattr(sys.stdout, "line_buffering", None),
        "stderr_fileno": sys.stderr.fileno(),
        "modules": sorted(sys.modules),
    }


def leave_with(code: int) -> None:
    sys.exit(code)


async def wait_for_ever() -> None:
    await asyncio.Event().wait()


ASYNC: dict[str, Callable[[], Awaitable[None]]] = {"hang": wait_for_ever}

_ACTIONS: dict[str, Callable[..., Any]] = {
    action.__name__: action
    for action in (
        say,
        say_twice,
        say_and_leave,
        count,
        count_and_leave,
        write,
        puts,
        child,
        child_line,
        child_holding_stdout,
        forked,
        line,
        log,
        fail,
        fail_in_thread,
        fail_in_del,
        crash,
        hang,
        hang_thread,
        take,
        pids,
        look,
        leave_with,
    )
}


def perform(order: str | bytes) -> Any:
    import json

    wanted: dict[str, Any] = json.loads(order)
    return _ACTIONS[wanted.pop("do")](**wanted) if wanted else None
