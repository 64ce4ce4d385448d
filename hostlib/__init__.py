"""Starts, verifies, talks to and stops plugins. This is the synchronous shell; asyncio's is ``goplugin.hostlib.aio``.

What a client needs besides is in ``goplugin.handshake``: ``Handshake``, and the errors.
"""

from ..transport import Broker as Broker
from ..transport import BrokeredServer as BrokeredServer
from ..transport import TlsConfig as TlsConfig
from ._client import Client as Client
from ._client import cleanup_clients as cleanup_clients
from ._config import HasDescriptor as HasDescriptor
from ._config import Options as Options
from ._config import UnixSockets as UnixSockets
from ._guardian import guardian_available as guardian_available
from ._ladder import StopBudget as StopBudget
from ._ladder import Stopped as Stopped
from ._output import BinaryWriter as BinaryWriter
from ._output import Sink as Sink
from ._plugin import StartTimes as StartTimes
from ._reflection import MethodInfo as MethodInfo
from ._reflection import NoReflection as NoReflection
from ._reflection import ServiceInfo as ServiceInfo
from ._reflection import list_services as list_services
from ._runner import Runner as Runner
from ._secure import Hash as Hash
from ._secure import SecureConfig as SecureConfig
from ._subprocess import Subprocess as Subprocess
from ._supervised import Supervised as Supervised
from ._supervision import Event as Event
from ._supervision import GaveUp as GaveUp
from ._supervision import HealthCheck as HealthCheck
from ._supervision import Lost as Lost
from ._supervision import MayHaveRun as MayHaveRun
from ._supervision import PluginGivenUp as PluginGivenUp
from ._supervision import Ready as Ready
from ._supervision import Restart as Restart
from ._supervision import Restarting as Restarting
from ._supervision import RestartPolicy as RestartPolicy
from ._supervision import Started as Started

__all__ = [
    "Client",
    "cleanup_clients",
    "guardian_available",
    "Broker",
    "BrokeredServer",
    "Options",
    "Runner",
    "Subprocess",
    "SecureConfig",
    "Hash",
    "UnixSockets",
    "HasDescriptor",
    "TlsConfig",
    "StartTimes",
    "StopBudget",
    "Stopped",
    "Sink",
    "BinaryWriter",
    "list_services",
    "ServiceInfo",
    "MethodInfo",
    "NoReflection",
    "Supervised",
    "RestartPolicy",
    "Restart",
    "HealthCheck",
    "Event",
    "Started",
    "Ready",
    "Lost",
    "Restarting",
    "GaveUp",
    "MayHaveRun",
    "PluginGivenUp",
]
