"""Dies in the first call, having said that it was called."""

import os

from bare_plugin import Plugin

plugin = Plugin()
plugin.unary["/interop.v1.Probe/Echo"] = lambda request, context: os.write(2, b"called\n") and os._exit(7)
plugin.serve()
