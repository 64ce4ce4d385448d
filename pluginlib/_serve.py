"""The front door of the sync shell: checks the cookie before anything is imported that takes time."""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from ..handshake import RUN_BY_HAND, Handshake
from ..transport import Broker, Network
from ._options import DRAIN, WORKERS, Options, OwnTls, TestMode

if TYPE_CHECKING:
    import grpc

PluginSet = Mapping[str, Callable[["grpc.Server", Broker], object]]
"""Plugins by name; each value adds its services to the server that it is given."""


def turn_away_humans(handshake: Handshake, test: TestMode | None) -> None:
    """Explain and end the process, unless a host started it (server.go:255)."""
    if test is None and not handshake.admits(os.environ):
        sys.stderr.write(RUN_BY_HAND)
        raise SystemExit(1)


def serve(
    handshake: Handshake,
    *,
    plugins: PluginSet | None = None,
    versions: Mapping[int, PluginSet] | None = None,
    network: Network | None = None,
    tls: OwnTls | None = None,
    workers: int = WORKERS,
    server_options: Sequence[tuple[str, int | str]] = (),
    interceptors: Sequence["grpc.ServerInterceptor"] = (),
    drain: float = DRAIN,
    leave_with_host: bool = True,
    logging: bool = True,
    test: TestMode | None = None,
) -> None:
    """Serve plugins to the go-plugin host that started this process, until it is told to stop.

    Returns after Shutdown or SIGTERM, and when the host is gone; the program then goes on after the call, and should
    soon end. After Shutdown, or without a host, it has five seconds for that before its process is ended by force.
    Call it in the main thread: elsewhere SIGINT and SIGTERM keep their meaning.

    What the program prints reaches the host through GRPCStdio: descriptor 1, with `print`, C code and children, from
    this call on, and ``sys.stderr`` from the handshake on. Descriptor 2 stays the host's log; exceptions that nobody
    catches are reported there. While there is no reader, and before the handshake there can be none, the last MiB is
    kept and what was dropped is counted. Where the start fails, what was kept goes to the host's log.

    Args:
        handshake: as the host has it.
        plugins: what to serve as version ``handshake.protocol_version``: a function for each plugin that adds
            services, usually with the generated ``add_…Servicer_to_server``.
        versions: the same for several versions; the host and this list decide together which one is served.
        network: ``"unix"`` or ``"tcp"``; None for the usual one, which is ``"unix"`` except on Windows.
        tls: TLS with certificates of your own: a context for servers, a `TlsConfig`, or a function that returns either
            and is called once a host is there, as go-plugin's TLSProvider. The host must know it: AutoMTLS, which is
            served to every host that asks for it, is then off.
        workers: threads for calls; more calls at once wait.
        server_options: grpcio's, after and over `transport.SERVER_OPTIONS`.
        interceptors: grpcio's, for the services of the plugins; those that every plugin has are left alone.
        drain: seconds that running calls may take once the plugin has to stop.
        leave_with_host: stop when the process that started this one ends, or when the host's connection does without
            Shutdown. False for a plugin that outlives its host, to be found again by reattaching.
        logging: send Python's logging to the host, if the root logger has no handler; see `hclog.install`.
        test: serve inside a test process instead.

    Raises:
        SystemExit: with 1, after a message on stderr, where no host started this process, or where the host or the
            machine makes serving impossible.
        Misuse: the arguments make no sense.
    """
    options = Options(
        network=network,
        tls=tls,
        workers=workers,
        server_options=server_options,
        drain=drain,
        leave_with_host=leave_with_host,
        logging=logging,
        test=test,
    ).checked()
    turn_away_humans(handshake, test)

    from ._sync import run  # grpcio takes longer to import than everything else together

    run(handshake, plugins, versions, options, interceptors)
