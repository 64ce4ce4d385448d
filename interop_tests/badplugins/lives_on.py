"""Says yes to Shutdown and lives on."""

from bare_plugin import Plugin

plugin = Plugin()
plugin.unary["/plugin.GRPCController/Shutdown"] = lambda request, context: b""
plugin.serve()
