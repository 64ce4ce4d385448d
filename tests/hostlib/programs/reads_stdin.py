"""Answers with what it read on its stdin."""

import sys

from bare_plugin import Plugin

plugin, words = Plugin(), sys.stdin.buffer.read()
plugin.unary["/test.Echo/Echo"] = lambda request, _: words
plugin.serve()
