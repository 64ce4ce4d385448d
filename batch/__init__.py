"""Batch services on top of plugins: what the author of an input, a processor or an output needs.

::

    from goplugin import batch

    @batch.processor
    def shout(message: batch.Message) -> batch.Message:
        message.payload = message.payload.upper()
        return message

    if __name__ == "__main__":
        batch.serve(shout)

Hosts import `goplugin.batch.host`; it is a room of its own size, and a plugin should not have to load it.
"""

from ._agreement import check_descriptor as check_descriptor
from ._component import Config as Config
from ._errors import BackOff as BackOff
from ._errors import BadConfig as BadConfig
from ._errors import BadFile as BadFile
from ._errors import BadValue as BadValue
from ._errors import EndOfInput as EndOfInput
from ._errors import NotConnected as NotConnected
from ._input import Ack as Ack
from ._input import batch_input as batch_input
from ._input import input as input
from ._message import Batch as Batch
from ._message import Message as Message
from ._output import batch_output as batch_output
from ._output import output as output
from ._policy import BatchPolicy as BatchPolicy
from ._processor import BatchResult as BatchResult
from ._processor import Result as Result
from ._processor import batch_processor as batch_processor
from ._processor import processor as processor
from ._serve import HANDSHAKE as HANDSHAKE
from ._serve import INPUT as INPUT
from ._serve import OUTPUT as OUTPUT
from ._serve import PROCESSOR as PROCESSOR
from ._serve import serve as serve
from ._value import Value as Value

__all__ = [
    "input",
    "processor",
    "output",
    "batch_input",
    "batch_processor",
    "batch_output",
    "serve",
    "check_descriptor",
    "Message",
    "Batch",
    "Value",
    "Config",
    "Ack",
    "Result",
    "BatchResult",
    "BatchPolicy",
    "NotConnected",
    "EndOfInput",
    "BackOff",
    "BadConfig",
    "BadValue",
    "BadFile",
    "HANDSHAKE",
    "INPUT",
    "PROCESSOR",
    "OUTPUT",
]
