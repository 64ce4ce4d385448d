"""Starts, verifies, talks to and stops plugins. This is the synchronous shell; asyncio's is ``goplugin.hostlib.aio``.

What a client needs besides is in ``goplugin.handshake``: ``Handshake``, and the errors.
"""

from ._client import Client as Client
from ._client import StartTimes as StartTimes
from ._ladder import StopBudget as StopBudget
from ._ladder import Stopped as Stopped
from ._output import BinaryWriter as BinaryWriter
from ._output import Sink as Sink

__all__ = ["Client", "StartTimes", "StopBudget", "Stopped", "BinaryWriter", "Sink"]
