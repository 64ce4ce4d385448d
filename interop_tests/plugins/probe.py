"""A Python plugin that serves Probe and KV, the twin of interop_tests/go/cmd/plugin. Wants PYTHONPATH to name support/.

probe.py [--shell sync|aio] [--network unix|tcp] [--versions 1,2] [--cookie-key K] [--cookie-value V|ANY] [--stay]
         [--tls FOLDER]
"""

import argparse
import asyncio
import logging
import os
import sys
import time
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any, Literal

import grpc
import grpc.aio
import kv_pb2
import kv_pb2_grpc
import probe_pb2
import probe_pb2_grpc
from own_tls import tls_config

from goplugin import pluginlib
from goplugin.handshake import Cookie, Handshake

LEVELS = {"trace": 5, "debug": logging.DEBUG, "info": logging.INFO, "warn": logging.WARNING, "error": logging.ERROR}
STATUS: dict[int, grpc.StatusCode] = {code.value[0]: code for code in grpc.StatusCode}
log = logging.getLogger("probe")
log.setLevel(1)


class KV(kv_pb2_grpc.KVServicer):
    """Go's example keeps its values in files; memory does here."""

    def __init__(self) -> None:
        self.values: dict[str, bytes] = {}

    def Get(self, request: kv_pb2.GetRequest, context: grpc.ServicerContext) -> Any:
        if request.key not in self.values:
            context.abort(grpc.StatusCode.NOT_FOUND, f"no {request.key}")
        return kv_pb2.GetResponse(value=self.values[request.key])

    def Put(self, request: kv_pb2.PutRequest, context: grpc.ServicerContext) -> kv_pb2.Empty:
        self.values[request.key] = request.value
        return kv_pb2.Empty()


class Probe(probe_pb2_grpc.ProbeServicer):
    """What probe.proto says, with nothing but what any plugin uses: print, logging, os."""

    def __init__(self, broker: Any) -> None:
        self._broker = broker

    def Echo(self, request: probe_pb2.EchoRequest, context: Any) -> probe_pb2.EchoResponse:
        return probe_pb2.EchoResponse(data=request.data)

    def Add(self, request: probe_pb2.AddRequest, context: Any) -> probe_pb2.AddResponse:
        return probe_pb2.AddResponse(sum=request.a + request.b)

    def Print(self, request: probe_pb2.PrintRequest, context: Any) -> probe_pb2.PrintResponse:
        stream = sys.stdout if request.channel == probe_pb2.CHANNEL_STDOUT else sys.stderr
        for _ in range(request.times):
            stream.buffer.write(request.text)
        stream.flush()
        return probe_pb2.PrintResponse()

    def Log(self, request: probe_pb2.LogRequest, context: Any) -> probe_pb2.LogResponse:
        log.log(LEVELS[request.level], request.message, extra=dict(request.fields))
        return probe_pb2.LogResponse()

    def Sleep(self, request: probe_pb2.SleepRequest, context: Any) -> Any:
        until = time.monotonic() + request.milliseconds / 1000
        while context.is_active() and time.monotonic() < until:
            time.sleep(0.01)
        return probe_pb2.SleepResponse()

    def Exit(self, request: probe_pb2.ExitRequest, context: Any) -> probe_pb2.ExitResponse:
        os._exit(request.code)

    def Environment(self, request: probe_pb2.EnvironmentRequest, context: Any) -> probe_pb2.EnvironmentResponse:
        found = {name: os.environ[name] for name in request.names if name in os.environ}
        return probe_pb2.EnvironmentResponse(variables=found)

    def Descriptors(self, request: probe_pb2.DescriptorsRequest, context: Any) -> probe_pb2.DescriptorsResponse:
        return probe_pb2.DescriptorsResponse(open=len(os.listdir("/proc/self/fd")))

    def Stream(self, request: probe_pb2.StreamRequest, context: Any) -> Any:
        for number in range(request.count):
            yield probe_pb2.StreamResponse(number=number)

    def Fail(self, request: probe_pb2.FailRequest, context: grpc.ServicerContext) -> Any:
        context.abort(STATUS[request.code], request.message)

    def CallBack(self, request: probe_pb2.CallBackRequest, context: Any) -> Any:
        with self._broker.dial(request.service_id) as channel:
            answer = probe_pb2_grpc.ProbeStub(channel).Echo(probe_pb2.EchoRequest(data=request.data))
        return probe_pb2.CallBackResponse(data=answer.data)

    def Serve(self, request: probe_pb2.ServeRequest, context: Any) -> Any:
        self._broker.accept_and_serve(request.service_id, partial(register_probe, broker=self._broker))
        return probe_pb2.ServeResponse()


class AsyncProbe(Probe):
    """The same under grpc.aio, where what waits or streams must not hold up the loop."""

    async def Sleep(self, request: probe_pb2.SleepRequest, context: Any) -> probe_pb2.SleepResponse:
        await asyncio.sleep(request.milliseconds / 1000)
        return probe_pb2.SleepResponse()

    async def Stream(self, request: probe_pb2.StreamRequest, context: Any) -> AsyncIterator[probe_pb2.StreamResponse]:
        for number in range(request.count):
            yield probe_pb2.StreamResponse(number=number)

    async def Fail(self, request: probe_pb2.FailRequest, context: Any) -> None:
        await context.abort(STATUS[request.code], request.message)

    async def CallBack(self, request: probe_pb2.CallBackRequest, context: Any) -> probe_pb2.CallBackResponse:
        async with await self._broker.dial(request.service_id) as channel:
            stub: Any = probe_pb2_grpc.ProbeStub(channel)
            answer = await stub.Echo(probe_pb2.EchoRequest(data=request.data))
        return probe_pb2.CallBackResponse(data=answer.data)

    async def Serve(self, request: probe_pb2.ServeRequest, context: Any) -> probe_pb2.ServeResponse:
        await self._broker.accept_and_serve(request.service_id, partial(register_probe_aio, broker=self._broker))
        return probe_pb2.ServeResponse()


class AsyncKV(KV):
    async def Get(self, request: kv_pb2.GetRequest, context: Any) -> kv_pb2.GetResponse:
        if request.key not in self.values:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"no {request.key}")
        return kv_pb2.GetResponse(value=self.values[request.key])


def register_probe(server: grpc.Server, broker: pluginlib.Broker) -> None:
    probe_pb2_grpc.add_ProbeServicer_to_server(Probe(broker), server)


def register_kv(server: grpc.Server, broker: pluginlib.Broker) -> None:
    kv_pb2_grpc.add_KVServicer_to_server(KV(), server)


def register_probe_aio(server: grpc.aio.Server, broker: pluginlib.aio.Broker) -> None:
    probe_pb2_grpc.add_ProbeServicer_to_server(AsyncProbe(broker), server)


def register_kv_aio(server: grpc.aio.Server, broker: pluginlib.aio.Broker) -> None:
    kv_pb2_grpc.add_KVServicer_to_server(AsyncKV(), server)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--shell", choices=["sync", "aio"], default="sync")
    parser.add_argument("--network", choices=["unix", "tcp"])
    parser.add_argument("--versions", default="1")
    parser.add_argument("--cookie-key", default="INTEROP_PLUGIN")
    parser.add_argument("--cookie-value", default="hello")
    parser.add_argument("--stay", action="store_true", help="outlive the host")
    parser.add_argument("--tls", type=Path, help="a folder with certificates of one's own")
    chosen = parser.parse_args()
    value: str | Cookie = Cookie.ANY if chosen.cookie_value == "ANY" else chosen.cookie_value
    handshake = Handshake(cookie_key=chosen.cookie_key, cookie_value=value)
    versions = [int(text) for text in chosen.versions.split(",")]
    network: Literal["unix", "tcp"] | None = chosen.network
    options: dict[str, Any] = {"network": network, "leave_with_host": not chosen.stay}
    if chosen.tls is not None:
        options["tls"] = tls_config(chosen.tls)
    if chosen.shell == "sync":
        plugins = {"probe": register_probe, "kv": register_kv}
        pluginlib.serve(handshake, versions=dict.fromkeys(versions, plugins), **options)
    else:
        from goplugin.pluginlib import aio

        served = {"probe": register_probe_aio, "kv": register_kv_aio}
        asyncio.run(aio.serve(handshake, versions=dict.fromkeys(versions, served), **options))


if __name__ == "__main__":
    main()
