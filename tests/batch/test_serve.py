"""One plugin is served to a go-plugin host and to Redpanda Connect, and says what it is to a person."""

import functools
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from shells import LIMIT
from waiting import until

from goplugin import batch, hostlib
from goplugin.batch import HANDSHAKE, host
from goplugin.handshake import RUN_BY_HAND, Misuse
from goplugin.proto import redpanda as rp
from goplugin.proto.rpc import Service

PROGRAM = """
import sys, threading
from goplugin import batch

@batch.processor
def shout(message):
    '''Say it louder.

    And more.'''
    message.payload = message.payload.upper()
    return message

@batch.batch_input
class Numbers:
    async def read(self):
        return [batch.Message(b"1"), batch.Message(b"2")]

@batch.output(max_in_flight=7)
def show(message):
    print(message.text)

@batch.output
class Together:
    def __init__(self, config):
        self.max_in_flight = config["calls"]
        self.barrier = threading.Barrier(config["calls"])

    def write(self, message):
        self.barrier.wait(20)

if __name__ == "__main__":
    try:
        batch.serve(globals()[sys.argv[1]])
    finally:
        heavy = [name for name in ("grpc", "asyncio", "yaml", "json") if name in sys.modules]
        print("loaded:", *heavy, file=sys.stderr)
"""


@pytest.fixture
def program(tmp_path: Path) -> str:
    (tmp_path / "plugin.py").write_text(PROGRAM)
    return str(tmp_path / "plugin.py")


def test_run_by_hand_it_explains_itself_at_once(program: str) -> None:
    done = subprocess.run([sys.executable, program, "shout"], capture_output=True, text=True, timeout=LIMIT)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"{RUN_BY_HAND}\n"
        "It is the processor 'shout': Say it louder.\n"
        "Programs that run it: goplugin run PIPELINE, Redpanda Connect (--rpc-plugins plugin.yaml),\n"
        "and any go-plugin host of batch services.\n"
        "loaded:\n"
    )


class Stub:
    """The calls of one service, by name."""

    def __init__(self, service: Service, channel: Any) -> None:
        for method in service.methods:
            setattr(self, method.name, channel.unary_unary(method.path, method.request_bytes, method.response_from))


STUBS: dict[str, Any] = {
    batch.INPUT: functools.partial(Stub, rp.BATCH_INPUT),
    batch.PROCESSOR: functools.partial(Stub, rp.BATCH_PROCESSOR),
    batch.OUTPUT: functools.partial(Stub, rp.BATCH_OUTPUT),
}


def use(target: str, stub: Any) -> None:
    match target:
        case "shout":
            assert stub.Init(rp.BatchProcessorInitRequest()).error.message == ""
            sent = rp.MessageBatch(messages=[rp.Message(bytes=b"a")])
            (done,) = stub.ProcessBatch(rp.BatchProcessorProcessBatchRequest(batch=sent)).batches
            assert done == rp.MessageBatch(messages=[rp.Message(bytes=b"A")])
        case "Numbers":
            assert stub.Init(rp.BatchInputInitRequest()).auto_replay_nacks
            assert stub.Connect(rp.BatchInputConnectRequest()).error.message == ""
            read = stub.ReadBatch(rp.BatchInputReadRequest())
            assert [message.bytes for message in read.batch.messages] == [b"1", b"2"]
            assert stub.Ack(rp.BatchInputAckRequest(batch_id=read.batch_id)).error.message == ""
        case _:
            assert stub.Init(rp.BatchOutputInitRequest()).max_in_flight == 7
            assert stub.Connect(rp.BatchOutputConnectRequest()).error.message == ""
            sent = rp.MessageBatch(messages=[rp.Message(bytes=b"shown")])
            assert stub.Send(rp.BatchOutputSendRequest(batch=sent)).error.message == ""


@pytest.mark.parametrize(
    ("target", "kind"), [("shout", batch.PROCESSOR), ("Numbers", batch.INPUT), ("show", batch.OUTPUT)]
)
@pytest.mark.parametrize("env", [{}, {"REDPANDA_CONNECT_PLUGIN_ADDRESS": "unix:/nowhere/inherited.sock"}])
def test_each_kind_is_served_to_a_go_plugin_host_whatever_it_inherits(
    program: str, target: str, kind: str, env: dict[str, str]
) -> None:
    printed = bytearray()
    command = [sys.executable, program, target]
    with hostlib.Client(command, HANDSHAKE, STUBS, env=env, sync_stdout=printed.extend) as client:
        use(target, client.dispense(kind))
        client.ping()
        if target == "show":  # a plugin that is stopped has but moments for what it has yet to say
            until(lambda: printed)
    assert bytes(printed) == (b"shown\n" if target == "show" else b"")


def test_as_many_calls_as_a_configuration_asks_for_have_threads_to_run_on(program: str) -> None:
    calls = 24
    request = rp.BatchOutputInitRequest()
    request.config.struct_value.fields["calls"].integer_value = calls
    sent = rp.BatchOutputSendRequest(batch=rp.MessageBatch(messages=[rp.Message(bytes=b"a")]))
    with hostlib.Client([sys.executable, program, "Together"], HANDSHAKE, STUBS) as client:
        stub = client.dispense(batch.OUTPUT)
        assert stub.Init(request).max_in_flight == calls
        assert stub.Connect(rp.BatchOutputConnectRequest()).error.message == ""
        for answer in [stub.Send.future(sent) for _ in range(calls)]:
            assert answer.result().error.message == ""


def test_what_is_no_plugin_is_refused_before_anything_else() -> None:
    with pytest.raises(Misuse, match="7 is no plugin"):
        batch.serve(7)


def test_every_name_for_hosts_exists_and_is_documented() -> None:
    assert len(host.__all__) == len(set(host.__all__))
    for name in host.__all__:
        assert getattr(host, name).__doc__, f"{name} has no docstring"
