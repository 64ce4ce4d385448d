"""The runner of a command on this machine: what a client without a runner does, for others to build upon."""

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from typing import IO

from ._child import Child
from ._runner import Runner


class Subprocess(Runner):
    """Runs a command as a child process in a session of its own. Subclasses prepare the ground in ``start``.

    Args:
        command: the program and its arguments.
        cwd: its working directory.
    """

    def __init__(self, command: Sequence[str | os.PathLike[str]], cwd: str | os.PathLike[str] | None = None) -> None:
        self._command = [os.fspath(word) for word in command]
        self._cwd = None if cwd is None else os.fspath(cwd)
        self._child: Child | None = None

    @property
    def name(self) -> str:
        """The program."""
        return os.path.basename(self._command[0])

    @property
    def pid(self) -> int | None:
        """Its process."""
        return self._started.pid if self._child is not None else None

    @property
    def stdout(self) -> IO[bytes]:
        """What it writes to stdout."""
        return self._started.pipes[0]

    @property
    def stderr(self) -> IO[bytes]:
        """What it writes to stderr."""
        return self._started.pipes[1]

    def start(self, environment: Mapping[str, str], socket_dir: str) -> None:  # noqa: ARG002 - for subclasses
        """Start the command."""
        self._child = Child(self._command, environment, self._cwd, subprocess.DEVNULL)

    def wait(self) -> int | None:
        """Wait until it has ended."""
        while not self._started.gone(3600.0):
            pass
        self._started.end(0.0)  # lets go of what only a wait needs
        return self._started.status()

    def terminate(self) -> None:
        """Send SIGTERM to its group."""
        self._started.send(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL to its group."""
        self._started.send(signal.SIGKILL)

    def diagnose(self) -> Sequence[str]:
        """Look at the program's file."""
        return self._started.diagnose()

    @property
    def _started(self) -> Child:
        if self._child is None:
            raise RuntimeError("the runner was not started")
        return self._child
