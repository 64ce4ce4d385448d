"""The floor under TLS: grpcio's own, with a certificate that nobody checks and no question for the client's.

It is what a plugin on grpcio can offer a Go host, whose certificate grpcio refuses.
"""

import datetime
import os
from concurrent.futures import ThreadPoolExecutor

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from kv_pb2_grpc import add_KVServicer_to_server

from benchmarks.subjects.store import Store

key = ec.generate_private_key(ec.SECP256R1())
name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
now = datetime.datetime.now(datetime.UTC)
builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
builder = builder.not_valid_before(now).not_valid_after(now + datetime.timedelta(days=1))
certificate = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
secret = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())

server = grpc.server(ThreadPoolExecutor(max_workers=10))
add_KVServicer_to_server(Store(), server)
alive = health.HealthServicer()
alive.set("plugin", health_pb2.HealthCheckResponse.SERVING)
health_pb2_grpc.add_HealthServicer_to_server(alive, server)
path = f"{os.environ['TMPDIR']}/{os.getpid()}.sock"
server.add_secure_port(f"unix:{path}", grpc.ssl_server_credentials([(secret, certificate)]))
server.start()
print(f"1|1|unix|{path}|grpc|", flush=True)
server.wait_for_termination()
