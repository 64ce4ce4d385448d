"""The floor on asyncio: as little as a plugin on grpc.aio can be."""

import asyncio
import os

import grpc.aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from kv_pb2_grpc import add_KVServicer_to_server

from benchmarks.subjects.store import AsyncStore


async def main() -> None:
    server = grpc.aio.server()
    add_KVServicer_to_server(AsyncStore(), server)
    alive = health.aio.HealthServicer()
    await alive.set("plugin", health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(alive, server)
    path = f"{os.environ['TMPDIR']}/{os.getpid()}.sock"
    server.add_insecure_port(f"unix:{path}")
    await server.start()
    print(f"1|1|unix|{path}|grpc|", flush=True)
    await server.wait_for_termination()


asyncio.run(main())
