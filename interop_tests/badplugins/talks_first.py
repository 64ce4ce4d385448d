"""Prints two lines before its handshake line."""

from bare_plugin import Plugin

print("hello\n2026-11-29 | INFO | warming up", flush=True)
Plugin().serve()
