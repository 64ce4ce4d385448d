"""pyvider-rpcplugin: asyncio on grpcio."""
# mypy: disable-error-code="import-not-found, misc"
# pyright: basic, reportMissingImports=false

import asyncio
from typing import Any

import grpc.aio
import kv_pb2
from kv_pb2_grpc import add_KVServicer_to_server
from pyvider.rpcplugin import RPCPluginProtocol, plugin_server

from benchmarks.subjects.store import AsyncStore


class KV(RPCPluginProtocol):
    service_name = "proto.KV"

    async def get_grpc_descriptors(self) -> tuple[Any, str]:
        return kv_pb2.DESCRIPTOR, self.service_name

    async def add_to_server(self, server: grpc.aio.Server, handler: AsyncStore) -> None:
        add_KVServicer_to_server(handler, server)

    def get_method_type(self, method_name: str) -> str:
        return "unary_unary"


async def main() -> None:
    protocol = KV()
    protocol.supported_protocol_versions = [1]
    await plugin_server(protocol=protocol, handler=AsyncStore()).serve()


asyncio.run(main())
