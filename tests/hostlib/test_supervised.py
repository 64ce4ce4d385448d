"""Supervised plugins, both shells over one table, with real plugins that are killed, frozen and sick."""

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import grpc
import psutil
import pytest
from shells import HANDSHAKE, LIMIT, PATIENT, SUPPORT, Echo, program

from goplugin import hostlib
from goplugin.handshake import MachineFault, Misuse, PluginFault, PluginLost
from goplugin.hostlib import (
    GaveUp,
    HealthCheck,
    Lost,
    MayHaveRun,
    PluginGivenUp,
    Ready,
    Restarting,
    RestartPolicy,
    Started,
    StopBudget,
    _at_exit,
    aio,
)

R = TypeVar("R")
SOON = RestartPolicy(delay=0.01, delay_max=0.01, jitter=0.0)
NEVER_MIND = HealthCheck(every=3600.0)
SHORT = StopBudget(shutdown=0.2, terminate=0.2, kill=30.0)


class Sync:
    """`hostlib.Supervised` as it is."""

    kind: Any = hostlib

    def __init__(self, make: Callable[[], Any], **options: Any) -> None:
        self.plugin: Any = hostlib.Supervised(make, **options)

    def do(self, step: Callable[[], Any]) -> Any:
        return step()

    def alongside(self, step: Callable[[], Any], then: Callable[[], object]) -> Any:
        """Begin a step, do something else once it is under way, and return what the step returns."""
        found: list[Any] = []

        def run() -> None:
            try:
                found.append(step())
            except Exception as error:  # noqa: BLE001 - it is raised again below
                found.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        then()
        thread.join(LIMIT)
        assert found, "the step does not end"
        if isinstance(found[0], Exception):
            raise found[0]
        return found[0]

    def close(self) -> None:
        self.plugin.stop()


class Aio:
    """`aio.Supervised` on an event loop in a thread of its own, which runs all the while."""

    kind: Any = aio

    def __init__(self, make: Callable[[], Any], **options: Any) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()

        async def plugin() -> Any:
            return aio.Supervised(make, **options)

        self.plugin: Any = self._begin(plugin()).result(LIMIT)

    def _begin(self, step: Coroutine[Any, Any, R]) -> Any:
        return asyncio.run_coroutine_threadsafe(step, self._loop)

    def do(self, step: Callable[[], Any]) -> Any:
        return self._begin(step()).result(LIMIT)

    def alongside(self, step: Callable[[], Any], then: Callable[[], object]) -> Any:
        future = self._begin(step())
        then()
        return future.result(LIMIT)

    def close(self) -> None:
        try:
            self.do(self.plugin.stop)
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()


class Events(list[hostlib.Event]):
    """The events of one plugin, with a way to wait for one."""

    def __init__(self) -> None:
        super().__init__()
        self._came = threading.Condition()

    def __call__(self, event: hostlib.Event) -> None:
        with self._came:
            self.append(event)
            self._came.notify_all()

    def until(self, kind: type[R], count: int = 1) -> R:
        """Return the event that is the ``count``-th of its kind."""
        with self._came:
            assert self._came.wait_for(lambda: len(self.of(kind)) >= count, LIMIT), list(self)
            return self.of(kind)[count - 1]

    def of(self, kind: type[R]) -> list[R]:
        return [event for event in self if isinstance(event, kind)]

    def kinds(self) -> list[type]:
        return [type(event) for event in self]


@pytest.fixture(params=[Sync, Aio])
def supervised(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., tuple[Any, Events]]]:
    """Start supervised plugins, and stop each in the end."""
    monkeypatch.setattr("goplugin.hostlib._supervised._TIDY", LIMIT)
    made: list[Any] = []

    def supervised(command: str | Callable[[], Any], *, started: bool = True, **options: Any) -> tuple[Any, Events]:
        env = SUPPORT | options.pop("env", {})
        budget = options.pop("stop_budget", PATIENT)

        def client() -> Any:
            return request.param.kind.Client(
                program(str(command)), HANDSHAKE, {"echo": Echo}, env=env, stop_budget=budget
            )

        events = Events()
        options = {"policy": SOON, "health": NEVER_MIND, "on_event": events} | options
        shell = request.param(command if callable(command) else client, **options)
        made.append(shell)
        if started:
            shell.do(shell.plugin.start)
        return shell, events

    yield supervised
    for shell in made:
        shell.close()


Make = Callable[..., tuple[Any, Events]]


def call(shell: Any, work: Callable[[Echo], Any], **options: Any) -> Any:
    return shell.do(lambda: shell.plugin.call("echo", work, **options))


def hang(echo: Echo) -> Any:
    return echo.hang(b"")


def test_a_plugin_that_is_killed_is_started_again_and_each_step_is_told(supervised: Make) -> None:
    shell, events = supervised("bare.py")
    first = events.until(Ready)
    assert first.pid is not None
    assert first.seconds > 0
    assert call(shell, lambda echo: echo.echo(b"1")) == b"1"
    os.kill(first.pid, signal.SIGKILL)
    second = events.until(Ready, 2)
    assert second.pid != first.pid
    assert call(shell, lambda echo: echo.echo(b"2")) == b"2"
    assert shell.do(shell.plugin.ready).id == second.pid
    assert events.kinds() == [Started, Ready, Lost, Restarting, Started, Ready]
    (lost,) = events.of(Lost)
    assert isinstance(lost.error, PluginLost)
    assert (lost.error.signal, lost.error.pid) == ("SIGKILL", first.pid)
    assert lost.ready_for > 0
    assert events.of(Restarting) == [Restarting(1, 0.01)]
    assert events.of(Started) == [Started(0), Started(1)]
    assert shell.do(shell.plugin.stop).how == "shutdown"
    assert len(events) == 6


def test_a_plugin_that_never_starts_is_given_up_and_who_waits_is_told_why(supervised: Make) -> None:
    shell, events = supervised("crashes.sh", policy=RestartPolicy(delay=0.0, jitter=0.0, limit=2))
    with pytest.raises(PluginGivenUp, match="restarted 2 times within 300 s"):
        shell.do(shell.plugin.ready)
    gave_up = events.until(GaveUp)
    assert gave_up.restarts == 2
    assert isinstance(gave_up.error, PluginLost)
    assert events.kinds() == [Started, Lost, Restarting, Started, Lost, Restarting, Started, Lost, GaveUp]
    with pytest.raises(PluginGivenUp):
        call(shell, lambda echo: echo.echo(b""), idempotent=True)


def test_what_the_factory_raises_ends_the_supervision_with_its_reason(supervised: Make) -> None:
    def fails() -> Any:
        raise ZeroDivisionError("not today")

    shell, events = supervised(fails)
    with pytest.raises(PluginGivenUp, match=r"no restart can cure this; ZeroDivisionError: not today"):
        shell.do(shell.plugin.ready)
    assert isinstance(events.until(GaveUp).error, ZeroDivisionError)


def test_who_waits_for_a_plugin_that_is_not_ready_waits_no_longer_than_asked(supervised: Make) -> None:
    shell, events = supervised("crashes.sh", policy=RestartPolicy(delay=3600.0, delay_max=3600.0))
    events.until(Restarting)
    with pytest.raises(PluginLost, match=r"was not ready within 0\.05 s; it .*before its handshake line"):
        shell.do(lambda: shell.plugin.ready(timeout=0.05))


@pytest.mark.usefixtures("settled_late")
def test_a_call_that_may_have_run_is_not_repeated(supervised: Make) -> None:
    shell, events = supervised("bare.py")
    done: list[int] = []

    def work(echo: Echo) -> Any:
        done.append(1)
        return echo.exit(b"\x03")

    with pytest.raises(MayHaveRun, match="may have been executed") as caught:
        call(shell, work)
    assert (caught.value.exit_code, len(done)) == (3, 1)
    assert call(shell, lambda echo: echo.echo(b"next")) == b"next"
    assert len(events.of(Started)) == 2


@pytest.mark.usefixtures("settled_late")
def test_an_idempotent_call_is_repeated_on_the_next_plugin_and_not_for_ever(supervised: Make) -> None:
    shell, events = supervised("bare.py")
    done: list[int] = []

    def work(echo: Echo) -> Any:
        done.append(1)
        return echo.exit(b"\x03") if len(done) == 1 else echo.echo(b"at last")

    assert call(shell, work, idempotent=True) == b"at last"
    assert len(done) == 2

    def deadly(echo: Echo) -> Any:
        done.append(1)
        return echo.exit(b"\x03")

    with pytest.raises(MayHaveRun):
        call(shell, deadly, idempotent=True, attempts=2)
    assert len(done) == 4
    assert len(events.of(Lost)) <= 3


@pytest.mark.parametrize("idempotent", [False, True])
def test_the_end_of_another_plugin_that_a_call_uses_is_no_loss_of_this_one(supervised: Make, idempotent: bool) -> None:
    shell, events = supervised("bare.py")
    other, _ = supervised("bare.py")
    pid = other.do(other.plugin.ready).id
    lost = PluginLost("ended during a call", pid=pid)

    def work(_: Echo) -> Any:
        raise lost

    with pytest.raises(PluginLost) as caught:
        call(shell, work, idempotent=idempotent)
    assert caught.value is lost
    assert call(shell, lambda echo: echo.echo(b"here")) == b"here"
    assert events.kinds() == [Started, Ready]


def test_a_call_that_fails_on_a_plugin_that_lives_fails_as_it_does(supervised: Make) -> None:
    shell, events = supervised("bare.py")
    with pytest.raises(grpc.RpcError, match="no luck"):
        call(shell, lambda echo: echo.fail(b"no luck"), idempotent=True)
    with pytest.raises(Misuse, match="no plugin 'x'"):
        shell.do(lambda: shell.plugin.call("x", hang))
    assert events.kinds() == [Started, Ready]


def test_a_healthy_plugin_is_pinged_and_left_alone(supervised: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    shell, events = supervised("bare.py", health=HealthCheck(every=0.01))
    client = shell.do(shell.plugin.ready)
    ping, pings, enough = client.ping, list[float](), threading.Event()

    def counted(timeout: float) -> Any:
        pings.append(timeout)
        if len(pings) == 5:
            enough.set()
        return ping(timeout)

    monkeypatch.setattr(client, "ping", counted)
    assert enough.wait(LIMIT)
    assert set(pings) == {5.0}
    assert events.kinds() == [Started, Ready]


@pytest.mark.usefixtures("settled_late")
def test_a_plugin_that_ends_during_a_ping_is_lost_at_once(supervised: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    shell, events = supervised("bare.py", health=HealthCheck(every=0.1, misses=1000))
    client = shell.do(shell.plugin.ready)
    ping = client.ping

    def killed(timeout: float) -> Any:
        os.kill(client.id, signal.SIGKILL)
        return ping(timeout)

    monkeypatch.setattr(client, "ping", killed)
    lost = events.until(Lost)
    assert isinstance(lost.error, PluginLost)
    assert lost.error.signal == "SIGKILL"


def test_a_call_that_never_began_goes_to_the_next_plugin_idempotent_or_not(
    supervised: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    shell, events = supervised("bare.py")
    client = shell.do(shell.plugin.ready)
    dispense = client.dispense

    def too_late(name: str) -> Any:
        plugin = psutil.Process(client.id)
        plugin.kill()
        psutil.wait_procs([plugin], LIMIT)
        return dispense(name)

    monkeypatch.setattr(client, "dispense", too_late)
    assert call(shell, lambda echo: echo.echo(b"once")) == b"once"
    assert len(events.of(Lost)) == 1


def test_a_sick_plugin_is_replaced(supervised: Make) -> None:
    _, events = supervised("unhealthy.py", health=HealthCheck(every=0.01, misses=2), stop_budget=SHORT)
    lost = events.until(Lost)
    assert type(lost.error) is PluginFault
    events.until(Started, 2)


def test_a_frozen_plugin_is_replaced_and_the_call_that_hangs_in_it_ends(supervised: Make) -> None:
    health = HealthCheck(every=0.05, timeout=5.0, misses=2)
    shell, events = supervised("bare.py", health=health, stop_budget=SHORT)
    pid = events.until(Ready).pid
    assert pid is not None
    begun = threading.Event()

    def work(echo: Echo) -> Any:
        begun.set()
        return hang(echo)

    def freeze() -> None:
        assert begun.wait(LIMIT)
        os.kill(pid, signal.SIGSTOP)
        shell.plugin._supervision.patience = 0.2  # not before: one that is well may need more on a busy machine

    with pytest.raises(MayHaveRun):
        shell.alongside(lambda: shell.plugin.call("echo", work), freeze)
    assert events.until(Ready, 2).pid != pid
    assert not psutil.pid_exists(pid)


def test_stop_is_prompt_while_it_waits_to_restart(supervised: Make) -> None:
    shell, events = supervised("crashes.sh", policy=RestartPolicy(delay=3600.0, delay_max=3600.0, jitter=0.0))
    events.until(Restarting)
    shell.do(shell.plugin.stop)
    with pytest.raises(Misuse, match="was stopped"):
        shell.do(shell.plugin.ready)


def test_stop_is_prompt_while_the_plugin_starts(supervised: Make) -> None:
    shell, events = supervised("never.sh")
    events.until(Started)
    stopped = shell.do(shell.plugin.stop)
    assert stopped is None or stopped.how in ("killed", "exited already")
    assert events.kinds() == [Started]


def test_stop_is_prompt_while_a_ping_is_under_way(supervised: Make) -> None:
    health = HealthCheck(every=0.01, timeout=3600.0)
    shell, events = supervised("bare.py", health=health, stop_budget=SHORT)
    pid = events.until(Ready).pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    assert shell.do(shell.plugin.stop).how in ("terminated", "killed")


def test_who_waits_while_it_is_stopped_is_told(supervised: Make) -> None:
    shell, events = supervised("never.sh")
    events.until(Started)
    with pytest.raises(Misuse, match="was stopped"):
        shell.alongside(shell.plugin.ready, lambda: shell.do(shell.plugin.stop))


def test_it_is_started_once_and_stopped_as_often_as_one_likes(supervised: Make) -> None:
    shell, _ = supervised("bare.py", started=False)
    with pytest.raises(Misuse, match="was not started"):
        shell.do(shell.plugin.ready)
    shell.do(shell.plugin.start)
    with pytest.raises(Misuse, match="started once"):
        shell.do(shell.plugin.start)
    shell.do(shell.plugin.ready)
    assert shell.do(shell.plugin.stop) == shell.do(shell.plugin.stop)
    with pytest.raises(Misuse, match="started once"):
        shell.do(shell.plugin.start)


def test_stopped_before_it_was_started_it_never_starts(supervised: Make) -> None:
    shell, events = supervised("bare.py", started=False)
    assert shell.do(shell.plugin.stop) is None
    with pytest.raises(Misuse):
        shell.do(shell.plugin.start)
    assert events == []


def test_an_event_handler_that_fails_changes_nothing(supervised: Make, caplog: pytest.LogCaptureFixture) -> None:
    def fails(event: hostlib.Event) -> None:
        raise ZeroDivisionError

    shell, _ = supervised("bare.py", on_event=fails)
    assert shell.do(shell.plugin.ready).id
    assert "on_event failed" in caplog.text


@pytest.mark.parametrize("fault", [MachineFault("it does not end"), OSError(5, "Input/output error")])
def test_a_plugin_that_does_not_end_is_told_of_in_the_log(
    supervised: Make, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    shell, events = supervised("bare.py")
    client = shell.do(shell.plugin.ready)
    really = client.stop

    def stop() -> Any:
        monkeypatch.undo()
        raise fault

    monkeypatch.setattr(client, "stop", stop)
    os.kill(client.id, signal.SIGKILL)
    events.until(Ready, 2)
    assert "a plugin that was lost stays behind" in caplog.text
    shell.do(really)


@pytest.mark.parametrize("step", ["ping", "wait"])
def test_a_supervision_that_fails_says_so_to_all_who_wait(
    supervised: Make, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    shell, events = supervised("bare.py", health=HealthCheck(every=0.5))
    client = shell.do(shell.plugin.ready)

    def fails(_: float) -> Any:
        raise ZeroDivisionError("of our own making")

    monkeypatch.setattr(client, step, fails)
    gave_up = events.until(GaveUp)
    assert (gave_up.why, type(gave_up.error), gave_up.restarts) == ("its supervision failed", ZeroDivisionError, 0)
    assert client.exited
    with pytest.raises(PluginGivenUp, match="its supervision failed; ZeroDivisionError: of our own making"):
        shell.do(shell.plugin.ready)
    assert "the supervision of a plugin failed" in caplog.text


def test_an_event_handler_may_stop_the_plugin() -> None:
    ended = threading.Event()

    def stops(event: hostlib.Event) -> None:
        if isinstance(event, Ready):
            plugin.stop()
            ended.set()

    plugin = hostlib.Supervised(
        lambda: hostlib.Client(program("bare.py"), HANDSHAKE, {"echo": Echo}, env=SUPPORT), on_event=stops
    )
    with plugin:
        assert ended.wait(LIMIT)


def test_an_event_handler_that_blocks_does_not_keep_stop_from_returning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("goplugin.hostlib._supervised._TIDY", 0.05)
    blocks, told = threading.Event(), threading.Event()

    def block(event: hostlib.Event) -> None:
        told.set()
        blocks.wait(LIMIT)

    plugin = hostlib.Supervised(
        lambda: hostlib.Client(program("bare.py"), HANDSHAKE, {"echo": Echo}, env=SUPPORT), on_event=block
    )
    plugin.start()
    assert told.wait(LIMIT)
    with pytest.raises(Misuse, match="make or on_event"):
        plugin.stop()
    blocks.set()
    monkeypatch.setattr("goplugin.hostlib._supervised._TIDY", LIMIT)
    plugin.stop()


def test_at_the_exit_of_the_host_it_takes_only_its_share_of_the_time_that_all_have() -> None:
    make = lambda: hostlib.Client(program("bare.py"), HANDSHAKE, {"echo": Echo}, env=SUPPORT)  # noqa: E731
    with hostlib.Supervised(make) as plugin:
        client = plugin.ready()
        kept: dict[Any, Any] = _at_exit._kept  # pyright: ignore[reportPrivateUsage]
        (stop,) = [stop for stop in kept if stop.__self__ is plugin]
        stop(StopBudget(shutdown=0.0, terminate=0.0, kill=10.0))
        assert client.stopped is not None
        assert client.stopped.how == "killed", "with its own budget it would have been asked"


@pytest.mark.parametrize("shell", ["sync", "aio"])
def test_a_host_that_ends_without_a_stop_leaves_no_plugin_behind(shell: str, tmp_path: Path) -> None:
    source = f"""
        import asyncio, sys, time
        from shells import HANDSHAKE, SUPPORT, Echo, program
        from goplugin import hostlib
        from goplugin.hostlib import aio, RestartPolicy

        options = dict(policy=RestartPolicy(delay=0.0, jitter=0.0, limit=None))

        async def run():
            make = lambda: aio.Client(program("bare.py"), HANDSHAKE, {{"echo": Echo}}, env=SUPPORT)
            plugin = aio.Supervised(make, **options)
            await plugin.start()
            print((await plugin.ready()).id, flush=True)

        if {shell!r} == "aio":
            asyncio.run(run())
        else:
            make = lambda: hostlib.Client(program("bare.py"), HANDSHAKE, {{"echo": Echo}}, env=SUPPORT)
            plugin = hostlib.Supervised(make, **options)
            plugin.start()
            print(plugin.ready().id, flush=True)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(source)],
        env=os.environ | SUPPORT,
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=True,
    )
    assert not psutil.pid_exists(int(done.stdout))
    left = [
        process for process in psutil.process_iter(["environ"]) if os.environ["TMPDIR"] in str(process.info["environ"])
    ]
    assert left == []


def test_cancelling_who_waits_for_a_stop_does_not_interrupt_it() -> None:
    async def run() -> None:
        plugin = aio.Supervised(
            lambda: aio.Client(program("ignores_sigterm.py"), HANDSHAKE, {"echo": Echo}, env=SUPPORT, stop_budget=SHORT)
        )
        await plugin.start()
        client = await plugin.ready()
        stopping = asyncio.create_task(plugin.stop())
        await asyncio.sleep(0)
        stopping.cancel()
        with pytest.raises(asyncio.CancelledError):
            await stopping
        stopped = await plugin.stop()
        assert stopped is not None
        assert stopped.how == "killed"
        assert client.exited

    asyncio.run(asyncio.wait_for(run(), LIMIT))


@pytest.mark.usefixtures("settled_late")
def test_a_call_whose_channel_was_closed_under_it_may_have_run_and_cancels_nobody() -> None:
    async def run() -> None:
        again = asyncio.Event()

        def told(event: hostlib.Event) -> None:
            if event == Started(1):
                again.set()

        async def work(echo: Echo) -> bytes:
            with pytest.raises(PluginLost):
                await echo.exit(b"\x03")
            await again.wait()
            raise asyncio.CancelledError  # as grpc.aio does

        make = lambda: aio.Client(program("bare.py"), HANDSHAKE, {"echo": Echo}, env=SUPPORT)  # noqa: E731
        async with aio.Supervised(make, policy=SOON, on_event=told) as plugin:
            with pytest.raises(MayHaveRun):
                await plugin.call("echo", work)

    asyncio.run(asyncio.wait_for(run(), LIMIT))


def test_a_caller_that_is_cancelled_in_a_call_is_cancelled() -> None:
    async def run() -> None:
        make = lambda: aio.Client(program("bare.py"), HANDSHAKE, {"echo": Echo}, env=SUPPORT)  # noqa: E731
        async with aio.Supervised(make) as plugin:
            await plugin.ready()
            calling = asyncio.create_task(plugin.call("echo", hang, idempotent=True))
            await asyncio.sleep(0)
            calling.cancel()
            with pytest.raises(asyncio.CancelledError):
                await calling

    asyncio.run(asyncio.wait_for(run(), LIMIT))
