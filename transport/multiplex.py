"""Multiplexing, what ``PLUGIN_MULTIPLEX_GRPC`` asks for: imported by whoever multiplexes only.

The rest of `goplugin.transport` loads neither it nor yamux.
"""

from ._multiplexer import Multiplexer as Multiplexer

__all__ = ["Multiplexer"]
