"""Ours, on asyncio."""

import asyncio

import grpc.aio
from kv_pb2_grpc import add_KVServicer_to_server

from benchmarks.subjects.store import AsyncStore
from goplugin import pluginlib
from goplugin.handshake import Handshake
from goplugin.pluginlib import aio

HANDSHAKE = Handshake(protocol_version=1, cookie_key="BASIC_PLUGIN", cookie_value="hello")


def register(server: grpc.aio.Server, broker: pluginlib.aio.Broker) -> None:
    add_KVServicer_to_server(AsyncStore(), server)


asyncio.run(aio.serve(HANDSHAKE, plugins={"kv": register}))
