"""The floor: as little as a plugin on grpcio can be. No cookie, no versions, no output to the host, no clean-up."""

import os
from concurrent.futures import ThreadPoolExecutor

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from kv_pb2_grpc import add_KVServicer_to_server

from benchmarks.subjects.store import Store

server = grpc.server(ThreadPoolExecutor(max_workers=10))
add_KVServicer_to_server(Store(), server)
alive = health.HealthServicer()
alive.set("plugin", health_pb2.HealthCheckResponse.SERVING)
health_pb2_grpc.add_HealthServicer_to_server(alive, server)
path = f"{os.environ['TMPDIR']}/{os.getpid()}.sock"
server.add_insecure_port(f"unix:{path}")
server.start()
print(f"1|1|unix|{path}|grpc|", flush=True)
server.wait_for_termination()
