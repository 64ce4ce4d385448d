"""A plugin that serves and dials brokered connections as its host tells it to: brokers.py [sync|aio] [unix|tcp].

It serves the id 1000 from the start.
"""

import asyncio
import json
import os
import sys
import threading
from typing import Any, Literal, cast

import grpc
from brokering import Answers, asked, descriptors, dialled, lying, relayed

from goplugin import pluginlib
from goplugin.handshake import GoPluginError, Handshake

HANDSHAKE = Handshake(protocol_version=1, cookie_key="TEST_COOKIE", cookie_value="yes")
answers = Answers(b"plugin")
slow = Answers(b"slow plugin", seconds=0.5)


def failed(error: Exception) -> dict[str, Any]:
    code = error.code().name if isinstance(error, grpc.RpcError) else ""
    return {"error": type(error).__name__, "text": str(error), "code": code, "id": getattr(error, "id", None)}


class Brokers:
    def __init__(self, broker: pluginlib.Broker) -> None:
        self.broker = broker
        self.servers: dict[int, pluginlib.BrokeredServer] = {}
        self.said: Any = None

    def serve(self, id: int, lie: str = "") -> None:
        with lying(self.broker, lie):
            self.servers[id] = self.broker.accept_and_serve(id, answers.register)

    def serve_many(self, count: int) -> list[int]:
        ids = [self.broker.next_id() for _ in range(count)]
        for id in ids:
            self.serve(id)
        return ids

    def close(self, id: int) -> None:
        self.servers.pop(id).close()

    def ask(self, id: int, timeout: float = 5) -> str:
        with self.broker.dial(id, timeout) as channel:
            answer: bytes = asked(channel)(b"the host", timeout=10)
        return answer.decode()

    def ask_later(self, id: int) -> None:
        """Dial now, before the host serves it, and keep the answer."""

        def run() -> None:
            self.said = do(lambda: self.ask(id))

        self.thread = threading.Thread(target=run)
        self.thread.start()

    def answer(self) -> Any:
        self.thread.join(30)
        return self.said

    def serve_slowly(self, id: int) -> None:
        self.servers[id] = self.broker.accept_and_serve(id, slow.register)

    def dialled(self) -> list[int]:
        return dialled(self.broker)

    def await_slow_call(self) -> bool:
        return slow.begun.acquire(timeout=30)

    def leave_open(self, ids: list[int]) -> None:
        self.channels = [self.broker.dial(id) for id in ids]

    def descriptors(self) -> int:
        return descriptors()

    def relayed(self) -> bool:
        return relayed()

    def die(self) -> None:
        os._exit(7)


class AioBrokers:
    def __init__(self, broker: pluginlib.aio.Broker) -> None:
        self.broker = broker
        self.servers: dict[int, pluginlib.aio.BrokeredServer] = {}

    async def serve(self, id: int, lie: str = "") -> None:
        with lying(self.broker, lie):
            self.servers[id] = await self.broker.accept_and_serve(id, answers.register)

    async def serve_many(self, count: int) -> list[int]:
        ids = [self.broker.next_id() for _ in range(count)]
        await asyncio.gather(*(self.serve(id) for id in ids))
        return ids

    async def close(self, id: int) -> None:
        await self.servers.pop(id).close()

    async def ask(self, id: int, timeout: float = 5) -> str:
        async with await self.broker.dial(id, timeout) as channel:
            answer: bytes = await asked(channel)(b"the host", timeout=10)
        return answer.decode()

    async def ask_later(self, id: int) -> None:
        async def run() -> Any:
            return await do_async(self.ask(id))

        self.task = asyncio.create_task(run())

    async def answer(self) -> Any:
        return await asyncio.wait_for(self.task, 30)

    async def serve_slowly(self, id: int) -> None:
        self.servers[id] = await self.broker.accept_and_serve(id, slow.register)

    async def dialled(self) -> list[int]:
        return dialled(self.broker)

    async def await_slow_call(self) -> bool:
        return await asyncio.to_thread(slow.begun.acquire, timeout=30)

    async def leave_open(self, ids: list[int]) -> None:
        self.channels = [await self.broker.dial(id) for id in ids]

    async def descriptors(self) -> int:
        return descriptors()

    async def relayed(self) -> bool:
        return relayed()

    async def die(self) -> None:
        os._exit(7)


def own_tls() -> pluginlib.TlsConfig:
    """Return what the tests of the host have laid down in TEST_TLS, for both directions."""
    import ssl

    directory = os.environ["TEST_TLS"]
    accept, dial = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    for context in (accept, dial):
        context.load_cert_chain(directory + "/plugin.pem")
        context.load_verify_locations(directory + "/host.pem")
        context.verify_mode = ssl.CERT_REQUIRED
    return pluginlib.TlsConfig(accept, dial)


def known_by(certificate: str, key: str) -> None:
    """Have AutoMTLS use these (PEM) in place of what it would make."""
    from time import time

    from goplugin.transport.tls import Identity, host_certificate

    identity = Identity(host_certificate(certificate, time()), key)
    setattr(Identity, "generate", lambda now=0.0: identity)  # noqa: B010


def do(action: Any) -> Any:
    try:
        return {"result": action()}
    except (GoPluginError, grpc.RpcError) as error:
        return failed(error)


async def do_async(action: Any) -> Any:
    try:
        return {"result": await action}
    except (GoPluginError, grpc.RpcError) as error:
        return failed(error)


def add(server: Any, handler: Any) -> None:
    make: Any = grpc.unary_unary_rpc_method_handler
    methods: Any = {"Do": make(handler)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Brokers", methods),))


def register(server: grpc.Server, broker: pluginlib.Broker) -> None:
    brokers = Brokers(broker)
    brokers.serve(1000)

    def handler(request: bytes, _: Any) -> bytes:
        action = json.loads(request)
        return json.dumps(do(lambda: getattr(brokers, action.pop("do"))(**action))).encode()

    add(server, handler)


async def register_aio(server: grpc.aio.Server, broker: pluginlib.aio.Broker) -> None:
    brokers = AioBrokers(broker)
    await brokers.serve(1000)

    async def handler(request: bytes, _: Any) -> bytes:
        action = json.loads(request)
        return json.dumps(await do_async(getattr(brokers, action.pop("do"))(**action))).encode()

    add(server, handler)


if __name__ == "__main__":
    shell = sys.argv[1]
    network = cast('Literal["unix", "tcp"]', sys.argv[2])
    tls = own_tls if "TEST_TLS" in os.environ else None
    if "TEST_KEY" in os.environ:
        known_by(os.environ["TEST_CERTIFICATE"], os.environ["TEST_KEY"])
    if shell == "sync":
        pluginlib.serve(HANDSHAKE, plugins={"echo": register}, network=network, tls=tls)
    else:
        asyncio.run(pluginlib.aio.serve(HANDSHAKE, plugins={"echo": register_aio}, network=network, tls=tls))
