"""The `goplugin` command. Its parts need the extra `cli`; without it the command says so."""

import errno
import sys

from . import _standard

__all__ = ["main"]


def main() -> None:
    """Run the command with the arguments of this process.

    Raises:
        SystemExit: when it is over; with 1 where the extra is not installed, or what was asked for cannot be printed.
    """
    _standard.guard()
    try:
        from ._main import app
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("typer", "rich"):
            raise
        sys.stderr.write("goplugin: the command needs typer and rich: pip install 'goplugin[cli]'\n")
        raise SystemExit(1) from None
    try:
        app()
    except SystemExit as end:
        fault = _standard.lost()
        if end.code or fault is None:
            raise
        if fault.errno != errno.EPIPE:  # a reader that has read enough needs no words
            sys.stderr.write(f"error: cannot write to standard output: {fault.strerror}\n")
        raise SystemExit(1) from None
