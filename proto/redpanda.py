"""Redpanda Connect's batch services, package `redpanda.runtime.v1alpha1`: input, processor and output.

Holds the messages and the tables of methods; never talks to anybody.
"""

from ._generated.redpanda_runtime_v1alpha1_input_pb2 import (
    BatchInputAckRequest,
    BatchInputAckResponse,
    BatchInputCloseRequest,
    BatchInputCloseResponse,
    BatchInputConnectRequest,
    BatchInputConnectResponse,
    BatchInputInitRequest,
    BatchInputInitResponse,
    BatchInputReadRequest,
    BatchInputReadResponse,
)
from ._generated.redpanda_runtime_v1alpha1_message_pb2 import (
    NULL_VALUE,
    Error,
    ListValue,
    Message,
    MessageBatch,
    NullValue,
    StructValue,
    Value,
)
from ._generated.redpanda_runtime_v1alpha1_output_pb2 import (
    BatchOutputCloseRequest,
    BatchOutputCloseResponse,
    BatchOutputConnectRequest,
    BatchOutputConnectResponse,
    BatchOutputInitRequest,
    BatchOutputInitResponse,
    BatchOutputSendRequest,
    BatchOutputSendResponse,
    BatchPolicy,
)
from ._generated.redpanda_runtime_v1alpha1_processor_pb2 import (
    BatchProcessorCloseRequest,
    BatchProcessorCloseResponse,
    BatchProcessorInitRequest,
    BatchProcessorInitResponse,
    BatchProcessorProcessBatchRequest,
    BatchProcessorProcessBatchResponse,
)
from .rpc import Method, Service

__all__ = [
    "NULL_VALUE",
    "NullValue",
    "StructValue",
    "ListValue",
    "Value",
    "Error",
    "Message",
    "MessageBatch",
    "BatchPolicy",
    "BatchInputInitRequest",
    "BatchInputInitResponse",
    "BatchInputConnectRequest",
    "BatchInputConnectResponse",
    "BatchInputReadRequest",
    "BatchInputReadResponse",
    "BatchInputAckRequest",
    "BatchInputAckResponse",
    "BatchInputCloseRequest",
    "BatchInputCloseResponse",
    "BatchProcessorInitRequest",
    "BatchProcessorInitResponse",
    "BatchProcessorProcessBatchRequest",
    "BatchProcessorProcessBatchResponse",
    "BatchProcessorCloseRequest",
    "BatchProcessorCloseResponse",
    "BatchOutputInitRequest",
    "BatchOutputInitResponse",
    "BatchOutputConnectRequest",
    "BatchOutputConnectResponse",
    "BatchOutputSendRequest",
    "BatchOutputSendResponse",
    "BatchOutputCloseRequest",
    "BatchOutputCloseResponse",
    "INPUT_INIT",
    "INPUT_CONNECT",
    "INPUT_READ_BATCH",
    "INPUT_ACK",
    "INPUT_CLOSE",
    "PROCESSOR_INIT",
    "PROCESSOR_PROCESS_BATCH",
    "PROCESSOR_CLOSE",
    "OUTPUT_INIT",
    "OUTPUT_CONNECT",
    "OUTPUT_SEND",
    "OUTPUT_CLOSE",
    "BATCH_INPUT",
    "BATCH_PROCESSOR",
    "BATCH_OUTPUT",
]

INPUT_INIT = Method(
    path="/redpanda.runtime.v1alpha1.BatchInputService/Init",
    request=BatchInputInitRequest,
    response=BatchInputInitResponse,
)
INPUT_CONNECT = Method(
    path="/redpanda.runtime.v1alpha1.BatchInputService/Connect",
    request=BatchInputConnectRequest,
    response=BatchInputConnectResponse,
)
INPUT_READ_BATCH = Method(
    path="/redpanda.runtime.v1alpha1.BatchInputService/ReadBatch",
    request=BatchInputReadRequest,
    response=BatchInputReadResponse,
)
INPUT_ACK = Method(
    path="/redpanda.runtime.v1alpha1.BatchInputService/Ack",
    request=BatchInputAckRequest,
    response=BatchInputAckResponse,
)
INPUT_CLOSE = Method(
    path="/redpanda.runtime.v1alpha1.BatchInputService/Close",
    request=BatchInputCloseRequest,
    response=BatchInputCloseResponse,
)

PROCESSOR_INIT = Method(
    path="/redpanda.runtime.v1alpha1.BatchProcessorService/Init",
    request=BatchProcessorInitRequest,
    response=BatchProcessorInitResponse,
)
PROCESSOR_PROCESS_BATCH = Method(
    path="/redpanda.runtime.v1alpha1.BatchProcessorService/ProcessBatch",
    request=BatchProcessorProcessBatchRequest,
    response=BatchProcessorProcessBatchResponse,
)
PROCESSOR_CLOSE = Method(
    path="/redpanda.runtime.v1alpha1.BatchProcessorService/Close",
    request=BatchProcessorCloseRequest,
    response=BatchProcessorCloseResponse,
)

OUTPUT_INIT = Method(
    path="/redpanda.runtime.v1alpha1.BatchOutputService/Init",
    request=BatchOutputInitRequest,
    response=BatchOutputInitResponse,
)
OUTPUT_CONNECT = Method(
    path="/redpanda.runtime.v1alpha1.BatchOutputService/Connect",
    request=BatchOutputConnectRequest,
    response=BatchOutputConnectResponse,
)
OUTPUT_SEND = Method(
    path="/redpanda.runtime.v1alpha1.BatchOutputService/Send",
    request=BatchOutputSendRequest,
    response=BatchOutputSendResponse,
)
OUTPUT_CLOSE = Method(
    path="/redpanda.runtime.v1alpha1.BatchOutputService/Close",
    request=BatchOutputCloseRequest,
    response=BatchOutputCloseResponse,
)

BATCH_INPUT = Service(
    name="redpanda.runtime.v1alpha1.BatchInputService",
    methods=(INPUT_INIT, INPUT_CONNECT, INPUT_READ_BATCH, INPUT_ACK, INPUT_CLOSE),
)
BATCH_PROCESSOR = Service(
    name="redpanda.runtime.v1alpha1.BatchProcessorService",
    methods=(PROCESSOR_INIT, PROCESSOR_PROCESS_BATCH, PROCESSOR_CLOSE),
)
BATCH_OUTPUT = Service(
    name="redpanda.runtime.v1alpha1.BatchOutputService",
    methods=(OUTPUT_INIT, OUTPUT_CONNECT, OUTPUT_SEND, OUTPUT_CLOSE),
)
