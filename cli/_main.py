"""The commands of `goplugin`, each a function of a module of its own."""

from importlib.metadata import version
from typing import Annotated

import typer

from ._inspect import inspect
from ._lint import lint
from ._new import new
from ._run import run

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"goplugin {version('goplugin')}")
        raise typer.Exit


@app.callback()
def goplugin(
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Write batch plugins, run pipelines of them, and look into any go-plugin plugin."""


app.command()(run)
app.command()(lint)
app.command()(new)
# What follows the first word that is no option belongs to the plugin.
app.command(context_settings={"allow_interspersed_args": False}, options_metavar="[OPTIONS] --")(inspect)
