"""Batch services on top of plugins: what the author of a processor needs.

Hosts import `goplugin.batch.host`; it is a room of its own size, and a plugin should not have to load it.
"""

from ._errors import BadFile as BadFile
from ._errors import BadValue as BadValue
from ._message import Batch as Batch
from ._message import Message as Message
from ._processor import Config as Config
from ._processor import Processor as Processor
from ._processor import Result as Result
from ._processor import processor as processor
from ._serve import HANDSHAKE as HANDSHAKE
from ._serve import PROCESSOR as PROCESSOR
from ._serve import serve as serve
from ._value import Value as Value

__all__ = [
    "Message",
    "Batch",
    "Value",
    "processor",
    "serve",
    "HANDSHAKE",
    "PROCESSOR",
    "Processor",
    "Config",
    "Result",
    "BadValue",
    "BadFile",
]
