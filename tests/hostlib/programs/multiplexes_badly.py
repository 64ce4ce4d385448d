"""Multiplexes in a way that no plugin should: multiplexes_badly.py HOW. The functions below are the ways."""

import os
import socket
import sys
from typing import Any

from bare_plugin import Plugin

HOW = sys.argv[1]


def says(field: str) -> None:
    """Serve gRPC without any yamux, and say that in the line, or the contrary."""

    class Says(Plugin):
        def listen(self) -> str:
            return super().listen().removesuffix("\n") + field + "\n"

    Says().serve()


def is_silent() -> None:
    """Accept the connection, and never say anything."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path := os.environ["PLUGIN_UNIX_SOCKET_DIR"] + "/plugin")
    listener.listen()
    os.write(1, f"1|1|unix|{path}|grpc||true\n".encode())
    kept: list[object] = []
    while True:
        kept.append(listener.accept())


def serve_well(fault: Any) -> None:
    """Serve as any plugin does, but for what the fault changes; "Do" does it where it is something to be done."""
    import grpc

    from goplugin import pluginlib
    from goplugin.handshake import Handshake
    from goplugin.transport._knocks import Door, Turns

    def cut(broker: Any, id: int) -> None:
        """Shut the connection down, and go on running."""
        own = os.environ["PLUGIN_UNIX_SOCKET_DIR"]
        for name in os.listdir("/proc/self/fd"):
            try:
                sock = socket.socket(fileno=int(name))
            except OSError:
                continue
            if sock.family == socket.AF_UNIX and str(sock.getsockname()).startswith(own):
                try:
                    sock.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass  # the one that listens
            sock.detach()

    def enter(turns: Any) -> None:
        if turns._queue:
            turns._enter(turns._queue[0])

    def intrude(broker: Any, id: int) -> None:
        """Open a stream for which the host was not asked."""
        turns: Any = Turns
        turns._begin = enter
        with broker.dial(id) as channel:
            channel.unary_unary("/test.Brokered/Ask")(b"", timeout=1)

    def flood(broker: Any, id: int) -> None:
        """Knock for what nobody serves, and for what somebody does, as fast as it goes."""
        from goplugin.transport import Knock

        for number in range(50_000):
            broker._knock(Knock(id if number % 2 else number))

    def ignore(self: Any, id: int) -> None:
        """Answer no knock."""

    def refuse(self: Any, id: int) -> None:
        """Answer every knock with an error."""
        from goplugin.transport import Knock

        self._answer(Knock(id, ack=True, error="nobody\x1b[0m is at home"))

    faults: dict[str, Any] = {"cuts": cut, "intrudes": intrude, "floods": flood, "ignores": ignore, "refuses": refuse}
    if fault in ("ignores", "refuses"):
        door: Any = Door
        door.knocked = faults[fault]

    def register(server: grpc.Server, broker: pluginlib.Broker) -> None:
        def echo(request: bytes, _: Any) -> bytes:
            return request

        def do(request: bytes, _: Any) -> bytes:
            faults[fault](broker, int(request))
            return b"done"

        make: Any = grpc.unary_unary_rpc_method_handler
        methods: Any = {"Do": make(do), "Echo": make(echo)}
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Bad", methods),))
        broker.accept_and_serve(1000, lambda server: None)

    handshake = Handshake(protocol_version=1, cookie_key="TEST_COOKIE", cookie_value="yes")
    pluginlib.serve(handshake, plugins={"bad": register})


match HOW:
    case "says-nothing":
        says("")
    case "says-false":
        says("|false")
    case "says-nonsense":
        says("|perhaps")
    case "speaks-no-yamux":
        says("|true")
    case "is-silent":
        is_silent()
    case _:
        serve_well(HOW)
