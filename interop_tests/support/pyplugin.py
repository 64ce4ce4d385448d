"""Command lines of the Python probe plugin, and the steps that every host takes it through."""

import os
import sys
from pathlib import Path

import gohost

HERE = Path(__file__).parent
PROBE = HERE.parent / "plugins" / "probe.py"


def probe(*arguments: str) -> list[str]:
    """Return the command of interop_tests/plugins/probe.py under this interpreter."""
    return [sys.executable, str(PROBE), *arguments]


def probe_environment() -> dict[str, str]:
    """Return what the probe plugin needs on top of what it inherits."""
    return {"PYTHONPATH": os.pathsep.join(filter(None, [str(HERE), os.environ.get("PYTHONPATH")]))}


def every_step() -> list[gohost.Step]:
    """Return steps that use everything a host can do to a plugin, the kill excepted."""
    return [
        {"op": "ping"},
        {"op": "health", "service": "plugin"},
        {"op": "echo", "text": "héllo"},
        {"op": "add", "a": 40, "b": 2},
        {"op": "big", "bytes": 8 * 2**20},
        {"op": "stream", "count": 1000},
        {"op": "fail", "code": 9, "message": "not now"},
        {"op": "kv_put", "key": "k", "text": "v"},
        {"op": "kv_get", "key": "k"},
        {"op": "print", "channel": "stdout", "text": "to stdout\n", "times": 3},
        {"op": "wait_stdout", "contains": "to stdout\nto stdout\nto stdout\n"},
        {"op": "print", "channel": "stderr", "text": "to stderr\n", "times": 1},
        {"op": "wait_stderr", "contains": "to stderr\n"},
        {"op": "log", "level": "warn", "message": "look out", "fields": {"who": "probe", "n": "1"}},
        {"op": "wait_log", "contains": "look out"},
        {"op": "reflect"},
        {"op": "reflect", "v1alpha": True},
    ]


SERVICES = [
    "grpc.health.v1.Health",
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
    "interop.v1.Probe",
    "plugin.GRPCBroker",
    "plugin.GRPCController",
    "plugin.GRPCStdio",
    "proto.KV",
]
"""What reflection lists for a plugin that serves Probe and KV, be it Go's or ours (grpc_client_test.go:139)."""
