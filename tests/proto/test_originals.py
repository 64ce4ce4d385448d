"""Our definitions against those of others: same names, numbers, types, services.

go-plugin's own files are compared where the Go module cache has them, as `go mod download` in `interop_tests/go`
leaves them there.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TypeAlias

import pytest
from google.protobuf import text_format
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
)
from grpc_health.v1 import health_pb2 as health_v1
from grpc_reflection.v1alpha import reflection_pb2 as reflection_v1alpha

ROOM = Path(__file__).parents[2] / "proto"
Facts: TypeAlias = dict[str, dict[str, tuple[object, ...]]]


def facts(files: Iterable[FileDescriptorProto]) -> Facts:
    """All that matters on the wire: by full name, the fields, values or methods by their names."""
    found: Facts = {}
    for file in files:
        for service in file.service:
            found[f"{file.package}.{service.name}"] = {
                m.name: (m.input_type, m.output_type, m.client_streaming, m.server_streaming) for m in service.method
            }
        for message in file.message_type:
            found.update(_message(file.package, message))
        found.update(_enum(file.package, enum) for enum in file.enum_type)
    return found


def _message(scope: str, message: DescriptorProto) -> Facts:
    name = f"{scope}.{message.name}"
    found: Facts = {
        name: {
            f.name: (
                f.number,
                f.type,
                f.label,
                f.type_name,
                message.oneof_decl[f.oneof_index].name if f.HasField("oneof_index") else None,
            )
            for f in message.field
        }
    }
    for nested in message.nested_type:
        found.update(_message(name, nested))
    found.update(_enum(name, enum) for enum in message.enum_type)
    return found


def _enum(scope: str, enum: EnumDescriptorProto) -> tuple[str, dict[str, tuple[object, ...]]]:
    return f"{scope}.{enum.name}", {value.name: (value.number,) for value in enum.value}


def compiled(root: Path, folder: str, out: Path) -> list[FileDescriptorProto]:
    sources = sorted(path.relative_to(root).as_posix() for path in (root / folder).glob("*.proto"))
    assert sources
    protoc = [sys.executable, "-m", "grpc_tools.protoc", f"-I{root}", f"--descriptor_set_out={out}", *sources]
    subprocess.run(protoc, check=True, timeout=60)
    return list(FileDescriptorSet.FromString(out.read_bytes()).file)


def go_module(module: str) -> Path:
    go = shutil.which("go")
    if go is None:
        missing = "Go is missing"
    else:
        cache = subprocess.run(
            [go, "env", "GOMODCACHE"], check=True, capture_output=True, text=True, timeout=60
        ).stdout.strip()
        found = Path(cache, module)
        if found.is_dir():
            return found
        missing = f"{module} is not in the Go module cache"
    if os.environ.get("CI"):
        pytest.fail(missing)
    pytest.skip(missing)


@pytest.mark.parametrize("version", ["v1.7.0", "v1.8.0"])
def test_go_plugin_has_the_same_definitions(version: str, tmp_path: Path) -> None:
    module = go_module(f"github.com/hashicorp/go-plugin@{version}")
    theirs = facts(compiled(module / "internal", "plugin", tmp_path / "theirs"))
    assert theirs["plugin.GRPCBroker"]
    assert facts(compiled(ROOM / "definitions", "plugin", tmp_path / "ours")) == theirs


def test_reflection_v1_is_v1alpha_under_another_name(tmp_path: Path) -> None:
    alpha = FileDescriptorProto()
    reflection_v1alpha.DESCRIPTOR.CopyToProto(alpha)
    text = text_format.MessageToString(alpha)
    assert "grpc.reflection.v1alpha" in text
    theirs = text_format.Parse(text.replace("v1alpha", "v1"), FileDescriptorProto())
    ours = compiled(ROOM / "definitions", "grpc/reflection/v1", tmp_path / "ours")
    assert facts(ours) == facts([theirs])


def test_health_is_that_of_grpcio(tmp_path: Path) -> None:
    theirs = FileDescriptorProto()
    health_v1.DESCRIPTOR.CopyToProto(theirs)
    ours = compiled(ROOM / "definitions", "grpc/health/v1", tmp_path / "ours")
    assert facts(ours) == facts([theirs])
