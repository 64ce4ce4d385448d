"""Plugins that something of the caller's own runs, both shells."""

import asyncio
import io
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import pytest
from shells import HANDSHAKE, LIMIT, SHELLS, SUPPORT, AioShell, Echo, Shell, clients, program

from goplugin import hostlib
from goplugin.handshake import Address, HandshakeRefused, MachineFault, Misuse, PluginLost, StartTimeout, Unix
from goplugin.hostlib import Runner, SecureConfig, StopBudget, Subprocess, UnixSockets
from goplugin.hostlib._identity import listener
from goplugin.hostlib._runner import Translated

BRIEF = StopBudget(shutdown=20, terminate=20, kill=0.5)  # a stop waits for the whole of it for a start to end


class Plain(Subprocess):
    """Runs a program of tests/hostlib/programs."""

    def __init__(self, name: str = "bare.py") -> None:
        super().__init__(program(name))

    def start(self, environment: Mapping[str, str], socket_dir: str) -> None:
        super().start({**environment, **SUPPORT}, socket_dir)


class Renaming(Plain):
    """Gives the plugin another name for the directory of its sockets, and takes the name away once it has started."""

    alias = ""

    def start(self, environment: Mapping[str, str], socket_dir: str) -> None:
        self.there, self.alias = socket_dir, socket_dir + "-alias"
        os.symlink(socket_dir, self.alias)
        super().start({**environment, "PLUGIN_UNIX_SOCKET_DIR": self.alias}, socket_dir)

    def plugin_to_host(self, address: Address) -> Address:
        assert isinstance(address, Unix)
        assert address.path.startswith(self.alias)
        with suppress(FileNotFoundError):
            os.unlink(self.alias)
        return Unix(address.path.replace(self.alias, self.there))


class Failing(Plain):
    """Fails at one of its calls."""

    def __init__(self, call: str, deed: Callable[[], object], name: str = "bare.py") -> None:
        super().__init__(name)
        self._call, self._deed = call, deed

    def start(self, environment: Mapping[str, str], socket_dir: str) -> None:
        if self._call == "start":
            self._deed()
        super().start(environment, socket_dir)

    def wait(self) -> int | None:
        status = super().wait()
        if self._call == "wait":
            self._deed()
        return status

    def terminate(self) -> None:
        if self._call == "terminate":
            self._deed()
        super().terminate()

    def kill(self) -> None:
        if self._call == "kill":
            self._deed()
        super().kill()

    def plugin_to_host(self, address: Address) -> Address:
        if self._call == "plugin_to_host":
            self._deed()
        return super().plugin_to_host(address)


class Hanging(Failing):
    """Hangs at one of its calls, until it is let go on.

    Attributes:
        begun: set once it hangs.
    """

    def __init__(self, call: str, name: str = "bare.py") -> None:
        super().__init__(call, self._hang, name)
        self.begun, self._held = threading.Event(), threading.Event()
        self.times, self._over = 0, False

    def let_go(self) -> None:
        """Let it go on, when nobody waits for that."""
        assert self.begun.wait(LIMIT)
        assert not self._over
        self._held.set()

    def _hang(self) -> None:
        self.times += 1
        self.begun.set()
        self._held.wait(LIMIT)
        self._over = True


def failure() -> None:
    raise RuntimeError("the engine is down")


Make = Callable[..., Shell]


@pytest.fixture(params=SHELLS)
def make(request: pytest.FixtureRequest) -> Iterator[Make]:
    made: list[Shell] = []

    def make(runner: Runner, **options: Any) -> Shell:
        made.append(SHELLS[request.param](None, runner=runner, **options))
        return made[-1]

    yield make
    for shell in made:
        with suppress(MachineFault):
            shell.close()


def test_a_runner_is_used_in_place_of_a_command(make: Make) -> None:
    runner = Plain()
    shell = make(runner, env={"A": "1"})
    shell.start()
    assert shell.call(shell.echo().echo, b"hello") == b"hello"
    assert shell.client.id == runner.pid
    assert shell.client.reattach_config.pid == runner.pid
    stopped = shell.stop()
    assert (stopped.how, stopped.exit_code) == ("shutdown", 0)


@pytest.mark.parametrize(
    ("name", "how", "signal"), [("lives_on.py", "terminated", "SIGTERM"), ("ignores_sigterm.py", "killed", "SIGKILL")]
)
def test_the_runner_ends_what_does_not_end_by_itself(make: Make, name: str, how: str, signal: str) -> None:
    budget = StopBudget(shutdown=0.2, terminate=0.2 if how == "killed" else 30, kill=30)
    shell = make(Plain(name), stop_budget=budget)
    shell.start()
    stopped = shell.stop()
    assert (stopped.how, stopped.signal) == (how, signal)


def test_the_end_is_seen_though_nobody_knows_how_it_came(make: Make) -> None:
    usual = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        shell = make(Plain())
        shell.start()
        stopped = shell.stop()
    finally:
        signal.signal(signal.SIGCHLD, usual)
    assert (stopped.how, stopped.exit_code, stopped.signal) == ("shutdown", None, None)


class Elsewhere(Plain):
    """Its stderr comes another way than through a pipe.

    Attributes:
        far: where to write to it.
    """

    def __init__(self, near: int, far: int) -> None:
        super().__init__()
        self._near, self.far = os.fdopen(near, "rb", buffering=0), far

    def start(self, environment: Mapping[str, str], socket_dir: str) -> None:
        super().start(environment, socket_dir)
        super().stderr.close()

    @property
    def stderr(self) -> IO[bytes]:
        return self._near


@pytest.mark.parametrize("way", ["terminal", "connection"])
def test_an_output_that_breaks_off_has_ended_and_the_other_goes_on(make: Make, way: str) -> None:
    if way == "terminal":
        near, far = os.openpty()
    else:
        with socket.create_server(("127.0.0.1", 0)) as server:
            far = socket.create_connection(server.getsockname()).detach()
            near = server.accept()[0].detach()
    heard = list[bytes]()
    shell = make(Elsewhere(near, far), stderr=heard.append)
    shell.start()
    os.write(far, b"hello\n")
    if way == "connection":
        with socket.socket(fileno=os.dup(far)) as end:
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset
    os.close(far)
    assert shell.call(shell.echo().echo, b"hello") == b"hello"
    stopped = shell.stop()
    assert (stopped.how, stopped.exit_code) == ("shutdown", 0)
    assert way == "connection" or b"".join(heard).strip() == b"hello"


def test_an_output_that_nobody_can_wait_for_is_refused(make: Make, tmp_path: Path) -> None:
    near = os.open(tmp_path / "log", os.O_CREAT | os.O_RDONLY)
    shell = make(Elsewhere(near, -1))
    with pytest.raises(MachineFault, match="it gives a regular file to read; want a pipe, a socket or a terminal"):
        shell.start()


def test_the_record_of_a_running_plugin_has_the_address_that_the_host_uses(make: Make) -> None:
    runner = Renaming()
    shell = make(runner)
    shell.start()
    record = shell.client.reattach_config
    assert isinstance(record.address, Unix)
    assert record.address.path.startswith(runner.there + "/")
    with hostlib.Client(None, HANDSHAKE, {"echo": Echo}, reattach=record) as again:
        assert again.dispense("echo").echo(b"hello") == b"hello"


def test_addresses_are_translated_on_their_way(make: Make) -> None:
    runner = Renaming()
    shell = make(runner)
    shell.start()
    shell.ping()
    assert not os.path.lexists(runner.alias)
    assert shell.client.line.address.path.startswith(runner.alias)


def test_the_hosts_own_addresses_are_translated_for_the_plugin() -> None:
    class Listening:
        address: Address = Unix("/host/s")

    class Carrier:
        routed: Address | None = None
        closed: float | None = None

        def listen(self, server: object) -> Any:
            return Listening()

        def route(self, address: Address) -> Any:
            self.routed = address

        def close(self, within: float = 1.0) -> None:
            self.closed = within

    class Container(Plain):
        def host_to_plugin(self, address: Address) -> Address:
            return Unix(str(address).replace("/host", "/plugin"))

        def plugin_to_host(self, address: Address) -> Address:
            return Unix(str(address).replace("/plugin", "/host"))

    carrier = Carrier()
    translated = Translated(carrier, Container())
    assert translated.listen(object()).address == Unix("/plugin/s")
    translated.route(Unix("/plugin/p"))
    assert carrier.routed == Unix("/host/p")
    translated.close(0.5)
    assert carrier.closed == 0.5


def test_a_runner_that_cannot_start_is_the_machines_fault(make: Make) -> None:
    with pytest.raises(MachineFault, match=r"the runner cannot start '.*': the engine is down"):
        make(Failing("start", failure)).start()
    with pytest.raises(MachineFault, match="cannot start the plugin '/nonexistent'"):
        make(Subprocess(["/nonexistent"])).start()


def test_a_runner_whose_output_is_no_file_of_the_system_has_its_plugin_killed(make: Make) -> None:
    class Buffer(io.BytesIO):
        def close(self) -> None:
            runner.pipe.close()

    class Buffering(Plain):
        @property
        def pipe(self) -> IO[bytes]:
            return super().stdout

        @property
        def stdout(self) -> IO[bytes]:
            return Buffer()

    runner = Buffering()
    with pytest.raises(MachineFault, match=r"the runner cannot start '.*': fileno"):
        make(runner).start()  # that nothing is left is what the fixture sees to


def test_a_runner_that_hangs_is_given_up_and_what_it_starts_later_is_killed(make: Make) -> None:
    runner = Hanging("start")
    shell = make(runner, start_timeout=0.3, stop_budget=BRIEF)
    with pytest.raises(StartTimeout, match=r"was not started by its runner within 0.3 s"):
        shell.start()
    assert runner.pid is None
    runner.let_go()  # that nothing is left is what the fixture sees to


def test_a_stop_does_not_wait_for_a_runner_that_hangs_in_its_start(make: Make) -> None:
    runner = Hanging("start")
    shell = make(runner, stop_budget=BRIEF)
    with pytest.raises(PluginLost, match="was stopped while it was starting"):
        shell.start_and_stop(runner.begun)
    runner.let_go()


def test_a_stop_does_not_wait_for_a_start_that_does_not_end(make: Make) -> None:
    heard = threading.Event()

    def hear(data: bytes) -> None:
        heard.set()

    runner = Hanging("kill", "never.sh")
    shell = make(runner, stop_budget=StopBudget(shutdown=0.2, terminate=0.2, kill=0.5), stderr=hear)
    with pytest.raises(MachineFault, match=r"has not ended yet|another thread is still stopping"):
        shell.start_and_stop(heard, runner.let_go)


def test_a_start_that_is_cancelled_does_not_wait_for_its_runner() -> None:
    runner = Hanging("start")
    shell = AioShell(None, runner=runner, stop_budget=BRIEF)

    async def cancelled() -> None:
        starting = asyncio.create_task(shell.client.start())
        while not runner.begun.is_set():
            await asyncio.sleep(0.01)
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting

    shell.run(cancelled)
    runner.let_go()
    shell.close()


def test_a_kill_does_not_wait_for_a_terminate_that_hangs(make: Make) -> None:
    runner = Hanging("terminate")
    shell = make(runner, stop_budget=StopBudget(shutdown=0, terminate=0.2, kill=30))
    shell.start()
    stopped = shell.stop()
    assert (stopped.how, stopped.signal) == ("killed", "SIGKILL")
    runner.let_go()


def test_a_runner_that_hangs_does_not_hold_up_the_stop(make: Make) -> None:
    runner = Hanging("kill", "lives_on.py")
    shell = make(runner, stop_budget=StopBudget(shutdown=0, terminate=0, kill=0.5))
    shell.start()
    with pytest.raises(MachineFault, match="does not end"):
        shell.stop()
    runner.let_go()


def test_a_translation_that_hangs_is_no_longer_waited_for_than_a_start_may_take(make: Make, late: float) -> None:
    runner = Hanging("plugin_to_host", "line.sh")
    shell = make(runner, env={"LINE": "1|1|unix|/there|grpc|"}, start_timeout=late + 1)
    with pytest.raises(StartTimeout, match="an address that its runner did not translate within 61 s"):
        shell.start()
    runner.let_go()


def test_a_stop_does_not_wait_for_a_translation(make: Make) -> None:
    runner = Hanging("plugin_to_host")
    shell = make(runner)
    with pytest.raises(PluginLost, match="was stopped while it was starting"):
        shell.start_and_stop(runner.begun)
    runner.let_go()


def test_the_event_loop_runs_while_a_runner_translates_once() -> None:
    runner = Hanging("plugin_to_host")
    shell = AioShell(None, runner=runner)

    async def let_go() -> None:
        while not runner.begun.is_set():
            await asyncio.sleep(0.01)
        runner.let_go()

    async def work() -> None:
        await asyncio.gather(shell.client.start(), let_go())

    shell.run(work)
    assert runner.times == 1
    assert shell.call(shell.echo().echo, b"hello") == b"hello"
    shell.close()


def test_a_runner_that_cannot_wait_is_told_off(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    shell = make(Failing("wait", failure, "exits.sh"), env={"CODE": "3"})
    with pytest.raises(PluginLost):
        shell.start()
    assert "cannot tell when it ends" in caplog.text


@pytest.mark.usefixtures("settled_late")
def test_what_the_runner_knows_of_a_failure_is_in_the_error(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("goplugin.hostlib._runner._WITHIN", LIMIT)

    class Knowing(Plain):
        def diagnose(self) -> Sequence[str]:
            return ["the image was pulled yesterday"]

    with pytest.raises(PluginLost, match="the image was pulled yesterday"):
        make(Knowing("exits.sh"), env={"CODE": "1"}).start()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"command": ["./p"]}, "a command, a record to reattach by or a runner"),
        ({"cwd": "/"}, "that one's own affair"),
        ({"stdin": 0}, "that one's own affair"),
        ({"secure": SecureConfig(checksum=bytes(32))}, "that one's own affair"),
    ],
)
def test_what_makes_no_sense_with_a_runner_is_refused(options: dict[str, Any], said: str) -> None:
    given: dict[str, Any] = {"runner": Plain(), "handshake": HANDSHAKE, "plugins": {"echo": Echo}} | options
    with pytest.raises(Misuse, match=said):
        hostlib.Client(**given)


def test_a_runner_that_was_not_started_has_nothing_to_show() -> None:
    assert Plain().pid is None
    with pytest.raises(RuntimeError, match="was not started"):
        _ = Plain().stdout


# ------------------------------------------------------------------------------------ who may be behind the address


@pytest.fixture
def stranger(nothing_left: str) -> Iterator[str]:
    """Give the path of a socket at which another process listens."""
    path = f"{nothing_left}/other"
    script = (
        f"import socket; s = socket.socket(socket.AF_UNIX); s.bind({path!r}); s.listen(); print(flush=True); input()"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        yield path
        other.communicate(b"\n", timeout=60)
    os.unlink(path)


@pytest.fixture(params=SHELLS)
def client(request: pytest.FixtureRequest) -> Iterator[Make]:
    with clients(request.param) as make:
        yield make


@pytest.mark.fault(32)
@pytest.mark.parametrize("check", ["peer", "directory"])
@pytest.mark.parametrize(
    ("asked", "more"), [(False, ""), (False, "|false"), (False, "|true"), (True, "|true")], ids=["", "f", "t", "asked"]
)
def test_a_line_that_names_a_strangers_socket_is_refused(
    client: Make, stranger: str, check: Any, asked: bool, more: str
) -> None:
    said = f"1|1|unix|{stranger}|grpc|{more}"
    sockets = UnixSockets(check=check)
    shell = client(program("line.sh"), env={"LINE": said}, unix_sockets=sockets, multiplex=asked)
    with pytest.raises(HandshakeRefused) as caught:
        shell.start()
    assert (caught.value.field, caught.value.got) == ("address", stranger)
    assert ("listens there" if check == "peer" else "before 1.5.0") in str(caught.value)


LATER = """
import bare_plugin
input()
plugin = bare_plugin.Plugin()
plugin.listen()
print(flush=True)
input()
print(plugin.over.is_set())
plugin._server.stop(0).wait()
"""


@pytest.fixture
def later(nothing_left: str) -> Iterator["subprocess.Popen[str]"]:
    """Run a process that serves at a socket once it is told to, and tells in the end whether it was shut down."""
    with subprocess.Popen(
        [sys.executable, "-c", LATER],
        env=os.environ | SUPPORT | {"PLUGIN_UNIX_SOCKET_DIR": nothing_left},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        bufsize=1,
    ) as other:
        yield other
        assert other.communicate("\n", timeout=60)[0] == "False\n"


def tell(other: "subprocess.Popen[str]") -> None:
    """Have it serve."""
    assert other.stdin is not None
    assert other.stdout is not None
    other.stdin.write("\n")
    assert other.stdout.readline() == "\n"


@pytest.mark.fault(32)
def test_a_stranger_who_listens_only_after_the_first_look_is_refused_and_not_shut_down(
    client: Make, later: "subprocess.Popen[str]", nothing_left: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[float] = []

    def look(address: Address, seconds: float) -> int | None:
        looks.append(seconds)
        try:
            return listener(address, seconds)
        finally:
            if len(looks) == 1:
                tell(later)

    monkeypatch.setattr("goplugin.hostlib._plugin.listener", look)
    shell = client(program("line.sh"), env={"LINE": f"1|1|unix|{nothing_left}/plugin|grpc|"})
    with pytest.raises(HandshakeRefused, match=f"process {later.pid} listens there"):
        shell.start()
    assert looks == [0.0, 0.0], "the second after an answer"


def test_one_of_whom_nobody_can_tell_who_he_is_is_refused_in_the_end(
    client: Make, later: "subprocess.Popen[str]", nothing_left: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[float] = []

    def crowded(_: Address, seconds: float) -> int | None:
        looks.append(seconds)
        if len(looks) == 4:
            for shell in ("_client", "_aio_client"):
                monkeypatch.setattr(f"goplugin.hostlib.{shell}.monotonic", lambda: time.monotonic() + 60)
        raise BlockingIOError(11, "Resource temporarily unavailable")

    tell(later)
    monkeypatch.setattr("goplugin.hostlib._plugin.listener", crowded)
    shell = client(program("line.sh"), env={"LINE": f"1|1|unix|{nothing_left}/plugin|grpc|"}, start_timeout=60.0)
    with pytest.raises(HandshakeRefused, match="it cannot be found out who listens there"):
        shell.start()
    assert len(looks) == 5


def test_a_plugin_whose_queue_is_full_for_a_moment_is_known_after_it(
    client: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[float] = []

    def crowded(address: Address, seconds: float) -> int | None:
        looks.append(seconds)
        if len(looks) < 4:
            raise BlockingIOError(11, "Resource temporarily unavailable")
        return listener(address, seconds)

    monkeypatch.setattr("goplugin.hostlib._plugin.listener", crowded)
    shell = client(program("bare.py"))
    shell.start()
    shell.ping()
    assert len(looks) == 4


def test_a_plugin_that_ends_while_it_is_looked_at_is_lost(client: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[float] = []
    shell = client(program("bare.py"))

    def killed(address: Address, seconds: float) -> int | None:
        looks.append(seconds)
        if len(looks) == 2:
            os.kill(shell.client.id, signal.SIGKILL)
        raise ConnectionRefusedError(111, "Connection refused")

    monkeypatch.setattr("goplugin.hostlib._plugin.listener", killed)
    with pytest.raises(PluginLost, match="ended between its handshake line and its first answer"):
        shell.start()


def test_what_is_not_checked_is_tried(client: Make, stranger: str, late: float) -> None:
    shell = client(
        program("line.sh"),
        env={"LINE": f"1|1|unix|{stranger}|grpc|"},
        unix_sockets=UnixSockets(check="nothing"),
        start_timeout=late + 1,
    )
    with pytest.raises(PluginLost, match="printed its handshake line"):
        shell.start()


def test_a_plugin_in_its_own_directory_passes_every_check(client: Make) -> None:
    shell = client(program("bare.py"), unix_sockets=UnixSockets(check="directory"))
    shell.start()
    shell.ping()


def test_there_are_three_ways_to_check() -> None:
    with pytest.raises(Misuse, match="check must be"):
        UnixSockets(check="strict")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


# --------------------------------------------------------------------------------------------------------- the example


def test_the_example_runs_its_plugin_without_privileges_and_says_where_it_needs_some(tmp_path: Path) -> None:
    example = Path(__file__).parents[2] / "examples" / "runner" / "host.py"
    # Where everybody may go: the directory that the tests use is their user's alone.
    environment = os.environ | {"TMPDIR": "/tmp"}
    command = [sys.executable, str(example)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=tmp_path, env=environment)
    if os.geteuid() == 0:
        assert done.stdout.splitlines()[0] == "hello from a jail", done.stderr
        assert done.stdout.splitlines()[1].endswith("its network another")
    else:
        assert "only root can start" in done.stderr
