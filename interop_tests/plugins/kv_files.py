"""The KV plugin of go-plugin's example in Python: values lie in files of KV_FOLDER, so they outlive the process.

kv_files.py [--shell sync|aio] [--versions 2,3]. Wants PYTHONPATH to name support/.
"""

import argparse
import asyncio
import os
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
from kv_pb2 import Empty, GetRequest, GetResponse, PutRequest
from kv_pb2_grpc import KVServicer, add_KVServicer_to_server

from goplugin import pluginlib
from goplugin.handshake import Handshake

HANDSHAKE = Handshake(cookie_key="BASIC_PLUGIN", cookie_value="hello")
FOLDER = Path(os.environ.get("KV_FOLDER", "."))


class KV(KVServicer):
    def Get(self, request: GetRequest, context: Any) -> Any:
        try:
            return GetResponse(value=(FOLDER / f"kv_{request.key}").read_bytes())
        except FileNotFoundError:
            return context.abort(grpc.StatusCode.NOT_FOUND, f"no value for {request.key}")

    def Put(self, request: PutRequest, context: Any) -> Empty:
        (FOLDER / f"kv_{request.key}").write_bytes(request.value)
        return Empty()


class AsyncKV(KV):
    async def Get(self, request: GetRequest, context: Any) -> Any:
        try:
            return GetResponse(value=(FOLDER / f"kv_{request.key}").read_bytes())
        except FileNotFoundError:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"no value for {request.key}")


def register(version: int, server: grpc.Server, broker: pluginlib.Broker) -> None:
    (FOLDER / "served").write_text(str(version))
    add_KVServicer_to_server(KV(), server)


def register_aio(version: int, server: grpc.aio.Server, broker: pluginlib.aio.Broker) -> None:
    (FOLDER / "served").write_text(str(version))
    add_KVServicer_to_server(AsyncKV(), server)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--shell", choices=["sync", "aio"], default="sync")
    parser.add_argument("--versions", default="1")
    chosen = parser.parse_args()
    versions = [int(text) for text in chosen.versions.split(",")]
    if chosen.shell == "sync":
        pluginlib.serve(HANDSHAKE, versions={v: {"kv": partial(register, v)} for v in versions})
    else:
        from goplugin.pluginlib import aio

        asyncio.run(aio.serve(HANDSHAKE, versions={v: {"kv": partial(register_aio, v)} for v in versions}))


if __name__ == "__main__":
    main()
