"""Writes a megabyte without a line end to stdout before it answers a call."""

import os

from bare_plugin import Plugin

plugin = Plugin()
plugin.unary["/interop.v1.Probe/Echo"] = lambda request, context: os.write(1, b"x" * 2**20) and b""
plugin.serve()
