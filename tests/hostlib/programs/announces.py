"""Tells the broker of a connection, after one that makes no sense."""

from bare_plugin import Plugin

plugin = Plugin()
wrong, right = b"\x08\x01\x12\x04pipe\x1a\x01x", b"\x08\x02\x12\x03tcp\x1a\x05:1234"
plugin.each["/plugin.GRPCBroker/StartStream"] = lambda requests, context: iter([wrong, right])
plugin.serve()
