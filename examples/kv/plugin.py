from goplugin import pluginlib
from goplugin.handshake import Handshake
from kv_pb2 import GetResponse, PutResponse
from kv_pb2_grpc import KVServicer, add_KVServicer_to_server


class KV(KVServicer):
    values = {}

    def Get(self, request, context):
        return GetResponse(value=self.values[request.key])

    def Put(self, request, context):
        self.values[request.key] = request.value
        return PutResponse()


def register(server, broker):
    add_KVServicer_to_server(KV(), server)


pluginlib.serve(Handshake(cookie_key="KV_PLUGIN", cookie_value="hello"), plugins={"kv": register})
