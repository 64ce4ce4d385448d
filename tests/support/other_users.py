"""Programs as another user, for tests of what keeps other processes out. Never what the program does then."""

import ctypes
import os
import subprocess
import sys
from pathlib import Path

INNER_HOP = Path(__file__).with_name("inner_hop.py")
SOMEBODY, NOBODY = 12345, 65534
PR_SET_DUMPABLE = 4


def users() -> list[tuple[int, int]]:
    """Return pairs of victim and attacker; only the superuser can play two users, and nothing stops a superuser."""
    return [(SOMEBODY, SOMEBODY), (SOMEBODY, NOBODY)] if os.getuid() == 0 else [(os.getuid(), os.getuid())]


def become(uid: int) -> None:
    """Become that user for good, as open to its other processes as the kernel would let any process be.

    What is imported afterwards must be readable by that user.
    """
    if uid != os.getuid():
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    # The kernel protects whoever changed its user id. Here it must not: only what is tested may protect.
    assert ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) == 0


def intrude(uid: int, directory: str, pid: int, *left_alone: str | Path) -> str:
    """Return what another process of that user gets out of a victim; see inner_hop.py."""
    command = [sys.executable, INNER_HOP, "attacker", str(uid), directory, str(pid), *left_alone]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=60, check=True).stdout.strip()
