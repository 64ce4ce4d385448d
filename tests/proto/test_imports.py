"""What an import costs: each part loads what it needs and no more. Each look is at a fresh interpreter."""

import subprocess
import sys

import pytest


def loaded_by(module: str) -> set[str]:
    program = f"import sys, {module}; print(*sys.modules, sep='\\n')"
    return set(
        subprocess.run(
            [sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=60
        ).stdout.split()
    )


def test_the_room_itself_loads_neither_protobuf_nor_grpc() -> None:
    loaded = loaded_by("goplugin.proto")
    assert "goplugin.proto" in loaded
    assert not [name for name in loaded if name.startswith(("google", "grpc", "goplugin.proto."))]


@pytest.mark.parametrize(
    ("part", "package"),
    [("plugin", "plugin"), ("redpanda", "redpanda"), ("health", "grpc_health"), ("reflection", "grpc_reflection")],
)
def test_no_part_loads_grpc_or_the_messages_of_another(part: str, package: str) -> None:
    loaded = loaded_by(f"goplugin.proto.{part}")
    generated = [name.rpartition(".")[2] for name in loaded if name.startswith("goplugin.proto._generated.")]
    assert generated
    assert [name for name in generated if not name.startswith(package + "_")] == []
    assert not [name for name in loaded if name.split(".")[0].startswith("grpc")]
