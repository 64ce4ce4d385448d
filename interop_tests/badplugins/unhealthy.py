"""Says that it does not serve."""

from bare_plugin import Plugin

plugin = Plugin()
plugin.unary["/grpc.health.v1.Health/Check"] = lambda request, context: b"\x08\x02"
plugin.serve()
