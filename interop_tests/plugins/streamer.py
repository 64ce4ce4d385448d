"""The streaming plugin of go-plugin's example in Python. Wants PYTHONPATH to name support/."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
from streamer_pb2 import Configure, Read, Write
from streamer_pb2_grpc import StreamerServiceServicer, add_StreamerServiceServicer_to_server

from goplugin import pluginlib
from goplugin.handshake import Handshake


class Streamer(StreamerServiceServicer):
    path = Path()
    chunk = 1

    def Configure(self, request: Configure.Request, context: Any) -> Configure.Response:
        self.path, self.chunk = Path(request.path), request.chunk_size
        return Configure.Response()

    def Read(self, request: Read.Request, context: Any) -> Iterator[Read.ResponseChunk]:
        data = self.path.read_bytes()
        for start in range(0, len(data), self.chunk):
            yield Read.ResponseChunk(read_bytes=data[start : start + self.chunk])

    def Write(self, request: Iterator[Write.RequestChunk], context: Any) -> Write.Response:
        self.path.write_bytes(b"".join(chunk.bytes_to_write for chunk in request))
        return Write.Response()


def register(server: grpc.Server, broker: pluginlib.Broker) -> None:
    add_StreamerServiceServicer_to_server(Streamer(), server)


if __name__ == "__main__":
    pluginlib.serve(Handshake(cookie_key="BASIC_PLUGIN", cookie_value="hello"), plugins={"streamer": register})
