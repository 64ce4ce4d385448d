"""What only threads can do to the synchronous client."""

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from queue import SimpleQueue
from typing import Any

import grpc
import psutil
import pytest
from shells import HANDSHAKE, LIMIT, PATIENT, SUPPORT, Echo, program

from goplugin import hostlib
from goplugin.handshake import MachineFault, Misuse, PluginLost
from goplugin.hostlib import StopBudget, Stopped
from goplugin.hostlib._latch import Latch
from goplugin.hostlib._states import Lifecycle, State

Client = hostlib.Client[Echo]
Make = Callable[..., Client]


@pytest.fixture
def make() -> Iterator[Make]:
    made: list[Client] = []

    def make(name: str, **options: Any) -> Client:
        options = {"stop_budget": PATIENT} | options
        made.append(hostlib.Client(program(name), HANDSHAKE, {"echo": Echo}, env=SUPPORT, **options))
        return made[-1]

    yield make
    for client in made:
        client.stop()


def test_a_block_starts_and_stops_the_plugin(make: Make) -> None:
    with make("bare.py") as client:
        assert client.dispense("echo").echo(b"hello") == b"hello"
    assert client.stopped is not None
    assert client.stopped.how == "shutdown"


def test_an_error_in_the_block_passes_and_the_plugin_is_stopped(make: Make) -> None:
    client = make("bare.py")
    with pytest.raises(ZeroDivisionError), client:
        raise ZeroDivisionError
    assert client.exited


def test_its_threads_are_few_daemonic_and_named_for_the_plugin(make: Make) -> None:
    before = set(threading.enumerate())
    with make("bare.py"):
        ours = [thread for thread in set(threading.enumerate()) - before if thread.name.startswith("goplugin-")]
        assert sorted(thread.name for thread in ours) == [
            "goplugin-broker-bare",
            "goplugin-stdio-bare",
            "goplugin-supervisor-bare",
        ]
        assert all(thread.daemon for thread in ours)


def test_a_stop_from_another_thread_ends_a_start(make: Make) -> None:
    heard = threading.Event()

    def hear(data: bytes) -> None:
        heard.set()

    client = make("never.sh", stderr=hear)
    with ThreadPoolExecutor(1) as other:
        starting = other.submit(client.start)
        assert heard.wait(30)
        begun = time.monotonic()
        stopped = client.stop()
        assert stopped.how == "killed"
        assert time.monotonic() - begun < 25, "it has 30 s to start"
        with pytest.raises(PluginLost, match="was stopped while it was starting"):
            starting.result(30)
    with pytest.raises(Misuse, match="make another client"):
        client.start()


def test_an_interrupt_during_the_start_leaves_nothing(make: Make) -> None:
    def interrupt(data: bytes) -> None:
        raise KeyboardInterrupt

    client = make("never.sh", stderr=interrupt)  # it is read by the thread that starts, where a Ctrl-C arrives, too
    with pytest.raises(KeyboardInterrupt):
        client.start()
    assert client.id is not None
    assert not psutil.pid_exists(client.id)


@pytest.mark.fault(39)
def test_an_interrupt_at_the_very_moment_of_the_start_leaves_nothing(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The moment at which the system has made the process, and Popen does not know it yet."""

    class Interrupted(subprocess.Popen[bytes]):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            made.append(self.pid)
            os.kill(os.getpid(), signal.SIGINT)

    made: list[int] = []
    client = make("never.sh")
    monkeypatch.setattr(subprocess, "Popen", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        client.start()
    assert not psutil.pid_exists(made[0])


def test_an_interrupt_during_the_stop_kills_at_once(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    client = make("lives_on.py", stop_budget=PATIENT)
    client.start()

    def interrupt(link: object, seconds: float) -> bool:
        raise KeyboardInterrupt

    monkeypatch.setattr("goplugin.hostlib._link.Link.shut_down", interrupt)
    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        client.stop()
    assert time.monotonic() - begun < PATIENT.shutdown
    assert client.exited
    assert client.stopped is not None
    assert client.stopped.signal == "SIGKILL"


def test_many_threads_may_stop_it_and_all_get_the_same_answer(make: Make) -> None:
    client = make("lives_on.py", stop_budget=StopBudget(shutdown=0.3, terminate=30))
    client.start()
    with ThreadPoolExecutor(8) as others:
        answers = list(others.map(Client.stop, [client] * 8))
    assert {id(answer) for answer in answers} == {id(answers[0])}
    assert answers[0].how == "terminated"


def test_a_call_that_waits_while_another_thread_stops_the_plugin_ends(make: Make) -> None:
    client = make("bare.py", stop_budget=StopBudget(shutdown=0.3))
    client.start()
    echo = client.dispense("echo")
    with ThreadPoolExecutor(1) as other:
        call = other.submit(echo.hang, b"")
        client.ping(LIMIT)
        client.stop()
        with pytest.raises((PluginLost, grpc.RpcError)):
            call.result(30)


class Blocking(logging.Handler):
    """A handler that is stuck until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.stuck, self.go = threading.Event(), threading.Event()

    def emit(self, record: logging.LogRecord) -> None:
        self.stuck.set()
        self.go.wait(60)


@pytest.mark.fault(23)
def test_cancelling_a_future_cancels_that_call_alone(make: Make) -> None:
    with make("bare.py", stop_budget=StopBudget(shutdown=0.3)) as client:
        echo = client.dispense("echo")
        other, future = echo.hang.future(b""), echo.hang.future(b"")
        assert future.cancel()
        with pytest.raises(grpc.FutureCancelledError):
            future.result(10)
        assert future.code() is grpc.StatusCode.CANCELLED
        assert not other.done()
        assert echo.echo(b"hello") == b"hello"
        client.ping(LIMIT)
        other.cancel()


@pytest.mark.fault(25)
def test_a_log_handler_that_is_stuck_holds_up_neither_another_plugin_nor_the_stop(make: Make) -> None:
    handler = Blocking()
    logger = logging.getLogger("test.stuck")
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    logger.addHandler(handler)
    try:
        stuck, other = make("logs.py", logger=logger), make("logs.py")
        stuck.start()
        other.start()
        stuck.dispense("echo").echo(b"words\n")
        assert handler.stuck.wait(30)
        assert other.dispense("echo").echo(b"words\n") == b""
        assert other.stop().how == "shutdown"
        assert stuck.dispense("echo").echo(b"words\n") == b"", "calls do not pass through the log"
        begun = time.monotonic()
        assert stuck.stop().how == "shutdown"
        assert time.monotonic() - begun < 30, "it is stuck for a minute"
    finally:
        handler.go.set()
        logger.removeHandler(handler)


def test_a_sink_may_stop_the_plugin_itself(make: Make) -> None:
    started, done = threading.Event(), threading.Event()

    def stop(data: bytes) -> None:
        started.wait(30)  # the plugin prints at once, and a start that is stopped fails
        client.stop()
        done.set()

    client = make("bare.py", sync_stdout=stop)
    client.start()
    started.set()
    assert done.wait(30)
    assert client.exited


@pytest.mark.timeout(300)
def test_thirty_plugins_at_once(make: Make) -> None:
    budget = StopBudget(shutdown=LIMIT)
    clients = [make("bare.py", start_timeout=2 * LIMIT, stop_budget=budget) for _ in range(30)]

    def call(client: Client) -> bytes:
        answer: bytes = client.dispense("echo").echo(b"hello")
        return answer

    with ThreadPoolExecutor(30) as threads:
        list(threads.map(Client.start, clients))
        answers = list(threads.map(call, clients))
        stops = list(threads.map(Client.stop, clients))
    assert answers == [b"hello"] * 30
    assert {stopped.how for stopped in stops} == {"shutdown"}


def test_a_channel_that_its_user_closed_does_not_keep_the_plugin_running(make: Make) -> None:
    client = make("bare.py")
    client.start()
    client.channel.close()
    stopped = client.stop()
    assert (stopped.how, stopped.signal) == ("terminated", "SIGTERM")


def test_a_start_interrupted_at_its_last_step_leaves_nothing(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    client = make("bare.py")
    enter = client._life.enter  # pyright: ignore[reportPrivateUsage]

    def interrupted(state: State) -> None:
        enter(state)
        if state is State.READY:
            raise KeyboardInterrupt

    monkeypatch.setattr(client._life, "enter", interrupted)  # pyright: ignore[reportPrivateUsage]
    with pytest.raises(KeyboardInterrupt):
        client.start()
    assert client.exited
    assert client.stop().how == "killed"


def test_the_connection_goes_to_the_plugin_and_past_every_proxy(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("grpc_proxy", "http://127.0.0.1:9")
    with make("bare.py") as client:
        assert isinstance(client.channel, grpc.Channel)
        assert client.dispense("echo").echo(b"hello") == b"hello"


def test_a_stop_from_within_the_start_ends_it(make: Make) -> None:
    stops: list[Stopped] = []

    def stop(data: bytes) -> None:  # as a signal handler would
        stops.append(client.stop())

    client: Client = make("never.sh", stderr=stop)
    begun = time.monotonic()
    with pytest.raises(PluginLost, match="was stopped while it was starting"):
        client.start()
    assert time.monotonic() - begun < 25, "it has 30 s to start"
    assert [stopped.how for stopped in stops] == ["killed"]


def test_a_stop_from_within_the_stop_hurries_it(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    client = make("lives_on.py", stop_budget=PATIENT)
    client.start()

    def again(link: object, seconds: float) -> bool:  # as a signal handler would
        assert client.stop().how == "killed"
        return True

    monkeypatch.setattr("goplugin.hostlib._link.Link.shut_down", again)
    begun = time.monotonic()
    assert client.stop().signal == "SIGKILL"
    assert time.monotonic() - begun < PATIENT.shutdown


def test_a_stop_in_the_instant_in_which_the_start_succeeds_leaves_nothing(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, enter = make("bare.py"), Lifecycle.enter
    before = set(threading.enumerate())

    def interrupted(life: Lifecycle, state: State) -> None:
        enter(life, state)
        if state is State.READY:
            client.stop()  # as a signal handler would

    monkeypatch.setattr(Lifecycle, "enter", interrupted)
    client.start()
    assert client.exited
    assert not [thread for thread in set(threading.enumerate()) - before if thread.name.startswith("goplugin-")]
    with pytest.raises(Misuse, match="was stopped"):
        client.ping(LIMIT)


def test_a_signal_handler_may_stop_a_start_that_waits_for_its_first_answer(make: Make) -> None:
    owner = make("bare.py")
    owner.start()
    client: Any = hostlib.Client(reattach=owner.reattach_config, plugins={"echo": Echo})
    waited = list[float | None]()

    class Interrupted(SimpleQueue[None]):
        def get(self, block: bool = True, timeout: float | None = None) -> None:
            if not waited:
                waited.append(timeout)
                client.stop()  # as a signal handler would
            super().get(block, timeout)

    class Unanswered(Latch):
        def __init__(self) -> None:
            super().__init__()
            self._news = Interrupted()

        def is_set(self) -> bool:
            return bool(waited) and super().is_set()  # on a busy machine the answer may be there before the wait

    client._settled = Unanswered()
    with pytest.raises(PluginLost, match="was stopped while it was starting"):
        client.start()
    assert waited
    owner.ping(LIMIT)


def test_managed_clients_are_stopped_at_once_and_others_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    budget, together = StopBudget(shutdown=0.1, terminate=0, kill=30.0), threading.Barrier(3)

    def asked(link: object, seconds: float) -> bool:
        together.wait(LIMIT)
        return True

    slow = [
        hostlib.Client(program("lives_on.py"), HANDSHAKE, {"echo": Echo}, env=SUPPORT, managed=True, stop_budget=budget)
        for _ in range(3)
    ]
    with hostlib.Client(program("bare.py"), HANDSHAKE, {"echo": Echo}, env=SUPPORT) as other:
        for client in slow:
            client.start()
        with monkeypatch.context() as patched:
            patched.setattr("goplugin.hostlib._link.Link.shut_down", asked)
            hostlib.cleanup_clients()
        assert not together.broken, "not one after the other"
        assert {client.stopped.how for client in slow if client.stopped} == {"killed"}
        assert other.stopped is None
        hostlib.cleanup_clients()
        other.ping(LIMIT)


IN_A_HANDLER = """
import os, signal, sys, threading
from shells import HANDSHAKE, Echo, SUPPORT, program
from goplugin import hostlib
from goplugin.hostlib._child import Child

def interrupt(*_):
    os.kill(os.getpid(), signal.SIGTERM)

def handler(*_):
    hostlib.cleanup_clients()
    hostlib.cleanup_clients()
    sys.exit(7)

def client(name, **options):
    patient = {"start_timeout": 600, "stop_budget": hostlib.StopBudget(terminate=600)}
    return hostlib.Client(program(name), HANDSHAKE, {"echo": Echo}, env=SUPPORT, managed=True, **patient, **options)

def send(child, number, send=Child.send):
    send(child, number)
    if number == signal.SIGTERM:  # the stop is under way
        threading.Timer(0.3, interrupt).start()

signal.signal(signal.SIGTERM, handler)
if sys.argv[1] == "start":
    client("never.sh", stderr=interrupt).start()
stubborn = client("ignores_sigterm.py")
stubborn.start()
Child.send = send
stubborn.stop()
"""


@pytest.mark.parametrize("amid", ["start", "stop"])
def test_a_signal_handler_may_end_all_managed_plugins_amid_a_start_or_a_stop(amid: str) -> None:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", IN_A_HANDLER, amid], timeout=60, capture_output=True, check=False, env=environment
    )
    assert (done.returncode, done.stderr) == (7, b"")


@pytest.mark.fault(43)
def test_without_threads_managed_plugins_are_ended_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    clients = [
        hostlib.Client(program("bare.py"), HANDSHAKE, {"echo": Echo}, env=SUPPORT, managed=True) for _ in range(2)
    ]
    for client in clients:
        client.start()

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        hostlib.cleanup_clients()
    assert [client.stopped is not None for client in clients] == [True, True]


LAMENTS = """
import os
from bare_plugin import Plugin
plugin = Plugin()
plugin.unary["/test.Echo/Echo"] = lambda request, _: os.write(2, b"FATAL\\n") and request
plugin.serve()
"""


def test_a_sink_that_stops_its_client_leaves_nothing_behind() -> None:
    stopped: SimpleQueue[Stopped] = SimpleQueue()
    client = hostlib.Client(
        [sys.executable, "-c", LAMENTS],
        HANDSHAKE,
        {"echo": Echo},
        env=SUPPORT,
        stop_budget=PATIENT,
        stderr=lambda data: stopped.put(client.stop()) if b"FATAL" in data else None,
    )
    client.start()
    with suppress(PluginLost):
        client.dispense("echo").echo(b"")
    assert stopped.get(timeout=LIMIT).how == "shutdown"


FORKS = """
import os
from shells import HANDSHAKE, Echo, SUPPORT, SHELLS, program
from goplugin.handshake import Misuse
for kind in SHELLS.values():  # in a process of its own: grpc's fork handlers leave descriptors behind
    shell = kind(program("bare.py"))
    shell.start()
    child = os.fork()
    if not child:
        try:
            stopping = shell.client.stop()
            stopping.send(None)  # the first step of a coroutine, without the event loop, which is the parent's
        except Misuse as error:
            os._exit(7 if "this is a fork" in str(error) else 1)
        os._exit(2)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code == 7, code
    shell.ping()
    assert shell.stop().how == "shutdown"
"""


def test_a_fork_cannot_stop_the_plugin_of_its_parent() -> None:
    # Without grpc's own fork handlers, of which a child may die before a line of ours has run.
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "GRPC_ENABLE_FORK_SUPPORT": "0"}
    command = [sys.executable, "-c", FORKS]
    done = subprocess.run(command, timeout=60, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("fault", [MachineFault("the kernel does not end it"), RuntimeError("a defect")])
def test_a_managed_client_that_cannot_be_stopped_does_not_keep_the_others(
    fault: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = (
        hostlib.Client(program("bare.py"), HANDSHAKE, {"echo": Echo}, env=SUPPORT, managed=True) for _ in range(2)
    )
    one.start()
    two.start()

    def fails() -> None:
        raise fault

    with monkeypatch.context() as patched:
        patched.setattr(one, "stop", fails)
        with pytest.raises(ExceptionGroup, match="some plugins do not end") as caught:
            hostlib.cleanup_clients()
    assert caught.value.exceptions == (fault,)
    assert two.stopped
    one.stop()
