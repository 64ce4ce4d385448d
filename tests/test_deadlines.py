"""Every public call that can wait says for how long: by a parameter with an end, or in the table here.

Those of the host keep to it, in both shells, whatever hangs at the other end.
"""

import asyncio
import importlib
import inspect
import math
import os
import signal
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from enum import Enum
from functools import partial
from typing import Any, NamedTuple, cast

import grpc
import pytest
from leftovers import nothing_left as nothing_left
from leftovers import warm_grpc as warm_grpc
from shells import HANDSHAKE, SUPPORT, Echo, program

from goplugin import hostlib
from goplugin.batch.host import Limits
from goplugin.handshake import Address, GoPluginError
from goplugin.hostlib import StopBudget, Subprocess
from goplugin.hostlib._config import Config
from goplugin.transport._sync_broker import STOP_WITHIN

ROOMS = ["hostlib", "hostlib.aio", "pluginlib", "pluginlib.aio", "pluginlib.testing", "transport.aio", "batch.host"]
WAITS = ("timeout", "grace", "within", "drain")
"""The names of parameters that say how long a call may take, in seconds."""


class Bound(NamedTuple):
    """The longest that a call waits, in seconds unless told otherwise, and what sets it."""

    seconds: float
    by: str


def preset(call: Any, name: str) -> float:
    """Return what a parameter is unless given."""
    value = inspect.signature(call).parameters[name].default
    assert isinstance(value, float), f"{name} of {call} has no preset"
    return value


STOP = Bound(StopBudget().total, "stop_budget: each step of a stop has its share")
START = Bound(preset(cast("Any", Config), "start_timeout"), "start_timeout, and a stop if it fails")
LIMITS = Limits()
BATCH_START = Bound(LIMITS.start_timeout + LIMITS.call_timeout, "limits: start_timeout, then call_timeout for Init")
BATCH_CLOSE = Bound(LIMITS.close_timeout + STOP.seconds, "limits: close_timeout, then a stop")
BATCH_CALL = Bound(
    (LIMITS.retries + 1) * LIMITS.call_timeout
    + LIMITS.restarts * (STOP.seconds + BATCH_START.seconds)
    + LIMITS.connect_timeout,
    "limits: call_timeout for each of the retries, as many restarts as there may be, connect_timeout for refusals",
)
SERVER = Bound(STOP_WITHIN, "close without grace")

BOUNDED = {
    "Client.start": START,
    "Client.__enter__": START,
    "Client.__aenter__": START,
    "Client.stop": STOP,
    "Client.__exit__": STOP,
    "Client.__aexit__": STOP,
    "cleanup_clients": STOP,
    "Supervised.stop": STOP,
    "Supervised.__exit__": STOP,
    "Supervised.__aexit__": STOP,
    "BrokeredServer.__exit__": SERVER,
    "BrokeredServer.__aexit__": SERVER,
    "Processor.start": BATCH_START,
    "Processor.__enter__": BATCH_START,
    "Processor.process": BATCH_CALL,
    "Processor.close": BATCH_CLOSE,
    "Processor.__exit__": BATCH_CLOSE,
    "Processor.kill": STOP,
    "Input.start": BATCH_START,
    "Input.__enter__": BATCH_START,
    "Input.close": BATCH_CLOSE,
    "Input.__exit__": BATCH_CLOSE,
    "Input.kill": STOP,
    "Delivery.ack": Bound(LIMITS.call_timeout, "limits: call_timeout"),
    "Delivery.nack": Bound(LIMITS.call_timeout, "limits: call_timeout"),
    "Output.start": BATCH_START,
    "Output.__enter__": BATCH_START,
    "Output.send": BATCH_CALL,
    "Output.close": BATCH_CLOSE,
    "Output.__exit__": BATCH_CLOSE,
    "Output.kill": STOP,
}
"""Calls whose limit is not a parameter of their own."""

ENDED_BY = {
    "serve": "its host, a signal or TestMode.stop: it is the plugin's whole life",
    "serve_at": "a signal or its host's Close: it is the plugin's whole life",
    "Runner.run": "the end of the input, Runner.stop or Runner.kill: it is the pipeline's whole life",
    "Input.read": "Input.interrupt, Input.kill or its timeout: an input may have nothing to give for days",
    "Input.__iter__": "as Input.read",
    "Runner.wait": "the end of the process, which Runner.kill brings about; a thread of the client's does it",
    "Subprocess.wait": "as Runner.wait",
}
"""Calls that wait for as long as what they wait for takes, and what ends them."""

AT_ONCE = {
    # Starts a thread or a task that does the waiting.
    "Supervised.start",
    "Supervised.__enter__",
    "Supervised.__aenter__",
    # Looks at what is known already.
    "Client.dispense",
    "guardian_available",
    "Broker.next_id",
    "BrokeredServer.__enter__",
    "BrokeredServer.__aenter__",
    "SecureConfig.check",
    "SecureConfig.new",
    "Hash.digest",
    "Hash.update",
    "HasDescriptor.fileno",
    "Stopped.after",
    # Listens, which nobody needs to answer.
    "Broker.accept_and_serve",
    # Book-keeping of the StartStream call.
    "Broker.told",
    "Broker.opened",
    "Broker.outgoing",
    "Broker.ended",
    "Broker.refuse",
    "Broker.unlink",
    "BrokeredServer.release",
    "BrokeredServer.unlink",
    # Told to begin, and somebody else sees to the end.
    "BrokeredServer.stop",
    "TestMode.stop",
    "TestMode.when_stopped",
    "Input.interrupt",
    "Runner.start",
    "Runner.kill",
    "Runner.stop",
    "Runner.terminate",
    "Subprocess.start",
    "Subprocess.kill",
    "Subprocess.terminate",
    # Reads files, texts or numbers.
    "Runner.diagnose",
    "Runner.host_to_plugin",
    "Runner.plugin_to_host",
    "Subprocess.diagnose",
    "Subprocess.host_to_plugin",
    "Subprocess.plugin_to_host",
    "Descriptor.config",
    "Field.read",
    "parse_descriptor",
    "load_descriptors",
    "parse_pipeline",
    "lint",
    "prometheus",
    # The caller's own: Sink is what it hands over.
    "BinaryWriter.write",
}
"""Calls that wait for nobody."""


def methods(kind: type) -> Iterator[tuple[str, Any]]:
    """Yield what can be called on an object, but for what Python or a record has of itself."""
    for name, found in inspect.getmembers(kind, callable):
        owner = next(base for base in kind.__mro__ if name in base.__dict__)
        special = name.startswith("_") and name not in {
            "__enter__", "__exit__", "__aenter__", "__aexit__", "__iter__", "__aiter__", "__next__", "__anext__",
        }  # fmt: skip
        if not special and owner.__module__.startswith("goplugin.") and not isinstance(found, type):
            yield name, found


def calls() -> dict[str, list[Any]]:
    """Return all public calls by their names; twins of the two shells share one."""
    found: dict[str, list[Any]] = {}
    for room in ROOMS:
        module = importlib.import_module(f"goplugin.{room}")
        for name in module.__all__:
            exported = getattr(module, name)
            if inspect.isclass(exported):
                kind = cast("type[Any]", exported)
                if not issubclass(kind, Enum | BaseException):
                    for method, call in methods(kind):
                        found.setdefault(f"{name}.{method}", []).append(call)
            elif inspect.isfunction(exported):
                found.setdefault(name, []).append(exported)
    return found


def limit(call: Any) -> float | None:
    """Return for how long a call waits unless its caller says otherwise, or None where no parameter says it."""
    for parameter in inspect.signature(call).parameters.values():
        if parameter.name in WAITS:
            # What has no preset has to be given.
            return 0.0 if parameter.default is parameter.empty else cast("float", parameter.default)
    return None


CALLS = calls()


@pytest.mark.parametrize("name", CALLS)
def test_a_public_call_has_a_limit_of_its_own_or_is_in_one_of_the_tables(name: str) -> None:
    limits = [limit(call) for call in CALLS[name]]
    tables = [name in table for table in (BOUNDED, ENDED_BY, AT_ONCE)]
    if any(tables):
        assert tables.count(True) == 1
    else:
        assert all(seconds is not None and math.isfinite(seconds) for seconds in limits), limits


def test_the_tables_name_only_calls_that_are_there() -> None:
    assert ({*BOUNDED, *ENDED_BY, *AT_ONCE}) <= set(CALLS)


@pytest.mark.parametrize("name", BOUNDED)
def test_what_bounds_a_call_is_a_number_of_seconds(name: str) -> None:
    assert 0 < BOUNDED[name].seconds < math.inf


# ------------------------------------------------------------------------------------- and calls keep to their limits

SECONDS = 0.5  # what each call is given, if it is asked for a time
MARGIN = 20.0  # seconds, for a busy machine
BUDGET = StopBudget(shutdown=0.2, terminate=0.2, kill=0.5)
PATIENT = StopBudget(shutdown=0.2, terminate=0.2, kill=MARGIN)  # where the kill must succeed
START_WITHIN = 1.5
HANG = 60.0  # seconds; what hangs does so for longer than any call may take

Call = Callable[[Any], Any]

STARTS: dict[str, Call] = {
    "Client.start": lambda client: client.start(),
    "Client.__enter__": lambda client: client.__enter__(),
    "Client.__aenter__": lambda client: client.__aenter__(),
}
ENDS: dict[str, Call] = {
    "Client.stop": lambda client: client.stop(),
    "Client.__exit__": lambda client: client.__exit__(None, None, None),
    "Client.__aexit__": lambda client: client.__aexit__(None, None, None),
    "cleanup_clients": lambda client: importlib.import_module(type(client).__module__).cleanup_clients(),
}
ASKS: dict[str, Call] = {
    "Client.ping": lambda client: client.ping(SECONDS),
    "Client.wait": lambda client: client.wait(SECONDS),
    "Broker.dial": lambda client: client.broker.dial(77, SECONDS),
    "list_services": lambda client: hostlib.list_services(client.channel, SECONDS),
}
SUPERVISED_ASKS: dict[str, Call] = {
    "Supervised.ready": lambda supervised: supervised.ready(SECONDS),
    "Supervised.call": lambda supervised: supervised.call("echo", repr, timeout=SECONDS),
}
SUPERVISED_ENDS: dict[str, Call] = {
    "Supervised.stop": lambda supervised: supervised.stop(),
    "Supervised.__exit__": lambda supervised: supervised.__exit__(None, None, None),
    "Supervised.__aexit__": lambda supervised: supervised.__aexit__(None, None, None),
}


class Stuck(Subprocess):
    """Hangs at some of its calls, until it is let go on."""

    def __init__(self, name: str, *calls: str) -> None:
        super().__init__(program(name))
        self._calls = calls
        self.held = threading.Event()

    def _at(self, call: str) -> None:
        if call in self._calls:
            self.held.wait(HANG)

    def start(self, environment: Mapping[str, str], socket_dir: str) -> None:
        self._at("start")
        super().start({**environment, **SUPPORT}, socket_dir)

    def terminate(self) -> None:
        self._at("terminate")
        super().terminate()

    def kill(self) -> None:
        self._at("kill")
        super().kill()

    def plugin_to_host(self, address: Address) -> Address:
        self._at("plugin_to_host")
        return address


@contextmanager
def stuck(name: str, *calls: str) -> Generator[Stuck, None, None]:
    """Give a runner that hangs, until the end."""
    runner = Stuck(name, *calls)
    try:
        yield runner
    finally:
        runner.held.set()


async def timed(name: str, seconds: float, call: Callable[[], Any]) -> Exception | None:
    """Make a call of either shell; return the error that it ends with, if it is one that a caller expects."""
    begun = time.monotonic()
    try:
        value = call()
        if inspect.isawaitable(value):
            await value
    except (GoPluginError, grpc.RpcError, ExceptionGroup) as error:
        return error
    finally:
        took = time.monotonic() - begun
        assert took < seconds + MARGIN, f"{name} took {took:.1f} s, and may take {seconds:.1f} s"
    return None


def of(table: Mapping[str, Call]) -> pytest.MarkDecorator:
    """Run a test for each call that a shell has, as ``room`` and ``name``."""
    pairs: list[tuple[str, str]] = []
    for room in ("hostlib", "hostlib.aio"):
        module = importlib.import_module(f"goplugin.{room}")
        for name in table:
            kind, _, method = name.rpartition(".")
            if hasattr(getattr(module, kind) if kind else module, method):
                pairs.append((room, name))
    return pytest.mark.parametrize(("room", "name"), pairs, ids=["-".join(pair) for pair in pairs])


def made(room: str, command: list[str] | None, **options: Any) -> Any:
    """Return a client of a shell."""
    kind: Any = importlib.import_module(f"goplugin.{room}").Client
    if command is not None:
        options["env"] = SUPPORT
    return kind(command, HANDSHAKE, {"echo": Echo}, **{"stop_budget": BUDGET, "managed": True} | options)


@pytest.mark.parametrize("hangs", ["the plugin", "start", "plugin_to_host"])
@of(STARTS)
def test_a_start_has_an_end(room: str, name: str, hangs: str) -> None:
    async def work(runner: Stuck) -> None:
        client = made(room, None, runner=runner, env={"LINE": "1|1|unix|/there|grpc|"}, start_timeout=START_WITHIN)
        assert await timed(name, START_WITHIN + BUDGET.total, partial(STARTS[name], client)) is not None
        await timed("Client.stop", BUDGET.total, client.stop)

    with stuck("never.sh" if hangs == "the plugin" else "line.sh", hangs) as runner:
        asyncio.run(work(runner))


@of(ENDS)
def test_what_is_asked_of_a_frozen_plugin_has_an_end_and_so_has_its_own(room: str, name: str) -> None:
    async def work() -> None:
        client = made(room, program("bare.py"), stop_budget=PATIENT)
        assert await timed("Client.start", START.seconds, client.start) is None
        os.kill(client.id, signal.SIGSTOP)
        for asked, call in ASKS.items():
            if asked != "list_services" or room == "hostlib":
                error = await timed(asked, SECONDS, partial(call, client))
                assert (error is None) == (asked == "Client.wait"), asked
        assert await timed(name, PATIENT.total, partial(ENDS[name], client)) is None
        assert client.exited

    asyncio.run(work())


@of(ENDS)
def test_an_end_has_an_end_though_the_runner_hangs(room: str, name: str) -> None:
    async def work(runner: Stuck) -> None:
        client = made(room, None, runner=runner)
        assert await timed("Client.start", START.seconds, client.start) is None
        assert await timed(name, BUDGET.total, partial(ENDS[name], client)) is not None

    with stuck("lives_on.py", "terminate", "kill") as runner:
        asyncio.run(work(runner))


@of(SUPERVISED_ENDS)
def test_what_is_asked_of_a_supervised_plugin_that_does_not_start_has_an_end_and_so_has_its_own(
    room: str, name: str
) -> None:
    async def work() -> None:
        kind: Any = importlib.import_module(f"goplugin.{room}").Supervised
        supervised = kind(lambda: made(room, program("never.sh"), stop_budget=PATIENT))
        await timed("Supervised.start", 0.0, supervised.start)
        for asked, call in SUPERVISED_ASKS.items():
            assert await timed(asked, SECONDS, partial(call, supervised)) is not None
        assert await timed(name, PATIENT.total, partial(SUPERVISED_ENDS[name], supervised)) is None

    asyncio.run(work())


def test_all_of_the_hosts_calls_that_wait_are_put_to_the_test() -> None:
    waiting = set(CALLS) - {*ENDED_BY, *AT_ONCE}
    ours = {name for name in waiting if any(call.__module__.startswith("goplugin.hostlib.") for call in CALLS[name])}
    assert ours <= {*STARTS, *ENDS, *ASKS, *SUPERVISED_ASKS, *SUPERVISED_ENDS}
