"""What a client needs of the process that its plugin runs in, whoever started it. Holds no behaviour."""

import signal
from typing import Protocol


class Process(Protocol):
    """A process: started by this client, by a runner of its caller's, or found again. Safe to use from any thread.

    Attributes:
        pid: its process id, or None where it has none that means something here.
        stdout, stderr: descriptors to read, non-blocking, or -1; whoever reads them closes them with ``close_pipes``.
        exit: a descriptor that is readable once it is gone. Whether grandchildren hold the pipes open does not matter
            to it.
        killed: whether it was still running when we first sent it SIGKILL.
    """

    stdout: int
    stderr: int

    @property
    def pid(self) -> int | None: ...

    @property
    def exit(self) -> int: ...

    @property
    def killed(self) -> bool: ...

    def gone(self, seconds: float = 0.0) -> bool:
        """Return whether it has ended, at the latest after ``seconds``."""
        ...

    def status(self) -> int | None:
        """Return its exit status as ``subprocess`` gives it, or None while it runs or where nobody tells us."""
        ...

    def send(self, number: signal.Signals) -> None:
        """Send it a signal, unless it has ended."""
        ...

    def diagnose(self) -> tuple[str, ...]:
        """Return what may explain that it did not come up."""
        ...

    def close_pipes(self) -> None:
        """Close our ends of stdout and stderr."""
        ...

    def end(self, seconds: float) -> None:
        """Let go of it, and kill it first where its life is ours.

        Raises:
            MachineFault: it has not ended ``seconds`` after the first SIGKILL.
        """
        ...
