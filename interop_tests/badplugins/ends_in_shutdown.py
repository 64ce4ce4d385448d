"""Takes its own answer to Shutdown with it, as a Go plugin does."""

import os

from bare_plugin import Plugin

plugin = Plugin()
plugin.unary["/plugin.GRPCController/Shutdown"] = lambda request, context: os._exit(0)
plugin.serve()
