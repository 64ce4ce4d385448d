"""Ours, with threads."""

import grpc
from kv_pb2_grpc import add_KVServicer_to_server

from benchmarks.subjects.store import Store
from goplugin import pluginlib
from goplugin.handshake import Handshake

HANDSHAKE = Handshake(protocol_version=1, cookie_key="BASIC_PLUGIN", cookie_value="hello")


def register(server: grpc.Server, broker: pluginlib.Broker) -> None:
    add_KVServicer_to_server(Store(), server)


pluginlib.serve(HANDSHAKE, plugins={"kv": register})
