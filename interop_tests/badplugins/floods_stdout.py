"""Writes a megabyte without a line end to stdout before it answers a call."""

from typing import Any

from bare_plugin import Plugin


def flood(request: bytes, context: Any) -> bytes:
    print("x" * 2**20, end="", flush=True)
    return b""


plugin = Plugin()
plugin.unary["/interop.v1.Probe/Echo"] = flood
plugin.serve()
