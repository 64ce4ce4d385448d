import sys

from goplugin import hostlib
from goplugin.handshake import Handshake
from kv_pb2 import GetRequest, PutRequest
from kv_pb2_grpc import KVStub

command = sys.argv[1:] or [sys.executable, "plugin.py"]
handshake = Handshake(cookie_key="KV_PLUGIN", cookie_value="hello")
with hostlib.Client(command, handshake, plugins={"kv": KVStub}) as client:
    kv = client.dispense("kv")
    kv.Put(PutRequest(key="greeting", value=b"hello from a plugin"))
    print(kv.Get(GetRequest(key="greeting")).value.decode())
