"""How a plugin is served: the keyword arguments of both shells, and the test mode. Imports no grpc."""

import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple, Union

from ..handshake import Misuse, Reattach
from ..transport import Network, TlsConfig, server_arguments

if TYPE_CHECKING:
    import ssl

OwnTls = Union["ssl.SSLContext", TlsConfig, Callable[[], "ssl.SSLContext | TlsConfig"]]
"""TLS of the author's own, or a function that gives it once a host is there, as go-plugin's TLSProvider."""

WORKERS = 10
"""Handler threads: more calls at once wait. Enough for a host's usual few; each costs memory only once it is used."""

DRAIN = 1.5
"""Seconds that running calls may take after Shutdown or SIGTERM; a Go host kills after two (client.go:559)."""


class TestMode:
    """Serves inside a test process: no cookie, no line, no captured descriptor, no signal handler, no watched parent.

    Args:
        ready: called with the record by which a host finds the plugin, once it accepts.
    """

    __test__ = False  # not a test, whatever pytest makes of the name

    def __init__(self, ready: Callable[[Reattach], object]) -> None:
        self.ready = ready
        self._lock = threading.Lock()
        self._stopped = False
        self._on_stop: Callable[[], None] | None = None

    def stop(self) -> None:
        """End the serving, from any thread; before it began, it ends as soon as it begins."""
        with self._lock:
            self._stopped, on_stop = True, self._on_stop
        if on_stop is not None:
            on_stop()

    def when_stopped(self, on_stop: Callable[[], None]) -> None:
        """Call ``on_stop`` when ``stop`` is or was called. For the shells."""
        with self._lock:
            self._on_stop, stopped = on_stop, self._stopped
        if stopped:
            on_stop()


class Options(NamedTuple):
    """What `serve` takes apart from what is served.

    Raises:
        Misuse: a number makes no sense.
    """

    network: Network | None
    tls: OwnTls | None
    workers: int
    server_options: Sequence[tuple[str, int | str]]
    drain: float
    leave_with_host: bool
    logging: bool
    test: TestMode | None

    def checked(self) -> "Options":
        """Return these options if they make sense."""
        if self.workers < 1:
            raise Misuse(f"workers must be at least 1, got {self.workers}")
        if not 0 <= self.drain < float("inf"):
            raise Misuse(f"drain must be seconds from 0 on, got {self.drain}")
        return self

    @property
    def channel_arguments(self) -> list[tuple[str, int | str]]:
        """The server's options: ours, unless the author sets the same. Of a key given twice grpcio takes the first."""
        return server_arguments(self.server_options)
