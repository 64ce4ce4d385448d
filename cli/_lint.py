"""`goplugin lint`: shows everything that is wrong with descriptors and pipeline files."""

import glob
import os
import re
from typing import Annotated

import typer

from ..batch import host
from ._run import DEFAULT_PLUGINS

_DESCRIPTOR = re.compile(r"(^|[/.])plugin\.yaml$")


def lint(
    pipelines: Annotated[
        list[str] | None, typer.Argument(metavar="FILE...", help="Pipeline files, or plugin.yaml files.")
    ] = None,
    plugins: Annotated[
        list[str] | None,
        typer.Option(
            metavar="GLOB",
            help="Where the plugin.yaml files are, once or several times. Unless given, beside the pipeline files: "
            + ", ".join(DEFAULT_PLUGINS)
            + ".",
        ),
    ] = None,
) -> None:
    """Look for everything that is wrong with pipeline files, and with the plugin.yaml files that they may use.

    Shows a line for each fault: the file, the line, the path of keys, what is there, and what could be. Starts nothing.
    A plugin.yaml that is named is looked at, wherever it is.
    Ends with 0 when all is well, and with 2 when not.
    """
    files = pipelines or []
    beside = [glob.escape(os.path.dirname(file)) for file in files] or [""]
    defaults = [os.path.join(directory, one) for directory in dict.fromkeys(beside) for one in DEFAULT_PLUGINS]
    described = [file for file in files if _DESCRIPTOR.search(file) and os.path.exists(file)]
    patterns = [*(defaults if plugins is None else plugins), *map(glob.escape, described)]
    faults = host.lint(
        [file for file in files if file not in described], patterns, os.environ, optional=plugins is None
    )
    for fault in faults:
        typer.echo(str(fault), err=True)
    if faults:
        raise typer.Exit(2)
