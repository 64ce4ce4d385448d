"""Answers Shutdown never, and ignores SIGTERM."""

import signal
import time

from bare_plugin import Plugin

signal.signal(signal.SIGTERM, signal.SIG_IGN)
plugin = Plugin()
plugin.unary["/plugin.GRPCController/Shutdown"] = lambda request, context: time.sleep(60)
plugin.serve()
