"""python-plugin: asyncio on grpclib, which has servicers of its own."""
# mypy: disable-error-code="import-not-found, misc"
# pyright: basic, reportMissingImports=false

import importlib
from typing import Any

import kv_pb2
from grpclib.const import Cardinality, Handler

pyplugin: Any = importlib.import_module("pyplugin")  # to type checkers this name is a module of our tests


class Store:
    """What grpclib's protoc plugin would generate the frame of."""

    def __init__(self) -> None:
        self.values: dict[str, bytes] = {}

    async def Get(self, stream: Any) -> None:
        request = await stream.recv_message()
        await stream.send_message(kv_pb2.GetResponse(value=self.values[request.key]))

    async def Put(self, stream: Any) -> None:
        request = await stream.recv_message()
        self.values[request.key] = request.value
        await stream.send_message(kv_pb2.Empty())

    def __mapping__(self) -> dict[str, Any]:
        unary = Cardinality.UNARY_UNARY
        return {
            "/proto.KV/Get": Handler(self.Get, unary, kv_pb2.GetRequest, kv_pb2.GetResponse),
            "/proto.KV/Put": Handler(self.Put, unary, kv_pb2.PutRequest, kv_pb2.Empty),
        }


class KV(pyplugin.Plugin):
    def servicers(self, broker: Any) -> list[Store]:
        return [Store()]

    def stub(self, broker: Any, channel: Any) -> None:
        return None


HANDSHAKE = pyplugin.HandshakeConfig(protocol_version=1, magic_cookie_key="BASIC_PLUGIN", magic_cookie_value="hello")
pyplugin.serve(pyplugin.ServeConfig(handshake_config=HANDSHAKE, plugins={"kv": KV()}))
