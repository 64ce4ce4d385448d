"""Serves to Redpanda Connect, as its dynamic plugins do: at the path that it names, until SIGTERM after Close.

There is no line, no cookie, no TLS and no health service; what is printed or logged, Redpanda Connect logs line by line
(connect, internal/rpcplugin).
"""

import logging
import os
import sys
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from .. import pluginlib
from ..handshake import HostFault, MachineFault, Misuse, Unix, quoted
from ._component import Component

if TYPE_CHECKING:
    import grpc

    from ._service import Service

ADDRESS, VERSION = "REDPANDA_CONNECT_PLUGIN_ADDRESS", "REDPANDA_CONNECT_PLUGIN_VERSION"
_SPOKEN = "1"

LINGER = 5.0
"""Seconds after Close in which this process leaves by itself. SIGTERM follows within milliseconds, but not where Close
answered with an error: then Redpanda Connect forgets the process, which would stay as long as it does."""

ANSWER_MAX = 4 * 1024 * 1024
"""Bytes: grpc-go's own limit, which Redpanda Connect leaves as it is (connect, internal/rpcplugin/input.go). An answer
above it is dropped with all that is in it, and nobody but its log hears of that."""

_RECORD_MAX = 64 * 1024  # characters; Redpanda Connect reads no further after a line of 512 KiB, and the pipe fills up


def asked(environment: Mapping[str, str]) -> Unix:
    """Return the address that Redpanda Connect asks for.

    Raises:
        HostFault: it speaks another version, or names no Unix socket.
    """
    version = environment.get(VERSION, _SPOKEN)
    if version != _SPOKEN:
        raise HostFault(f"{VERSION} is {quoted(version)}, and this plugin speaks version {_SPOKEN}")
    given = environment.get(ADDRESS, "")
    scheme, _, path = given.partition(":")
    if scheme != "unix":
        raise HostFault(f"{ADDRESS} is {quoted(given)}, and this plugin serves at unix:PATH")
    try:
        return Unix(path.removeprefix("//"))
    except Misuse as error:
        raise HostFault(f"{ADDRESS} is {quoted(given)}: {error}") from None


def serve(component: Component, workers: int) -> None:
    """Serve ``component`` until it is told to stop.

    Raises:
        SystemExit: with 1 and a message on stderr, where Redpanda Connect or the machine makes it impossible.
    """
    _suit_logs()
    services: list[Service] = []

    def register(server: "grpc.Server", stop: Callable[[], None]) -> None:
        from ._memory import suit
        from ._services import added

        suit()
        service = added(component, server, _Lingering(stop))
        service.loses_marks = True  # it reads none in an answer (connect, internal/rpcplugin/runtimepb/convert.go)
        service.answer_max = ANSWER_MAX
        services.append(service)

    try:
        address = asked(os.environ)
        # A plugin may start programs, and none of them is to take this path for its own.
        os.environ.pop(ADDRESS)
        pluginlib.serve_at(address, register, workers=workers)
    except (HostFault, MachineFault) as fault:
        sys.stderr.write(f"the plugin cannot start: {fault}\n")
        raise SystemExit(1) from None
    for service in services:
        service.leave()  # for a host that went without Close


class _Lingering:
    """Stops the serving some time after Close, unless Init comes first."""

    def __init__(self, stop: Callable[[], None]) -> None:
        self._stop = stop
        self._timer: threading.Timer | None = None

    def __call__(self, is_open: bool) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        if not is_open:
            self._timer = threading.Timer(LINGER, self._stop)
            self._timer.daemon = True
            self._timer.start()


def _suit_logs() -> None:
    """Let each record and each printed line leave as soon as it is there."""
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(line_buffering=True)  # blocks are the default where stdout is a pipe
    root = logging.getLogger()
    if not root.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(_Clipped("%(levelname)s %(name)s: %(message)s"))
        root.addHandler(handler)
        if root.level == logging.WARNING:  # Python's default
            root.setLevel(logging.INFO)


class _Clipped(logging.Formatter):
    """Formats a record, a long one clipped."""

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        left = len(text) - _RECORD_MAX
        return text if left <= 0 else f"{text[:_RECORD_MAX]}… (+{left} characters)"
