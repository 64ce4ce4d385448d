"""Writes megabytes to stdout, without a line end, and to stderr, before it answers the call that asks for them."""

import os

from bare_plugin import Plugin


def flood(request: bytes, context: object) -> bytes:
    for _ in range(int(request)):
        os.write(1, b"x" * 2**20)
        os.write(2, b"noise " * 10 + b"\n" * 10)
        os.write(2, b"y" * 2**20)
    return b"done"


plugin = Plugin()
plugin.unary["/test.Echo/Echo"] = flood
plugin.serve()
