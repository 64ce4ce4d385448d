"""Runs our Go host (interop_tests/go/cmd/host) with one order and reads its report.

The types below mirror the documents that cmd/host/main.go describes. Decides nothing about a plugin: a start that
failed is a report like any other.
"""

import base64
import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any, Required, TypedDict, cast

import provision

DEFAULT_TIMEOUT_MS = 60_000.0  # cmd/host's own defaults
DEFAULT_KILL_TIMEOUT_MS = 10_000.0
MARGIN = 15.0  # seconds for the host's own start and end, on a busy machine


class Reattach(TypedDict, total=False):
    """A plugin that runs already, in the order and in the report."""

    network: Required[str]
    address: Required[str]
    pid: int
    protocol: str
    version: int
    test: bool


class UnixSocket(TypedDict, total=False):
    """go-plugin's UnixSocketConfig."""

    group: str
    temp_dir: str


class Step(TypedDict, total=False):
    """One operation; `data` is base64 (see `encoded`), `text` its plain form."""

    op: Required[str]
    timeout_ms: float
    data: str
    text: str
    channel: str
    times: int
    level: str
    message: str
    fields: Mapping[str, str]
    milliseconds: int
    count: int
    bytes: int
    a: int
    b: int
    code: int
    names: Sequence[str]
    key: str
    service: str
    v1alpha: bool
    contains: str


class Order(TypedDict, total=False):
    """What the host is to do; exactly one of argv and reattach must be there."""

    argv: Sequence[str]
    reattach: Reattach
    directory: str
    environment: Mapping[str, str]
    skip_host_env: bool
    cookie_key: str
    cookie_value: str
    versions: Sequence[int]
    allowed_protocols: Sequence[str]
    auto_mtls: bool
    tls: str
    multiplex: bool
    managed: bool
    min_port: int
    max_port: int
    sha256: str
    log_buffer_bytes: int
    unix_socket: UnixSocket
    runner: bool
    sync_stdio: bool
    start_timeout_ms: float
    step_timeout_ms: float
    kill_timeout_ms: float
    timeout_ms: float
    leave_running: bool
    steps: Sequence[Step]


class StepResult(TypedDict):
    """`result` is the step's own; None if it failed or has none."""

    op: str
    ok: bool
    error: str
    code: str
    result: Any
    milliseconds: float


class Streamed(TypedDict):
    """The head of a stream in base64, and the measures of all of it."""

    data: str
    bytes: int
    lines: int
    sha256: str


class LogRecord(TypedDict):
    """One record of the host's logger."""

    level: str
    name: str
    message: str
    fields: dict[str, Any]
    plugin: bool


class Kill(TypedDict):
    """How the stop went."""

    called: bool
    returned: bool
    milliseconds: float
    forced: bool


class Report(TypedDict):
    """What the host saw."""

    go_plugin: str
    grpc: str
    started: bool
    error: str
    start_milliseconds: float
    negotiated_version: int
    protocol: str
    id: str
    reattach: Reattach | None
    steps: list[StepResult]
    stdout: Streamed
    stderr: Streamed
    raw_stderr: Streamed
    logs: list[LogRecord]
    logs_dropped: int
    kill: Kill
    exited: bool
    exit_code: int | None
    signal: str
    timed_out: bool


class GoHostFailed(Exception):
    """The host printed no report: the order was no good, or go-plugin panicked (status 2)."""

    def __init__(self, status: int | None, stderr: str) -> None:
        super().__init__(f"the Go host ended with status {status}\n{stderr}")
        self.status = status
        self.stderr = stderr


def limited(descriptors: int | None) -> list[str]:
    """Return the command before that of a program which may not have more open."""
    return [] if descriptors is None else ["sh", "-c", f'ulimit -n {descriptors}; exec "$0"']


def encoded(data: bytes) -> str:
    """Bytes as a step's `data` wants them."""
    return base64.b64encode(data).decode()


def decoded(data: str | Streamed) -> bytes:
    """The bytes of a result, or of what a stream brought."""
    return base64.b64decode(data if isinstance(data, str) else data["data"])


def left_in_time(order: Order, version: str = "1.8.0") -> Report:
    """Runs the host until its plugin left within the two seconds that go-plugin gives it, three times at most.

    A busy machine may make a plugin late once, and not every time.
    """
    for _ in range(2):
        report = run_go_host(order, version)
        if not report["kill"]["forced"]:
            return report
    return run_go_host(order, version)


def run_go_host(
    order: Order,
    version: str = "1.8.0",
    *,
    environment: Mapping[str, str] | None = None,
    descriptors: int | None = None,
) -> Report:
    """Runs the host of one go-plugin version; `environment` replaces what the host itself inherits.

    `descriptors` is how many it may have open.

    Raises provision.Missing without Go, GoHostFailed if there is no report. What a host that was cut short leaves
    running in its process group is killed; a plugin left running on purpose is not.
    """
    limit = order.get("timeout_ms", DEFAULT_TIMEOUT_MS) + order.get("kill_timeout_ms", DEFAULT_KILL_TIMEOUT_MS)
    host = subprocess.Popen(
        [*limited(descriptors), str(provision.program(f"host-{version}"))],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    tidy = False
    try:
        with host:
            try:
                stdout, stderr = host.communicate(json.dumps(order).encode(), timeout=limit / 1000 + MARGIN)
            except subprocess.TimeoutExpired:
                host.kill()
                raise GoHostFailed(None, "no report in time") from None
        if host.returncode:
            raise GoHostFailed(host.returncode, stderr.decode(errors="replace"))
        report = cast("Report", json.loads(stdout))
        tidy = report["kill"]["returned"] or order.get("leave_running", False)
        return report
    finally:
        if not tidy:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(host.pid, signal.SIGKILL)
