"""Breaks its connections, and ends a moment later."""

import os
import socket
import threading

from bare_plugin import Plugin


def hang_up(request: bytes, context: object) -> None:
    threading.Timer(0.05, os._exit, [7]).start()
    for link in os.listdir("/proc/self/fd"):
        if os.path.exists(f"/proc/self/fd/{link}") and os.readlink(f"/proc/self/fd/{link}").startswith("socket:"):
            socket.socket(fileno=int(link)).shutdown(socket.SHUT_RDWR)


plugin = Plugin()
plugin.unary["/test.Echo/Echo"] = hang_up
plugin.serve()
