"""Knows no Shutdown and ignores SIGTERM."""

import signal

from bare_plugin import Plugin

signal.signal(signal.SIGTERM, signal.SIG_IGN)
Plugin().without("/plugin.GRPCController/Shutdown").serve()
