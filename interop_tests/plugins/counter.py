"""The counter of go-plugin's example "bidirectional" in Python: it lets its host add, over a brokered connection.

counter.py [--shell sync|aio]. Keeps its values in files of the working directory, as Go's does. Wants PYTHONPATH to
name support/.
"""

import argparse
import asyncio
import json
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
from counter_pb2 import Empty, GetRequest, GetResponse, PutRequest, SumRequest
from counter_pb2_grpc import AddHelperStub, CounterServicer, add_CounterServicer_to_server

from goplugin import pluginlib
from goplugin.handshake import Handshake
from goplugin.pluginlib import aio

HANDSHAKE = Handshake(cookie_key="BASIC_PLUGIN", cookie_value="hello")


def read(key: str) -> int:
    value: int = json.loads(Path(f"kv_{key}").read_text())["Value"]
    return value


def write(key: str, value: int) -> None:
    Path(f"kv_{key}").write_text(json.dumps({"Value": value}))


def summands(request: PutRequest) -> SumRequest:
    known = Path(f"kv_{request.key}").exists()
    return SumRequest(a=read(request.key) if known else 0, b=request.value)


class Counter(CounterServicer):
    def __init__(self, broker: pluginlib.Broker) -> None:
        self.broker = broker

    def Get(self, request: GetRequest, context: grpc.ServicerContext) -> GetResponse:
        return GetResponse(value=read(request.key))

    def Put(self, request: PutRequest, context: grpc.ServicerContext) -> Empty:
        with self.broker.dial(request.add_server) as channel:
            write(request.key, AddHelperStub(channel).Sum(summands(request)).r)
        return Empty()


class AsyncCounter(CounterServicer):
    def __init__(self, broker: aio.Broker) -> None:
        self.broker = broker

    async def Get(self, request: GetRequest, context: Any) -> GetResponse:
        return GetResponse(value=read(request.key))

    async def Put(self, request: PutRequest, context: Any) -> Empty:
        async with await self.broker.dial(request.add_server) as channel:
            helper: Any = AddHelperStub(channel)
            write(request.key, (await helper.Sum(summands(request))).r)
        return Empty()


def register(server: grpc.Server, broker: pluginlib.Broker) -> None:
    add_CounterServicer_to_server(Counter(broker), server)


def register_aio(server: grpc.aio.Server, broker: aio.Broker) -> None:
    add_CounterServicer_to_server(AsyncCounter(broker), server)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--shell", choices=["sync", "aio"], default="sync")
    if parser.parse_args().shell == "sync":
        pluginlib.serve(HANDSHAKE, plugins={"counter": register})
    else:
        asyncio.run(aio.serve(HANDSHAKE, plugins={"counter": register_aio}))


if __name__ == "__main__":
    main()
