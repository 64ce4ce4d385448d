"""Where go-plugin's own host and ours part: the same bad program under both, and the difference asserted.

The programs are in `badplugins/`. What go-plugin did goes into the table of docs/faults.md, by its version, so a
release that behaves differently turns a test red instead of making the page wrong.
"""

import contextlib
import os
import select
import shutil
import signal
import subprocess
import tempfile
from base64 import b64encode
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from time import monotonic, time
from typing import Any, cast

import grpc
import provision
import psutil
import pytest
from gohost import GoHostFailed, Order, Report, Step, decoded, run_go_host
from plugin_process import command as plugin_command
from probe_pb2 import CHANNEL_STDOUT, EchoRequest, EnvironmentRequest, PrintRequest
from probe_pb2_grpc import ProbeStub
from shells import HANDSHAKE, SHELLS, SUPPORT, Shell, program

from goplugin.handshake import (
    ChecksumMismatch,
    HandshakeRefused,
    MachineFault,
    Misuse,
    PluginFault,
    PluginLost,
    ProcessNotFound,
    Reattach,
    StartTimeout,
    Unix,
)
from goplugin.hostlib import SecureConfig, StopBudget, UnixSockets
from goplugin.transport.tls import Identity

VERSION = "1.8.0"
COOKIE = {HANDSHAKE.cookie_key: str(HANDSHAKE.cookie_value)}
GO_PLUGIN = (f"-cookie-key={HANDSHAKE.cookie_key}", f"-cookie-value={HANDSHAKE.cookie_value}")
PATIENCE_MS = 3000.0  # for a Kill of go-plugin's that never returns: its own grace is 2 s
LIMITS = (0.5, 4.0, 30.0)  # seconds, one after the other: for a program to get to its fault, on a busy machine too
SHORT = StopBudget(shutdown=0.5, terminate=0.5, kill=30.0)


class Go:
    """go-plugin's host, and the folder that it has for its temporary files."""

    def __init__(self, folder: Path, did: Callable[[str, str], None]) -> None:
        self.folder = folder
        self._did = did

    def run(
        self, name: str | Sequence[str], *steps: Step, environment: dict[str, str] | None = None, **more: Any
    ) -> Report:
        """Run a bad program, or a command, under the host; nothing in it can take long."""
        order: dict[str, Any] = {
            "argv": program(name) if isinstance(name, str) else list(name),
            "cookie_key": HANDSHAKE.cookie_key,
            "cookie_value": HANDSHAKE.cookie_value,
            "environment": SUPPORT | {"PLUGIN_UNIX_SOCKET_DIR": str(self.folder)} | (environment or {}),
            "steps": steps,
        }
        inherited = {**os.environ, "TMPDIR": str(self.folder)}
        return run_go_host(cast("Order", order | more), VERSION, environment=inherited)

    def did(self, what: str) -> None:
        """Note what was asserted, for the table."""
        self._did(VERSION, what)


def hung(run: Callable[[float], Report]) -> Report:
    """Return what was seen of a program under which Kill does not return. It gets more time where it was not so far."""
    for seconds in LIMITS[:-1]:
        if not (seen := run(seconds * 1000))["kill"]["returned"]:
            return seen
    return run(LIMITS[-1] * 1000)


@pytest.fixture
def go(go_plugin_did: Callable[[str, str], None]) -> Iterator[Go]:
    with tempfile.TemporaryDirectory(prefix="go-", dir="/tmp") as folder:  # Go plugins leave their sockets
        yield Go(Path(folder), go_plugin_did)


class Probe:
    """A stub in bytes, for the method that both hosts call."""

    def __init__(self, channel: Any) -> None:
        self.echo = channel.unary_unary("/interop.v1.Probe/Echo")


@pytest.fixture
def go_plugin() -> list[str]:
    """The command of a good plugin, which is Go's."""
    return [str(provision.program(f"plugin-{VERSION}")), *GO_PLUGIN]


Ours = Callable[..., Iterator[Shell]]


@pytest.fixture
def ours(nothing_left: str) -> Ours:
    """`for shell in ours(program)` gives both of our shells, one after the other, and stops what was started."""

    def both(name: str, *, command: Sequence[str] | None = None, stub: Any = Probe, **options: Any) -> Iterator[Shell]:
        for shell in SHELLS.values():
            made = shell(list(command or program(name)), versions={1: {"echo": stub}}, **options)
            with contextlib.closing(made):
                yield made

    return both


def lost(shell: Shell, kind: type[PluginFault] = PluginLost, match: str | None = None) -> Any:
    """Start a plugin that cannot be started; return the error. The process is gone by then."""
    with pytest.raises(kind, match=match) as caught:
        shell.start()
    assert type(caught.value) is kind
    assert not psutil.pid_exists(shell.client.id)
    return caught.value


def timed_out(ours: Ours, name: str, says: Callable[[StartTimeout], object]) -> None:
    """Start a plugin whose start takes too long, with either shell; with more time where it was not so far."""
    errors: list[StartTimeout] = []
    for seconds in LIMITS:
        errors.clear()
        for shell in ours(name, start_timeout=seconds):
            errors.append(lost(shell, StartTimeout))
            assert errors[-1].pid == shell.client.id
        if all(map(says, errors)):
            return
    pytest.fail("\n".join(map(str, errors)))


def heard(shell: Shell) -> Any:
    """Return what the plugin has said on stderr, which may be read later than its line."""
    limit = monotonic() + 30
    while not (said := shell.client.stderr_tail):
        assert monotonic() < limit
        shell.ping()
    return said


NO_LINE = "Failed to read any lines"  # client.go:841

# ------------------------------------------------------------------------------------------------ before the line


@pytest.mark.fault(1)
def test_a_plugin_that_never_prints(go: Go, ours: Ours) -> None:
    seen = go.run("never.sh", start_timeout_ms=300)
    assert seen["error"] == "timeout while waiting for plugin to start"
    wrapped = hung(lambda limit: go.run("never_wrapped.sh", start_timeout_ms=limit, kill_timeout_ms=PATIENCE_MS))
    assert not wrapped["kill"]["returned"]
    go.did("times out without a word of its stderr; if a shell wraps it, Kill never returns")
    timed_out(ours, "never.sh", lambda error: error.stderr == (b"waiting for the database",))
    for shell in ours("never_wrapped.sh", start_timeout=0.3):
        begun = monotonic()
        lost(shell, StartTimeout)
        shell.stop()
        assert monotonic() - begun < 30


@pytest.mark.fault(2, 49)
def test_a_plugin_that_exits_before_its_line(go: Go, ours: Ours) -> None:
    seen = go.run("exits.sh", environment={"CODE": "3"})
    assert NO_LINE in seen["error"]
    assert "3" not in seen["error"].partition("Additional notes")[0]
    assert "cannot open the database" not in seen["error"]
    go.did("names neither the exit status nor what was on stderr")
    for shell in ours("exits.sh", env={"CODE": "3"}):
        error = lost(shell)
        assert (error.exit_code, error.stderr) == (3, (b"cannot open the database",))


@pytest.mark.fault(3)
def test_a_plugin_that_dies_of_a_signal_before_its_line(go: Go, ours: Ours) -> None:
    signalled, exited = go.run("crashes.sh"), go.run("exits.sh", environment={"CODE": "0"})
    assert signalled["signal"] == "segmentation fault"
    assert signalled["error"] == exited["error"]
    go.did("says just what it says of an exit with 0")
    for shell in ours("crashes.sh"):
        error = lost(shell, match=r"killed by SIGSEGV \(the program crashed in native code\)")
        assert error.signal == "SIGSEGV"


@pytest.mark.fault(4, 8)
def test_a_first_line_that_a_terminal_would_obey(go: Go, ours: Ours) -> None:
    seen = go.run("garbage.sh")
    assert seen["error"].startswith("Unrecognized remote plugin message: \x1b[2Jhi\x00")
    go.did("refuses it at once, with its control characters in the error as they came")
    for shell in ours("garbage.sh"):
        error = lost(shell, HandshakeRefused)
        assert r"\x1b[2Jhi\x00" in str(error)
        assert str(error).isprintable()


@pytest.mark.fault(5)
def test_half_a_line_and_no_more(go: Go, ours: Ours) -> None:
    seen = go.run("partial_then_hangs.sh", start_timeout_ms=300)
    assert seen["error"] == "timeout while waiting for plugin to start"
    go.did("times out, and does not say what did arrive")
    timed_out(ours, "partial_then_hangs.sh", lambda error: 'its stdout began "1|1|unix|/tmp"' in str(error))


@pytest.mark.fault(6)
def test_a_line_without_its_end(go: Go, ours: Ours) -> None:
    seen = go.run("partial_then_exits.sh")
    assert seen["started"]
    assert seen["reattach"] is not None
    assert seen["reattach"]["address"] == "/tmp/p"
    go.did("takes it for a whole line, and the start for a success")
    for shell in ours("partial_then_exits.sh"):
        assert lost(shell, match="exited before its handshake line was complete").said == b"1|1|unix|/tmp/p|grpc|"


@pytest.mark.fault(7)
def test_a_huge_first_line(go: Go, ours: Ours) -> None:
    seen = go.run("long_line.sh")
    assert NO_LINE in seen["error"]
    go.did("says that there was no line at all")
    for shell in ours("long_line.sh"):
        assert "65536" in str(lost(shell, HandshakeRefused))


FIELDS = [  # the line, a part of go-plugin's error, our field
    ("2|1|unix|/tmp/p|grpc|", "incompatible core API version", "core protocol"),
    ("1|9|unix|/tmp/p|grpc|", "incompatible API version", "protocol version"),
    ("1|1|pigeon|/tmp/p|grpc|", "unknown address type: /tmp/p", "network"),
    ("1|1|unix|/tmp/p|smtp|", "unsupported plugin protocol", "protocol"),
    ("1|1|unix|/tmp/p|grpc||maybe", "error parsing", "multiplexing"),
]


@pytest.mark.fault(9)
def test_a_line_with_one_bad_field(go: Go, ours: Ours) -> None:
    for line, text, field in FIELDS:
        multiplex = field == "multiplexing"
        seen = go.run("line.sh", environment={"LINE": line}, multiplex=multiplex)
        assert text in seen["error"]
        for shell in ours("line.sh", env={"LINE": line}, multiplex=multiplex):
            assert lost(shell, HandshakeRefused).field == field
    go.did("has a text for each; that of an unknown network names the address instead of the network")


@pytest.mark.fault(10)
def test_a_certificate_that_nobody_asked_for(go: Go, ours: Ours) -> None:
    der = Identity.generate(time()).certificate.der
    certificate = b64encode(der).decode().rstrip("=")
    line = {"LINE": f"1|1|unix|/tmp/p|grpc|{certificate}"}
    with pytest.raises(GoHostFailed) as caught:
        go.run("line.sh", environment=line)
    assert caught.value.status == 2
    assert "nil pointer dereference" in caught.value.stderr
    go.did("panics, and the host is gone")
    for shell in ours("line.sh", env=line):
        assert lost(shell, HandshakeRefused).field == "server certificate"


@pytest.mark.fault(11)
def test_automtls_and_no_certificate_in_the_line(go: Go, ours: Ours) -> None:
    garbage = {"LINE": f"1|1|unix|/tmp/p|grpc|{'A' * 60}"}
    assert "malformed certificate" in go.run("line.sh", environment=garbage, auto_mtls=True)["error"]
    seen = go.run("bare.py", {"op": "ping"}, auto_mtls=True)
    assert seen["reattach"] is not None
    go.did("refuses garbage, but takes a missing certificate for a good start")
    for shell in ours("bare.py", auto_mtls=True):
        assert lost(shell, HandshakeRefused).field == "server certificate"


@pytest.mark.fault(12)
def test_stdout_that_is_closed_early(go: Go, ours: Ours) -> None:
    before, after = go.run("closes_stdout.sh"), go.run("closes_its_pipes.py", {"op": "ping"})
    assert NO_LINE in before["error"]
    assert after["steps"][0]["ok"]
    go.did("fails before the line, goes on after it")
    for shell in ours("closes_stdout.sh"):
        lost(shell, match="closed its stdout before")
    for shell in ours("closes_its_pipes.py"):
        shell.start()
        shell.ping()


@pytest.mark.fault(18)
def test_a_plugin_that_exits_while_a_child_of_its_own_holds_its_pipes(go: Go, ours: Ours) -> None:
    seen = hung(lambda limit: go.run("grandchild_holds_stdout.sh", start_timeout_ms=limit, kill_timeout_ms=PATIENCE_MS))
    assert seen["error"] == "timeout while waiting for plugin to start"
    assert not seen["kill"]["returned"]
    go.did("does not see that it has exited, and Kill never returns")
    for shell in ours("grandchild_holds_stdout.sh"):
        assert lost(shell).exit_code == 3


@pytest.mark.fault(19)
def test_a_plugin_that_exits_after_its_line(go: Go, ours: Ours) -> None:
    seen = go.run("exits_after_line.sh", {"op": "ping"})
    assert seen["started"]
    assert seen["steps"][0]["code"] == "Unavailable"
    go.did("starts well; the first call is Unavailable")
    for shell in ours("exits_after_line.sh"):
        assert lost(shell, match="between its handshake line and its first answer").exit_code == 4


@pytest.mark.fault(32)
def test_a_line_that_names_somebody_else(go: Go, ours: Ours) -> None:
    seen = go.run("line.sh", environment={"LINE": f"1|1|unix|{go.folder}/nobody|grpc|"})
    assert seen["started"]
    go.did("takes the address of the line as it is; nobody needs to listen there")
    for shell in ours("line.sh", env={"LINE": f"1|1|unix|{go.folder}/nobody|grpc|"}, start_timeout=1.0):
        lost(shell, StartTimeout)


@contextlib.contextmanager
def another_plugin(folder: str | Path) -> Generator[tuple[dict[str, str], "subprocess.Popen[bytes]"]]:
    """Start a good plugin that is not the host's; give the variable with its line, and its process."""
    with tempfile.TemporaryDirectory(dir=folder) as directory:
        environment = {**os.environ, **COOKIE, **SUPPORT, "PLUGIN_UNIX_SOCKET_DIR": directory}
        with subprocess.Popen(program("bare.py"), env=environment, stdout=subprocess.PIPE) as other:
            try:
                assert other.stdout is not None
                yield {"LINE": other.stdout.readline().decode().strip()}, other
            finally:
                other.kill()


@pytest.mark.fault(32)
def test_a_line_that_names_a_plugin_of_somebody_else(go: Go, ours: Ours) -> None:
    with another_plugin(go.folder) as (said, other):
        assert go.run("line.sh", {"op": "ping"}, environment=said)["steps"][0]["ok"]
        assert other.wait(30) == 0
        go.did("talks to whoever is there, and Kill shuts that one down")
    with another_plugin(go.folder) as (said, other):
        for strict in (UnixSockets(check="peer"), UnixSockets(check="directory")):
            for shell in ours("line.sh", env=said, unix_sockets=strict):
                assert lost(shell, HandshakeRefused).field == "address"
        assert other.poll() is None
        for shell in ours("line.sh", env=said, unix_sockets=UnixSockets(check="nothing"), stop_budget=SHORT):
            shell.start()  # it is the check that refuses it: without one, it answers
            shell.ping()
            break  # the stop shuts it down


@pytest.mark.fault(33, 35)
def test_a_checksum(go: Go, ours: Ours) -> None:
    interpreter = Path(shutil.which("sh") or "").resolve()
    checksum = sha256(interpreter.read_bytes())
    wrong = go.run("partial_then_exits.sh", sha256="00" * 32)
    assert "checksums did not match" in wrong["error"]
    assert go.run("partial_then_exits.sh", sha256=checksum.hexdigest())["started"]
    go.did("refuses a wrong one; that of an interpreter lets it run any script")
    script = program("exits.sh")[1]
    files = {script: sha256(Path(script).read_bytes()).digest()}
    for shell in ours("exits.sh", secure=SecureConfig(checksum=bytes(32), files=files)):
        with pytest.raises(ChecksumMismatch):
            shell.start()
        assert shell.client.id is None
    with pytest.raises(Misuse, match="says nothing of what it runs"):
        next(ours("exits.sh", secure=SecureConfig(checksum=checksum.digest())))


@pytest.mark.fault(34)
def test_one_checksum_for_two_starts(go: Go, go_plugin: list[str], ours: Ours) -> None:
    interpreter = Path(shutil.which("sh") or "").resolve()
    checksum = sha256(interpreter.read_bytes()).hexdigest()
    seen = go.run("partial_then_exits.sh", {"op": "secure_again"}, sha256=checksum)
    assert "checksums did not match" in seen["steps"][0]["error"]
    go.did("a second start with one SecureConfig fails")
    secure = SecureConfig(checksum=sha256(Path(go_plugin[0]).read_bytes()).digest())
    for shell in ours("", command=go_plugin, stub=ProbeStub, secure=secure):
        shell.start()
        shell.ping()


@pytest.mark.fault(43)
def test_a_start_without_free_descriptors(go: Go) -> None:
    """Ours is in tests/hostlib/test_child.py."""
    order: Order = {"argv": program("exits.sh"), "cookie_key": HANDSHAKE.cookie_key, "cookie_value": "yes"}
    seen = run_go_host(order, VERSION, descriptors=8)  # Go itself has five, and the plugin's pipes need four
    assert "too many open files" in seen["error"]
    assert seen["kill"]["returned"]
    go.did("the start gives the system's error")


@pytest.mark.fault(47)
def test_a_second_start_and_a_second_stop(go: Go, ours: Ours) -> None:
    seen = go.run("bare.py", {"op": "start_again"}, {"op": "kill"}, {"op": "kill"})
    assert seen["reattach"] is not None
    assert [step["ok"] for step in seen["steps"]] == [True] * 3
    assert seen["steps"][0]["result"] == seen["reattach"]["address"]
    assert go.run("exits.sh", environment={"CODE": "3"})["kill"]["returned"]
    go.did("a second Start gives the first one's answer; Kill may come again, and after a start that failed")
    for shell in ours("bare.py"):
        shell.start()
        with pytest.raises(Misuse, match="make another client"):
            shell.start()
        assert shell.stop() is shell.stop()


@pytest.mark.fault(44)
def test_the_record_of_a_plugin_whose_number_is_a_strangers(go: Go) -> None:
    environment = {**os.environ, **COOKIE, **SUPPORT, "PLUGIN_UNIX_SOCKET_DIR": str(go.folder)}
    plugin = subprocess.Popen(program("bare.py"), env=environment, stdout=subprocess.PIPE)
    stranger = subprocess.Popen(["sleep", "60"])
    with plugin, stranger:
        try:
            assert plugin.stdout is not None
            address = plugin.stdout.readline().decode().split("|")[3]
            record = Reattach(protocol="grpc", version=1, address=Unix(address), pid=stranger.pid, started=None)
            for shell in SHELLS.values():
                found_again = shell(None, reattach=record)
                with contextlib.closing(found_again), pytest.raises(ProcessNotFound):
                    found_again.start()
            assert stranger.poll() is None
            order: Order = {"reattach": {"network": "unix", "address": address, "pid": stranger.pid}}
            with ThreadPoolExecutor(1) as reaper:
                ended = reaper.submit(stranger.wait, 60)  # Kill does not return before it is reaped
                assert run_go_host(order, VERSION)["started"]
                assert ended.result() == -signal.SIGKILL
            go.did("kills whoever has the number")
        finally:
            plugin.kill()
            stranger.kill()


# ------------------------------------------------------------------------------------------------- while it works


@pytest.mark.fault(13)
def test_a_flood_without_a_line_end_on_stdout(go: Go, ours: Ours) -> None:
    seen = go.run("floods_stdout.py", {"op": "echo", "timeout_ms": 1000})
    assert seen["steps"][0]["code"] == "DeadlineExceeded"
    go.did("stops reading stdout at the first line beyond 64 KiB, and the plugin is stuck")
    for shell in ours("floods_stdout.py"):
        shell.start()
        assert shell.call(shell.echo().echo) == b""


@pytest.mark.fault(14)
def test_output_that_no_host_reads(go: Go, go_plugin: list[str], ours: Ours) -> None:
    request = PrintRequest(channel=CHANNEL_STDOUT, text=b"x" * 2**20, times=1)
    environment = {**os.environ, **COOKIE, "TMPDIR": str(go.folder)}
    with subprocess.Popen(go_plugin, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as plugin:
        assert plugin.stdout is not None
        address = plugin.stdout.readline().decode().split("|")[3]
        with grpc.insecure_channel(f"unix:{address}") as channel:
            printing: Any = ProbeStub(channel).Print
            with pytest.raises(grpc.FutureTimeoutError):
                printing.future(request).result(timeout=1)
        plugin.kill()
    go.did("its plugins block in print until somebody opens StreamStdio")
    for shell in ours("", command=go_plugin, stub=ProbeStub):
        shell.start()
        shell.call(shell.client.dispense("echo").Print, request, timeout=30)


@pytest.mark.fault(20, 21)
def test_a_plugin_that_dies_in_a_call(go: Go, ours: Ours) -> None:
    seen = go.run("dies_in_a_call.py", {"op": "echo"})
    assert (seen["steps"][0]["code"], seen["exit_code"]) == ("Unavailable", 7)
    assert "7" not in seen["steps"][0]["error"].replace(str(go.folder), "")
    assert decoded(seen["raw_stderr"]) == b"called\n"
    go.did("gives gRPC's Unavailable, without the exit status; calls once, starts nothing anew")
    for shell in ours("dies_in_a_call.py"):
        shell.start()
        with pytest.raises(PluginLost) as caught:
            shell.call(shell.echo().echo)
        assert (caught.value.exit_code, caught.value.stderr) == (7, (b"called",))
        assert isinstance(caught.value, grpc.RpcError)


@pytest.mark.fault(24)
def test_a_message_beyond_four_mebibytes(go: Go, go_plugin: list[str], ours: Ours) -> None:
    size = 5 * 2**20
    assert go.run(go_plugin, {"op": "big", "bytes": size})["steps"][0]["code"] == "ResourceExhausted"
    go.did("its hosts send it, its plugins refuse it")
    for shell in ours("", command=go_plugin, stub=ProbeStub):
        shell.start()
        with pytest.raises(grpc.RpcError, match="RESOURCE_EXHAUSTED"):
            shell.call(shell.client.dispense("echo").Echo, EchoRequest(data=bytes(size)))


# -------------------------------------------------------------------------------------------------------- the stop


@pytest.mark.fault(15)
def test_a_plugin_that_cannot_be_asked_to_stop(go: Go, ours: Ours) -> None:
    kill = go.run("no_services.py")["kill"]
    assert kill["forced"]
    assert kill["milliseconds"] >= 2000
    go.did("waits for 2 s, then SIGKILL")
    patient = StopBudget(shutdown=60.0, terminate=30.0)
    for shell in ours("no_services.py", stop_budget=patient):
        shell.start()
        stopped = shell.stop()
        assert (stopped.how, stopped.signal) == ("terminated", "SIGTERM")
        assert stopped.seconds < patient.shutdown


@pytest.mark.fault(16)
def test_a_plugin_that_hangs_in_shutdown_or_is_frozen(go: Go, ours: Ours) -> None:
    def run(name: str, *steps: Step) -> Report:
        own = tempfile.mkdtemp(dir=go.folder)  # their sockets have the same name
        return go.run(name, *steps, environment={"PLUGIN_UNIX_SOCKET_DIR": own}, kill_timeout_ms=PATIENCE_MS)

    with ThreadPoolExecutor() as pool:  # each takes all of the patience
        runs = (
            pool.submit(run, "hangs_in_shutdown.py"),
            pool.submit(hung, lambda limit: run("freezes.py", {"op": "echo", "timeout_ms": limit})),
        )
        hanging, frozen = (run.result() for run in runs)
    assert not hanging["kill"]["returned"]
    assert not frozen["kill"]["returned"]
    go.did("Kill never returns: neither Shutdown nor Ping has a deadline")
    for shell in ours("hangs_in_shutdown.py", stop_budget=SHORT):
        shell.start()
        assert shell.stop().how == "killed"
    budget = StopBudget(shutdown=0.5, terminate=30.0)
    for shell in ours("freezes.py", stop_budget=budget):
        shell.start()
        while psutil.Process(shell.client.id).status() != psutil.STATUS_STOPPED:  # a call may not have come to it
            with pytest.raises(grpc.RpcError, match="DEADLINE_EXCEEDED"):
                shell.call(shell.echo().echo, timeout=0.3)
        with pytest.raises(PluginFault, match="DEADLINE_EXCEEDED"):
            shell.ping(timeout=0.3)
        stopped = shell.stop()
        assert stopped.how == "terminated"
        assert stopped.seconds < budget.total


@pytest.mark.fault(17)
def test_a_plugin_that_would_tidy_up_on_sigterm(go: Go, ours: Ours) -> None:
    seen = go.run("tidies_on_sigterm.py")
    assert (seen["signal"], decoded(seen["raw_stderr"])) == ("killed", b"")
    go.did("never sends SIGTERM")
    for shell in ours("tidies_on_sigterm.py"):
        shell.start()
        stopped = shell.stop()
        assert (stopped.how, stopped.exit_code) == ("terminated", 0)
        assert shell.client.stderr_tail == ("tidied",)
    for shell in ours("ignores_sigterm.py", stop_budget=SHORT):
        shell.start()
        assert shell.stop().how == "killed"


@pytest.mark.fault(18)
def test_a_plugin_with_a_child_that_holds_its_pipes(go: Go, ours: Ours) -> None:
    seen = go.run("has_a_child.py", kill_timeout_ms=PATIENCE_MS)
    assert not seen["kill"]["returned"]
    go.did("Kill never returns while a child of the plugin holds its pipes; the child is not ended")
    for shell in ours("has_a_child.py"):
        shell.start()
        begun = monotonic()
        assert shell.stop().how == "shutdown"
        assert monotonic() - begun < 30


@pytest.mark.fault(48)
def test_a_plugin_that_takes_its_answer_to_shutdown_with_it(go: Go, ours: Ours) -> None:
    kill = go.run("ends_in_shutdown.py")["kill"]
    assert kill["returned"]
    assert not kill["forced"]
    go.did("takes a broken connection here for success")
    for shell in ours("ends_in_shutdown.py"):
        shell.start()
        assert shell.stop().how == "shutdown"


# --------------------------------------------------------------------------------------------- what surrounds them


@pytest.mark.fault(26)
def test_a_tmpdir_too_long_for_a_socket(
    go: Go, go_plugin: list[str], ours: Ours, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = go.folder / ("d" * 100)
    long.mkdir()
    monkeypatch.setenv("TMPDIR", str(long))
    order: Order = {"argv": go_plugin, "cookie_key": HANDSHAKE.cookie_key, "cookie_value": str(HANDSHAKE.cookie_value)}
    seen = run_go_host(order, VERSION)
    assert NO_LINE in seen["error"]
    assert "108" not in seen["error"]
    go.did("the plugin cannot bind, and the error does not say why")
    for shell in ours("", command=go_plugin, stub=ProbeStub):
        shell.start()
        shell.ping()


@pytest.mark.fault(27)
def test_a_tmpdir_that_is_not_there(go: Go, go_plugin: list[str], ours: Ours, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", "/nonexistent")
    order: Order = {"argv": go_plugin, "cookie_key": HANDSHAKE.cookie_key, "cookie_value": str(HANDSHAKE.cookie_value)}
    seen = run_go_host(order, VERSION)
    assert NO_LINE in seen["error"]
    assert "/nonexistent" not in seen["error"]
    go.did("the plugin fails, and the error does not say why")
    for shell in ours("", command=go_plugin):
        with pytest.raises(MachineFault, match="/nonexistent"):
            shell.start()


@pytest.mark.fault(28)
def test_the_socket_of_a_plugin_that_was_killed(go: Go, go_plugin: list[str], ours: Ours, nothing_left: str) -> None:
    go.run(go_plugin, {"op": "exit", "code": 1}, environment={"PLUGIN_UNIX_SOCKET_DIR": ""})
    assert [entry.is_socket() for entry in go.folder.iterdir()] == [True]
    go.did("stays where it was")
    for shell in ours("", command=go_plugin):
        shell.start()
        assert os.listdir(nothing_left) != []
        os.kill(shell.client.id, signal.SIGKILL)
        shell.stop()
        assert os.listdir(nothing_left) == []


@pytest.mark.fault(30)
def test_who_may_reach_the_socket(go: Go, go_plugin: list[str], ours: Ours) -> None:
    seen = go.run(go_plugin, environment={"PLUGIN_UNIX_SOCKET_DIR": ""})
    assert seen["reattach"] is not None
    assert Path(seen["reattach"]["address"]).parent == go.folder
    go.did("lies in the temporary directory itself, and the umask alone says who may connect")
    for shell in ours("", command=go_plugin):
        shell.start()
        directory = Path(shell.client.line.address.path).parent
        assert directory.stat().st_mode & 0o777 == 0o700


@pytest.mark.fault(37)
def test_a_variable_that_caller_and_host_both_have(
    go: Go, go_plugin: list[str], ours: Ours, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BOTH", "inherited")
    seen = go.run(go_plugin, {"op": "environment", "names": ["BOTH"]}, environment={"BOTH": "given"})
    assert seen["steps"][0]["result"] == {"BOTH": "inherited"}
    go.did("the inherited value wins over the caller's")
    for shell in ours("", command=go_plugin, stub=ProbeStub, env={"BOTH": "given"}):
        shell.start()
        answer = shell.call(shell.client.dispense("echo").Environment, EnvironmentRequest(names=["BOTH"]))
        assert dict(answer.variables) == {"BOTH": "given"}


@pytest.mark.fault(38)
def test_whose_stdin_the_plugin_has(go: Go, ours: Ours) -> None:
    assert decoded(go.run("shows_stdin.py")["raw_stderr"]).startswith(b"stdin is pipe:")
    go.did("the host's own")
    for shell in ours("shows_stdin.py"):
        shell.start()
        assert heard(shell) == ("stdin is /dev/null",)


@pytest.mark.fault(39)
def test_whose_group_a_ctrl_c_reaches(go: Go, ours: Ours) -> None:
    assert decoded(go.run("shows_group.py")["raw_stderr"]) == b"its group is its parent's\n"
    go.did("leaves it in its own group, where a Ctrl-C reaches the plugin, too")
    for shell in ours("shows_group.py"):
        shell.start()
        assert heard(shell) == ("its group is its own",)


@pytest.mark.fault(40)
def test_a_host_that_is_killed(go: Go, go_plugin: list[str]) -> None:
    """A shell is the host here: it starts the plugin and waits until it is killed. A pipe tells of the plugin's end."""
    host_script = """sh -c 'echo $$; exec "$@" 2>/dev/null' sh "$@" & wait"""
    environment = {**os.environ, **COOKIE, **SUPPORT, "TMPDIR": str(go.folder)}
    gone = {}
    for kind, argv, patience in (("go", go_plugin, 1.0), ("ours", plugin_command(), 30.0)):
        alive, held = os.pipe()
        command = ["sh", "-c", host_script, "sh", *argv]
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, pass_fds=[held]) as host:
            os.close(held)
            assert host.stdout is not None
            pid = int(host.stdout.readline())
            assert host.stdout.readline().startswith(b"1|1|unix|")
            host.kill()
            gone[kind] = bool(select.select([alive], [], [], patience)[0])
            if not gone[kind]:
                os.kill(pid, signal.SIGKILL)
            assert select.select([alive], [], [], 30)[0]
            os.close(alive)
    assert gone == {"go": False, "ours": True}
    go.did("its plugins live on")
