"""Brokered connections with Go in both roles: go-plugin's example "bidirectional", whose plugin calls its host back."""

import asyncio
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import grpc
import pytest
from pyplugin import HERE, probe_environment
from shells import PATIENT

from goplugin import hostlib
from goplugin.handshake import Handshake
from goplugin.hostlib import aio

BASIC = Handshake(cookie_key="BASIC_PLUGIN", cookie_value="hello")
COUNTER = HERE.parent / "plugins" / "counter.py"
MANY = 50
Program = Callable[[str], Path]
Options = Mapping[str, Any]
connected = pytest.mark.parametrize(
    "options",
    [{}, {"auto_mtls": True}, {"multiplex": True}, {"auto_mtls": True, "multiplex": True}],
    ids=["plain", "auto_mtls", "multiplexed", "multiplexed-auto_mtls"],
)


def itself(channel: Any) -> Any:
    """Dispense the channel."""
    return channel


COUNTED = {"counter": itself}

# The messages are written out, for another test's stubs already have a `proto.GetRequest`.


def put_request(add_server: int, key: str, value: int) -> bytes:
    return bytes([0x08, add_server, 0x12, len(key), *key.encode(), 0x18, value])


def get_request(key: str) -> bytes:
    return bytes([0x0A, len(key), *key.encode()])


def fields(message: bytes) -> dict[int, int]:
    """The numbers in a message of one-byte varints."""
    return {message[at] >> 3: message[at + 1] for at in range(0, len(message), 2)}


class AddHelper(grpc.GenericRpcHandler):
    """The example's service of the host. Servers of both shells take it."""

    def __init__(self) -> None:
        self.asked: list[dict[int, int]] = []

    def service(self, handler_call_details: Any) -> "grpc.RpcMethodHandler[Any, Any] | None":
        known = handler_call_details.method == "/proto.AddHelper/Sum"
        return grpc.unary_unary_rpc_method_handler(self._sum) if known else None

    def _sum(self, request: bytes, _: Any) -> bytes:
        self.asked.append(numbers := fields(request))
        return bytes([0x08, numbers.get(1, 0) + numbers.get(2, 0)])

    def register(self, server: Any) -> None:
        server.add_generic_rpc_handlers((self,))


def counted(
    command: Sequence[str | Path], cwd: Path, helper: AddHelper, env: Mapping[str, str], options: Options
) -> int:
    """Put 1 and then 2 with a brokered AddHelper each, on the synchronous shell; return what Get says."""
    with hostlib.Client(command, BASIC, COUNTED, cwd=cwd, env=env, stop_budget=PATIENT, **options) as client:
        put, get = (client.dispense("counter").unary_unary(f"/proto.Counter/{name}") for name in ("Put", "Get"))
        for value in (1, 2):
            with client.broker.accept_and_serve(client.broker.next_id(), helper.register) as served:
                put(put_request(served.id, "k", value))
        result = fields(get(get_request("k")))[1]
    assert client.stopped is not None
    assert client.stopped.how == "shutdown"
    return result


async def counted_aio(
    command: Sequence[str | Path], cwd: Path, helper: AddHelper, env: Mapping[str, str], options: Options
) -> int:
    """The same with asyncio."""
    async with aio.Client(command, BASIC, COUNTED, cwd=cwd, env=env, stop_budget=PATIENT, **options) as client:
        put, get = (client.dispense("counter").unary_unary(f"/proto.Counter/{name}") for name in ("Put", "Get"))
        for value in (1, 2):
            async with await client.broker.accept_and_serve(client.broker.next_id(), helper.register) as served:
                await put(put_request(served.id, "k", value))
        result = fields(await get(get_request("k")))[1]
    assert client.stopped is not None
    assert client.stopped.how == "shutdown"
    return result


@connected
@pytest.mark.parametrize("kind", ["sync", "aio"])
def test_a_go_plugin_calls_a_python_host_back(kind: str, options: Options, program: Program, tmp_path: Path) -> None:
    helper = AddHelper()
    command = [program("example-bidirectional-plugin")]
    if kind == "sync":
        assert counted(command, tmp_path, helper, {}, options) == 3
    else:
        assert asyncio.run(counted_aio(command, tmp_path, helper, {}, options)) == 3
    assert helper.asked == [{2: 1}, {1: 1, 2: 2}]


@connected
@pytest.mark.parametrize("kind", ["sync", "aio"])
def test_a_go_plugin_dials_many_brokered_servers_of_a_python_host_at_once(
    kind: str, options: Options, program: Program, tmp_path: Path
) -> None:
    helper, command = AddHelper(), [program("example-bidirectional-plugin")]

    def put_all() -> None:
        with hostlib.Client(command, BASIC, COUNTED, cwd=tmp_path, **options) as client:
            put = client.dispense("counter").unary_unary("/proto.Counter/Put")
            ids = [client.broker.next_id() for _ in range(MANY)]
            for id in ids:
                client.broker.accept_and_serve(id, helper.register)
            calls: list[Any] = [put.future(put_request(id, f"k{id}", 7), timeout=60) for id in ids]
            assert [call.result() for call in calls] == [b""] * MANY

    async def put_all_aio() -> None:
        async with aio.Client(command, BASIC, COUNTED, cwd=tmp_path, **options) as client:
            put: Any = client.dispense("counter").unary_unary("/proto.Counter/Put")
            ids = [client.broker.next_id() for _ in range(MANY)]
            for id in ids:
                await client.broker.accept_and_serve(id, helper.register)
            assert await asyncio.gather(*(put(put_request(id, f"k{id}", 7)) for id in ids)) == [b""] * MANY

    put_all() if kind == "sync" else asyncio.run(put_all_aio())
    assert helper.asked == [{2: 7}] * MANY


@pytest.mark.parametrize("kind", ["sync", "aio"])
def test_a_python_plugin_calls_a_go_host_back(kind: str, program: Program, tmp_path: Path) -> None:
    plugin = shlex.join([sys.executable, str(COUNTER), "--shell", kind])
    env = {**os.environ, **probe_environment(), "COUNTER_PLUGIN": plugin}

    def run(*words: str) -> str:
        argv = [str(program("example-bidirectional-host")), *words]
        done: subprocess.CompletedProcess[str] = subprocess.run(
            argv, env=env, cwd=tmp_path, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run("put", "hello", "1")
    run("put", "hello", "41")
    assert run("get", "hello") == "42\n"


@pytest.mark.parametrize(
    "flags", [["-auto-mtls"], ["-multiplex"], ["-auto-mtls", "-multiplex"]], ids=lambda flags: "".join(flags)
)
@pytest.mark.parametrize("version", ["1.7.0", "1.8.0"])
@pytest.mark.parametrize("kind", ["sync", "aio"])
def test_a_python_plugin_calls_a_go_host_back_however_that_wants_to_connect(
    kind: str, version: str, flags: list[str], program: Program, tmp_path: Path
) -> None:
    argv = [str(program(f"counterhost-{version}")), *flags, sys.executable, str(COUNTER), "--shell", kind]
    env = os.environ | probe_environment()
    done: subprocess.CompletedProcess[str] = subprocess.run(
        argv, env=env, cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (done.stdout, "refused" in done.stderr) == ("42\n", False)


@connected
@pytest.mark.parametrize("host", ["sync", "aio"])
@pytest.mark.parametrize("plugin", ["sync", "aio"])
def test_python_and_python_do_as_both_do_with_go(host: str, plugin: str, options: Options, tmp_path: Path) -> None:
    helper, command = AddHelper(), [sys.executable, str(COUNTER), "--shell", plugin]
    if host == "sync":
        assert counted(command, tmp_path, helper, probe_environment(), options) == 3
    else:
        assert asyncio.run(counted_aio(command, tmp_path, helper, probe_environment(), options)) == 3
    assert helper.asked == [{2: 1}, {1: 1, 2: 2}]
