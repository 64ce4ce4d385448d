"""Serves a plugin with asyncio: `await aio.serve(...)`, with servicers that are written with ``async def``."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from ..handshake import Handshake
from ..transport import Network
from ..transport.aio import Broker as Broker
from ..transport.aio import BrokeredServer as BrokeredServer
from ._options import DRAIN, WORKERS, Options, OwnTls, TestMode
from ._serve import turn_away_humans

if TYPE_CHECKING:
    import grpc.aio

__all__ = ["Broker", "BrokeredServer", "PluginSet", "serve"]

PluginSet = Mapping[str, Callable[["grpc.aio.Server", Broker], Awaitable[object] | object]]
"""Plugins by name; each value adds its services to the server that it is given, and is awaited if it can be."""


async def serve(
    handshake: Handshake,
    *,
    plugins: PluginSet | None = None,
    versions: Mapping[int, PluginSet] | None = None,
    network: Network | None = None,
    tls: OwnTls | None = None,
    workers: int = WORKERS,
    server_options: Sequence[tuple[str, int | str]] = (),
    interceptors: Sequence["grpc.aio.ServerInterceptor"] = (),
    drain: float = DRAIN,
    leave_with_host: bool = True,
    logging: bool = True,
    test: TestMode | None = None,
) -> None:
    """Serve plugins to the go-plugin host that started this process, until it is told to stop.

    Everything is as in `goplugin.pluginlib.serve`, but for this: ``workers`` are threads for handlers that are not
    ``async``, and a handler that blocks the event loop holds up everything, the host's Shutdown included.
    What one callback prints before it awaits again is kept up to 64 MiB.
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

    from ._aio import run  # grpcio takes longer to import than everything else together

    await run(handshake, plugins, versions, options, interceptors)
