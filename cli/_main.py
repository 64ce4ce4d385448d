"""The commands of `goplugin`, each a function of a module of its own."""

import typer

from ._inspect import inspect
from ._run import run

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.callback()
def goplugin() -> None:
    """Run pipelines of batch plugins, and look into any go-plugin plugin."""


app.command()(run)
# What follows the first word that is no option belongs to the plugin.
app.command(context_settings={"allow_interspersed_args": False}, options_metavar="[OPTIONS] --")(inspect)
