"""What a batch processor costs at least: a servicer by hand that changes messages where they are, or only echoes."""

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from goplugin.proto import redpanda


def init(request: redpanda.BatchProcessorInitRequest, context: Any) -> redpanda.BatchProcessorInitResponse:
    return redpanda.BatchProcessorInitResponse()


def close(request: redpanda.BatchProcessorCloseRequest, context: Any) -> redpanda.BatchProcessorCloseResponse:
    return redpanda.BatchProcessorCloseResponse()


def process(
    request: redpanda.BatchProcessorProcessBatchRequest, context: Any
) -> redpanda.BatchProcessorProcessBatchResponse:
    if IN_PLACE:
        for message in request.batch.messages:
            message.bytes = message.bytes.upper()
    return redpanda.BatchProcessorProcessBatchResponse(batches=[request.batch])


IN_PLACE = sys.argv[1] == "in-place"
answers: dict[str, Any] = {"Init": init, "ProcessBatch": process, "Close": close}
server = grpc.server(ThreadPoolExecutor(max_workers=10))
handlers: dict[str, Any] = {
    method.name: grpc.unary_unary_rpc_method_handler(answers[method.name], method.request_from, method.response_bytes)
    for method in redpanda.BATCH_PROCESSOR.methods
}
server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(redpanda.BATCH_PROCESSOR.name, handlers),))
alive = health.HealthServicer()
alive.set("plugin", health_pb2.HealthCheckResponse.SERVING)
health_pb2_grpc.add_HealthServicer_to_server(alive, server)
path = f"{os.environ['TMPDIR']}/{os.getpid()}.sock"
server.add_insecure_port(f"unix:{path}")
server.start()
print(f"1|1|unix|{path}|grpc|", flush=True)
server.wait_for_termination()
