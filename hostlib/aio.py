"""The asyncio shell of ``goplugin.hostlib``: the same client for an event loop, on ``grpc.aio``.

A plugin's stubs are made for its ``grpc.aio`` channel, so their calls are awaited. The records are those of
``goplugin.hostlib``.
"""

from ..transport.aio import Broker as Broker
from ..transport.aio import BrokeredServer as BrokeredServer
from ._aio_client import Client as Client
from ._aio_client import cleanup_clients as cleanup_clients
from ._aio_supervised import Supervised as Supervised

__all__ = ["Broker", "BrokeredServer", "Client", "Supervised", "cleanup_clients"]
