"""The messages of `redpanda` that carry batches, with the parts that few look at left unparsed: same on the wire.

`structured` is a serialized `redpanda.Value`, `metadata` a `redpanda.StructValue` and `error` a `redpanda.Error`. The
methods are those of `redpanda`, by the same paths. Holds messages and methods; never talks to anybody.
"""

from . import redpanda
from ._generated.goplugin_lazy_batches_pb2 import Batches, BatchRead, Message, MessageBatch
from .rpc import Method

__all__ = [
    "Message",
    "MessageBatch",
    "Batches",
    "BatchRead",
    "INPUT_READ_BATCH",
    "PROCESSOR_PROCESS_BATCH",
    "OUTPUT_SEND",
]

INPUT_READ_BATCH = Method(
    path=redpanda.INPUT_READ_BATCH.path,
    request=redpanda.BatchInputReadRequest,
    response=BatchRead,
)
PROCESSOR_PROCESS_BATCH = Method(
    path=redpanda.PROCESSOR_PROCESS_BATCH.path,
    request=Batches,
    response=Batches,
)
OUTPUT_SEND = Method(
    path=redpanda.OUTPUT_SEND.path,
    request=Batches,
    response=redpanda.BatchOutputSendResponse,
)
