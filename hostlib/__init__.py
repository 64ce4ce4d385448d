"""Starts, verifies, talks to and stops plugins. This is the synchronous shell; asyncio's is ``goplugin.hostlib.aio``.

What a client needs besides is in ``goplugin.handshake``: ``Handshake``, and the errors.
"""

from ..transport import Broker as Broker
from ..transport import BrokeredServer as BrokeredServer
from ._client import Client as Client
from ._ladder import StopBudget as StopBudget
from ._ladder import Stopped as Stopped
from ._output import BinaryWriter as BinaryWriter
from ._output import Sink as Sink
from ._plugin import StartTimes as StartTimes
from ._reflection import MethodInfo as MethodInfo
from ._reflection import NoReflection as NoReflection
from ._reflection import ServiceInfo as ServiceInfo
from ._reflection import list_services as list_services

__all__ = [
    "Client",
    "Broker",
    "BrokeredServer",
    "StartTimes",
    "StopBudget",
    "Stopped",
    "Sink",
    "BinaryWriter",
    "list_services",
    "ServiceInfo",
    "MethodInfo",
    "NoReflection",
]
