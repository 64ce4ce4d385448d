"""Another copy of the same definitions in the same process breaks neither it nor us, whoever comes first.

The copies are generated here from `fixtures/`, with the packages and file names of ours but other contents, and
register in protobuf's default pool as any program's do. Each case is a process of its own.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

FIXTURES = Path(__file__).parent / "fixtures"

COPIES = """
from plugin.grpc_broker_pb2 import ConnInfo
from plugin.grpc_controller_pb2 import Empty
from redpanda.runtime.v1alpha1.message_pb2 import Message, MessageBatch, Value
"""
OURS = """
from goplugin.proto import plugin as go, redpanda, reflection
"""
BOTH_WORK = """
theirs = MessageBatch(messages=[Message(structured=Value(string_value="a")), Message(bytes=b"b")])
theirs.messages[0].structured.timestamp_value.FromSeconds(5)
ours = redpanda.MessageBatch.FromString(theirs.SerializeToString())
assert ours.messages[0].structured.timestamp_value.ToSeconds() == 5
assert ours.messages[1].bytes == b"b"
assert MessageBatch.FromString(ours.SerializeToString()) == theirs

info = go.ConnInfo(service_id=7, network="unix", address="/a", knock=go.ConnInfo.Knock(ack=True))
assert ConnInfo.FromString(info.SerializeToString()).service_id == 7
assert ConnInfo.DESCRIPTOR is not go.ConnInfo.DESCRIPTOR
assert "knock" not in ConnInfo.DESCRIPTOR.fields_by_name

assert go.SHUTDOWN.request_bytes(Empty()) == go.STREAM_STDIO.request_bytes(go.GoogleEmpty()) == b""
print("both work")
"""
OURS_STAY_PRIVATE = """
from google.protobuf import descriptor_pool
default = descriptor_pool.Default()
for service in (go.GRPC_BROKER, go.GRPC_CONTROLLER, go.GRPC_STDIO, redpanda.BATCH_INPUT,
                redpanda.BATCH_PROCESSOR, redpanda.BATCH_OUTPUT, reflection.SERVER_REFLECTION):
    file = reflection.POOL.FindServiceByName(service.name).file
    symbols = [s.full_name for s in file.services_by_name.values()]
    symbols += [m.full_name for m in file.message_types_by_name.values()]
    assert symbols
    for symbol in [*symbols, "plugin.Empty", "redpanda.runtime.v1alpha1.Message"]:
        try:
            default.FindFileContainingSymbol(symbol)
        except KeyError:
            continue
        raise AssertionError(symbol)
    try:
        default.FindFileByName(file.name)
    except KeyError:
        continue
    raise AssertionError(file.name)
print("private")
"""
INTO_THE_DEFAULT_POOL = """
from google.protobuf import descriptor_pool
try:
    descriptor_pool.Default().AddSerializedFile(go.ConnInfo.DESCRIPTOR.file.serialized_pb)
except TypeError:
    print("they collide")
"""


@pytest.fixture(scope="module")
def copies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("copies")
    sources = sorted(path.relative_to(FIXTURES).as_posix() for path in FIXTURES.rglob("*.proto"))
    protoc = [sys.executable, "-m", "grpc_tools.protoc", f"-I{FIXTURES}", f"--python_out={out}", *sources]
    subprocess.run(protoc, check=True, timeout=60)
    return out


@pytest.fixture(params=["upb", "python"])
def implementation(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def run(program: str, implementation: str, copies: Path) -> str:
    environment = {
        **os.environ,
        "PYTHONPATH": str(copies),
        "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION": implementation,
    }
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.strip()


@pytest.mark.fault(50)
def test_a_copy_imported_before_ours_works_beside_it(copies: Path, implementation: str) -> None:
    assert run(COPIES + OURS + BOTH_WORK, implementation, copies) == "both work"


@pytest.mark.fault(50)
def test_a_copy_imported_after_ours_works_beside_it(copies: Path, implementation: str) -> None:
    assert run(OURS + COPIES + BOTH_WORK, implementation, copies) == "both work"


def test_nothing_of_ours_is_in_the_default_pool(copies: Path, implementation: str) -> None:
    assert run(OURS + OURS_STAY_PRIVATE, implementation, copies) == "private"


def test_in_one_pool_the_two_would_collide(copies: Path) -> None:
    assert run(COPIES + OURS + INTO_THE_DEFAULT_POOL, "upb", copies) == "they collide"
