"""Runs our batch host in Go (interop_tests/go/cmd/batchhost) with one order and reads its report.

The types below mirror the documents that cmd/batchhost/main.go describes. Decides nothing about a plugin.
"""

import base64
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Required, TypedDict, cast

import provision

PLUGINS = Path(__file__).parent.parent / "plugins"
DEFAULT_TIMEOUT_MS = 60_000  # cmd/batchhost's own default
MARGIN = 20.0  # seconds; go-plugin waits up to two for each plugin to leave

WireMessage = Mapping[str, Any]  # protobuf's JSON of a message


class Plugin(TypedDict, total=False):
    """A plugin of the order."""

    argv: Required[Sequence[str]]
    config: Mapping[str, Any]


class Order(TypedDict, total=False):
    """What the host is to do; exactly one of input and batches must be there."""

    input: Plugin
    batches: Sequence[Sequence[WireMessage]]
    processors: Sequence[Plugin]
    output: Plugin
    auto_mtls: bool
    replays: int
    timeout_ms: int


class PluginReport(TypedDict):
    """One plugin, from its Init to its end."""

    name: str
    auto_replay_nacks: bool
    max_in_flight: int
    batch_policy: dict[str, Any] | None
    close: str
    exit_code: int


class Settled(TypedDict):
    """One batch, from where it was read to where it went."""

    read: list[dict[str, Any]]
    sent: list[list[dict[str, Any]]]
    attempts: int
    error: str


class Report(TypedDict):
    """What the host saw."""

    error: str
    plugins: list[PluginReport]
    settled: list[Settled]


class BatchHostFailed(Exception):
    """The host printed no report."""


def python(script: str, config: Mapping[str, Any] | None = None, *arguments: str) -> Plugin:
    """A script of interop_tests/plugins, under this interpreter."""
    return {"argv": [sys.executable, str(PLUGINS / script), *arguments], "config": dict(config or {})}


def message(payload: bytes, **metadata: str) -> WireMessage:
    """A message of bytes, its metadata texts."""
    fields = {name: {"stringValue": value} for name, value in metadata.items()}
    return {"bytes": base64.b64encode(payload).decode(), **({"metadata": {"fields": fields}} if fields else {})}


def payloads(batch: Sequence[WireMessage]) -> list[bytes]:
    """The payloads of a batch of bytes."""
    return [base64.b64decode(one.get("bytes", "")) for one in batch]


def run_batch_host(order: Order) -> Report:
    """Run the host; whatever it leaves in its process group is killed.

    Raises:
        provision.Missing: without Go.
        BatchHostFailed: there is no report.
    """
    limit = order.get("timeout_ms", DEFAULT_TIMEOUT_MS) / 1000 + MARGIN
    with subprocess.Popen(
        [provision.program("batchhost")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as host:
        try:
            stdout, stderr = host.communicate(json.dumps(order).encode(), timeout=limit)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(host.pid, signal.SIGKILL)
    print(stderr.decode(errors="replace"))
    if host.returncode:
        raise BatchHostFailed(f"status {host.returncode}")
    return cast("Report", json.loads(stdout))
