"""The `goplugin` command. Its parts need the extra `cli`; without it the command says so."""

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command with the arguments of this process.

    Raises:
        SystemExit: when it is over; with 1 where the extra is not installed.
    """
    try:
        from ._main import app
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("typer", "rich"):
            raise
        sys.stderr.write("goplugin: the command needs typer and rich: pip install 'goplugin[cli]'\n")
        raise SystemExit(1) from None
    app()
