"""Announces twenty thousand connections at once, and one more in the end."""

from collections.abc import Iterator

from bare_plugin import Plugin

plugin = Plugin()


def announce(requests: object, context: object) -> Iterator[bytes]:
    for number in range(20_001):
        id = bytes([number & 0x7F | 0x80, number >> 7 & 0x7F | 0x80, number >> 14])
        yield b"\x08" + id + b"\x12\x03tcp\x1a\x05:1234"
    plugin.over.wait()


plugin.each["/plugin.GRPCBroker/StartStream"] = announce
plugin.serve()
