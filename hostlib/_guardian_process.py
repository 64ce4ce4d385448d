"""The guardian's own process: ends a host's plugins, and removes their sockets, once the host is gone.

Run by its path, by a Python that is isolated and without site-packages, so it imports next to nothing. Told on stdin,
a line each: ``+ PID START DIRECTORY``, the directory in hexadecimal, and ``- PID``. Never ends what the host still has.
"""

import os
import select
import signal
import sys
from time import monotonic, sleep

GRACE = 0.5  # seconds from SIGTERM to SIGKILL: a plugin of ours that watches its parent needs less to tidy up
_TICK = 0.01  # seconds between two looks at whether they have ended
_GROUP, _START = 2, 19  # fields of /proc/PID/stat, counted from the one after the name


def stat(pid: int) -> list[bytes] | None:
    """Return what the kernel says of a process, from its state on, or None where there is none."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None


def started_at(pid: int) -> int | None:
    """Return when a process started, in clock ticks since the machine did, or None where there is none."""
    found = stat(pid)
    return None if found is None else int(found[_START])


class Charges:
    """The plugins in care: each with the start of its process, for numbers are used again, and its directory."""

    def __init__(self) -> None:
        self._charges: dict[int, tuple[int, bytes]] = {}
        self._pending = b""

    def hear(self, data: bytes) -> None:
        """Take orders, however they were cut on their way."""
        *lines, self._pending = (self._pending + data).split(b"\n")
        for line in lines:
            verb, pid, *rest = line.split(b" ")
            if verb == b"+":
                self._charges[int(pid)] = int(rest[0]), bytes.fromhex(rest[1].decode())
            else:
                self._charges.pop(int(pid), None)

    def end(self) -> None:
        """End them all."""
        for number in (signal.SIGTERM, signal.SIGCONT):  # a frozen process could not act on the first
            self._send(number)
        limit = monotonic() + GRACE
        while self._send(0) and monotonic() < limit:
            sleep(_TICK)
        self._send(signal.SIGKILL)
        for _, directory in self._charges.values():
            remove(directory)

    def _send(self, number: int) -> bool:
        """Send a signal to each group; return whether there was any."""
        sent = False
        for pid, (start, _) in self._charges.items():
            # A group outlives its first process, and its number is not used again before it has ended, too.
            if started_at(pid) in (None, start):
                try:
                    os.killpg(pid, number)
                    sent = True
                except (ProcessLookupError, PermissionError):
                    pass
        return sent


def remove(directory: bytes) -> None:
    """Remove a directory with all it holds, as far as that can be done."""
    try:
        if os.path.islink(directory):  # put there by a plugin, and it may lead anywhere
            os.unlink(directory)
            return
        for entry in os.scandir(directory):
            if entry.is_dir(follow_symlinks=False):
                remove(entry.path)
            else:
                os.unlink(entry.path)
        os.rmdir(directory)
    except OSError:
        pass  # somebody else removed it, or holds it fast: nobody is left to be told


def watch(host: int, orders: int) -> Charges:
    """Take orders until the host is gone; return what it left."""
    charges = Charges()
    poll = select.poll()
    poll.register(orders, select.POLLIN)
    try:
        poll.register(os.pidfd_open(host), select.POLLIN)  # its children may hold the other end of the pipe, too
    except OSError:
        pass  # it is gone, as the next line sees, or the kernel is old, and the end of the pipe must do
    while os.getppid() == host:
        ready = [descriptor for descriptor, _ in poll.poll()]
        if ready == [orders]:
            data = os.read(orders, 65536)
            if not data:
                return charges
            charges.hear(data)
    os.set_blocking(orders, False)
    try:
        while data := os.read(orders, 65536):
            charges.hear(data)
    except BlockingIOError:
        pass
    return charges


def main() -> None:
    """Guard the plugins of the process whose number is the first argument, and tell it so by a word on stdout."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    try:
        os.write(1, b"+")
    except OSError:
        pass  # it is gone already
    watch(int(sys.argv[1]), 0).end()


if __name__ == "__main__":
    main()
