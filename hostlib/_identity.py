"""Tells processes apart: when one was started, which belong together, who listens at a socket. Changes nothing."""

import errno
import os
import socket
import struct
import sys
from time import monotonic, sleep

from ..handshake import Address, Tcp, Unix

WITHIN = 2.0  # seconds; who listens on this machine accepts at once
_TICK = 0.01  # seconds between two looks at whether a queue has room

# Of /proc/PID/stat, counted from what follows the name.
_PARENT, _SESSION, _STARTED = 1, 3, 19


def started(pid: int) -> int | None:
    """Return when a process was started, to be compared and nothing else; None where there is no such process."""
    if sys.platform != "linux":
        return _created(pid)
    fields = _stat(pid)
    return None if fields is None else int(fields[_STARTED])


def belongs(pid: int, to: int) -> bool:
    """Return whether a process is ``to``, descends from it, or is in the session that it leads. Linux only."""
    seen: set[int] = set()
    while pid not in seen:
        if pid == to:
            return True
        seen.add(pid)
        fields = _stat(pid)
        if fields is None:
            return False
        if int(fields[_SESSION]) == to:
            return True
        pid = int(fields[_PARENT])
    return False


def listener(address: Address, within: float = WITHIN) -> int | None:
    """Connect to ``address`` and return the process that listens there, or None where the system does not tell.

    It tells on Linux, of Unix sockets, and of processes that this one can see.

    Raises:
        OSError: nobody listens there, or has room for a connection ``within`` that many seconds.
    """
    limit = monotonic() + within
    match address:
        case Tcp(host=host, port=port):
            socket.create_connection((host or "localhost", port), within).close()
            return None
        case Unix(path=path):
            with socket.socket(socket.AF_UNIX) as probe:
                probe.setblocking(False)
                while (code := probe.connect_ex(path)) == errno.EAGAIN and monotonic() < limit:
                    sleep(_TICK)  # somebody listens, who has many others waiting
                if code:
                    raise OSError(code, os.strerror(code))
                return peer(probe)


def peer(connection: socket.socket) -> int | None:
    """Return the process that listened where ``connection`` was made to, where the system tells, as above."""
    if sys.platform != "linux" or connection.family != socket.AF_UNIX:
        return None
    size = struct.calcsize("3i")
    pid, _, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
    return int(pid) or None  # 0 for one in a namespace that this one does not see


def _created(pid: int) -> int | None:
    import psutil

    try:
        return int(psutil.Process(pid).create_time() * 1e6)
    except psutil.Error:
        return None


def _stat(pid: int) -> list[str] | None:
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            text = file.read()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return text.rpartition(")")[2].split()  # the name, in brackets, may hold anything
