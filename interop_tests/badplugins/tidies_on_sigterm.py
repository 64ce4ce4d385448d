"""Knows no Shutdown; tidies up when it gets SIGTERM, and says so."""

import os
import signal

from bare_plugin import Plugin

signal.signal(signal.SIGTERM, lambda number, frame: os.write(2, b"tidied\n") and os._exit(0))
Plugin().without("/plugin.GRPCController/Shutdown").serve()
