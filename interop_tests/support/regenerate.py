"""Regenerates what is made from .proto files for the tests: Python stubs beside this file, Go stubs in the Go module.

Run by hand after a change to a .proto file: `python interop_tests/support/regenerate.py`. Needs grpcio-tools (in
the `test` extra) and Go. It writes generated files only; the tests never run it.
"""

import importlib.resources
import os
import subprocess
import sys
import tempfile
from pathlib import Path

SUPPORT = Path(__file__).resolve().parent
PROTOS = SUPPORT.parent / "protos"
DEFINITIONS = SUPPORT.parent.parent / "proto" / "definitions"
GO = SUPPORT.parent / "go"
MODULE = "goplugin/interop"

GENERATORS = (
    "google.golang.org/protobuf/cmd/protoc-gen-go@v1.36.6",  # what go-plugin 1.7.0 links
    "google.golang.org/grpc/cmd/protoc-gen-go-grpc@v1.3.0",  # later ones need a newer grpc-go than go-plugin 1.7.0
)
OURS = {"probe.proto": "internal/probev1", "kv.proto": "internal/kvv1"}
PYTHON_ONLY = (
    "rule_set.proto",
    "notifier.proto",
    "streamer.proto",
    "counter.proto",
    "tflint.proto",
    "wrapping.proto",
)  # the Go side is somebody else's program
BATCH = {  # the project's own definitions; Python has its stubs elsewhere
    "redpanda/runtime/v1alpha1/message.proto": "internal/batchv1",
    "redpanda/runtime/v1alpha1/input.proto": "internal/batchv1",
    "redpanda/runtime/v1alpha1/processor.proto": "internal/batchv1",
    "redpanda/runtime/v1alpha1/output.proto": "internal/batchv1",
}


def compile_protos(*arguments: str) -> None:
    """Runs grpcio-tools' protoc with every folder of definitions in view."""
    bundled = importlib.resources.files("grpc_tools") / "_proto"
    folders = [f"-I{folder}" for folder in (PROTOS, DEFINITIONS, bundled)]
    subprocess.run([sys.executable, "-m", "grpc_tools.protoc", *folders, *arguments], check=True)


def python_stubs() -> None:
    outputs = [f"--{kind}_out={SUPPORT}" for kind in ("python", "pyi", "grpc_python")]
    for proto in (*OURS, *PYTHON_ONLY):  # one at a time, for several of these packages have a message of one name
        compile_protos(*outputs, proto)
        types = SUPPORT / proto.replace(".proto", "_pb2.pyi")
        types.write_text(types.read_text().replace(", _Mapping]", ", _Mapping[str, object]]"))  # protoc leaves it bare


def go_stubs() -> None:
    packages = {**OURS, **BATCH}
    options = ",".join([f"module={MODULE}", *(f"M{proto}={MODULE}/{to}" for proto, to in packages.items())])
    with tempfile.TemporaryDirectory() as tools:
        for generator in GENERATORS:
            subprocess.run(["go", "install", generator], check=True, env={**os.environ, "GOBIN": tools})
        compile_protos(
            f"--plugin=protoc-gen-go={tools}/protoc-gen-go",
            f"--plugin=protoc-gen-go-grpc={tools}/protoc-gen-go-grpc",
            f"--go_out={options}:{GO}",
            f"--go-grpc_out={options}:{GO}",
            *packages,
        )


if __name__ == "__main__":
    python_stubs()
    go_stubs()
