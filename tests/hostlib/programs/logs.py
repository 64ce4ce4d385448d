"""Writes to stderr what it is sent."""

import os

from bare_plugin import Plugin

plugin = Plugin()
plugin.unary["/test.Echo/Echo"] = lambda request, context: os.write(2, request) and b""
plugin.serve()
