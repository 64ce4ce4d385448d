"""The service that every subject serves: values in memory, so that a call costs what carries it and nothing else."""

from typing import Any

import kv_pb2
import kv_pb2_grpc


class Store(kv_pb2_grpc.KVServicer):
    """For servers with threads."""

    def __init__(self) -> None:
        self.values: dict[str, bytes] = {}

    def Get(self, request: kv_pb2.GetRequest, context: Any) -> Any:
        return kv_pb2.GetResponse(value=self.values[request.key])

    def Put(self, request: kv_pb2.PutRequest, context: Any) -> Any:
        self.values[request.key] = request.value
        return kv_pb2.Empty()


class AsyncStore(Store):
    """For servers on asyncio."""

    async def Get(self, request: kv_pb2.GetRequest, context: Any) -> kv_pb2.GetResponse:
        return kv_pb2.GetResponse(value=self.values[request.key])

    async def Put(self, request: kv_pb2.PutRequest, context: Any) -> kv_pb2.Empty:
        self.values[request.key] = request.value
        return kv_pb2.Empty()
