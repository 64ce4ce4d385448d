"""What only asyncio can do to its client: cancel, and end the loop."""

import asyncio
import hashlib
import sys
import threading
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest
from shells import HANDSHAKE, LIMIT, PATIENT, PROGRAMS, SUPPORT, Echo, program

from goplugin.handshake import MachineFault, Misuse, PluginLost
from goplugin.hostlib import SecureConfig, StopBudget, aio

Client = aio.Client[Echo]


def make(name: str, **options: Any) -> Client:
    options = {"stop_budget": PATIENT} | options
    return aio.Client(program(name), HANDSHAKE, {"echo": Echo}, env=SUPPORT, **options)


def make_heard(name: str) -> tuple[Client, asyncio.Event]:
    """Make a client, and an event for the first words of its plugin."""
    heard = asyncio.Event()

    def hear(data: bytes) -> None:
        heard.set()

    return make(name, stderr=hear), heard


def run(work: Coroutine[Any, Any, None], seconds: float = LIMIT) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(seconds):
            await work

    asyncio.run(bounded())


def gone(client: Client) -> bool:
    assert client.id is not None
    return not psutil.pid_exists(client.id)


def test_a_block_starts_and_stops_the_plugin() -> None:
    async def work() -> None:
        async with make("bare.py") as client:
            assert await client.dispense("echo").echo(b"hello") == b"hello"
        assert client.stopped is not None
        assert client.stopped.how == "shutdown"

    run(work())


@pytest.mark.fault(23)
@pytest.mark.parametrize("times", [1, 2, 3])
def test_a_start_that_is_cancelled_as_it_succeeds_leaves_no_plugin_however_often(times: int) -> None:
    async def work() -> None:
        loop, client = asyncio.get_running_loop(), make("bare.py")
        starting = asyncio.create_task(client.start())

        def cancel(left: int) -> None:
            starting.cancel()
            if left > 1:
                loop.call_soon(cancel, left - 1)

        while client._starting is None:  # pyright: ignore[reportPrivateUsage]
            await asyncio.sleep(0)
        client._starting.add_done_callback(lambda _: cancel(times))  # pyright: ignore[reportPrivateUsage]
        with pytest.raises(asyncio.CancelledError):
            await starting
        while client.stopped is None:  # at the latest when `run` loses patience
            await asyncio.sleep(0.01)
        assert client.stopped.how == "shutdown"
        assert gone(client)
        await client.stop()  # or the end of the loop would break it off

    run(work())


def test_a_start_that_is_cancelled_before_its_first_step_is_over() -> None:
    async def work() -> None:
        client = make("bare.py")
        starting = asyncio.create_task(client.start())
        await asyncio.sleep(0)
        for _ in range(2):
            starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
        assert (await client.stop()).how == "exited already"

    run(work())


@pytest.mark.fault(23)
def test_a_start_that_is_cancelled_has_killed_the_plugin_before_the_caller_goes_on() -> None:
    async def work() -> None:
        client, heard = make_heard("never.sh")
        starting = asyncio.create_task(client.start())
        await heard.wait()
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
        assert gone(client)
        assert (await client.stop()).how == "killed"

    run(work())


def test_a_start_that_is_cancelled_twice_leaves_nothing_either() -> None:
    async def work() -> None:
        client, heard = make_heard("never.sh")
        starting = asyncio.create_task(client.start())
        await heard.wait()
        starting.cancel()
        await asyncio.sleep(0)
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
        await client.stop()
        assert gone(client)

    run(work())


def test_a_start_that_is_cancelled_before_it_began_leaves_nothing() -> None:
    async def work() -> None:
        client = make("bare.py")
        starting = asyncio.create_task(client.start())
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
        assert client.id is None
        await client.stop()

    run(work())


def test_a_start_whose_task_is_cancelled_before_its_first_step_is_over() -> None:
    async def work() -> None:
        client = make("bare.py")
        starting = asyncio.create_task(client.start())
        await asyncio.sleep(0)
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()  # as a loop does at its end
        with pytest.raises(asyncio.CancelledError):
            await starting
        assert client.id is None
        assert (await client.stop()).how == "exited already"

    run(work())


def test_a_start_with_a_timeout_of_its_caller_leaves_nothing() -> None:
    async def work() -> None:
        def hear(data: bytes) -> None:
            limit.reschedule(0.0)  # now

        client = make("never.sh", stderr=hear)
        begun = time.monotonic()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(None) as limit:
                await client.start()
        assert time.monotonic() - begun < 25, "it has 30 s to start"
        assert gone(client)

    run(work())


@pytest.mark.fault(23)
def test_a_stop_goes_on_when_its_caller_is_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    go_on = asyncio.Event()

    async def asked(link: object, seconds: float) -> bool:
        return await go_on.wait()

    async def work() -> None:
        client = make("lives_on.py", stop_budget=StopBudget(shutdown=0.3, terminate=30))
        await client.start()
        monkeypatch.setattr("goplugin.hostlib._aio_link.Link.shut_down", asked)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await client.stop()
        assert not client.exited
        go_on.set()
        assert (await client.stop()).how == "terminated"
        assert gone(client)

    run(work())


def test_a_stop_from_another_task_ends_a_start() -> None:
    async def work() -> None:
        client, heard = make_heard("never.sh")
        starting = asyncio.create_task(client.start())
        await heard.wait()
        assert (await client.stop()).how == "killed"
        with pytest.raises(PluginLost, match="was stopped while it was starting"):
            await starting
        with pytest.raises(Misuse, match="make another client"):
            await client.start()

    run(work())


def test_a_stop_right_after_the_start_was_asked_for_ends_it() -> None:
    async def work() -> None:
        client = make("bare.py")
        starting = asyncio.create_task(client.start())
        await asyncio.sleep(0)
        await client.stop()
        with pytest.raises(PluginLost, match="was stopped while it was starting"):
            await starting
        assert client.id is None, "nothing was started for nobody"

    run(work())


def test_a_block_that_is_cancelled_stops_the_plugin() -> None:
    async def work() -> None:
        started = asyncio.Event()
        client = make("bare.py")

        async def use() -> None:
            async with client:
                started.set()
                await asyncio.sleep(60)

        using = asyncio.create_task(use())
        await started.wait()
        using.cancel()
        with pytest.raises(asyncio.CancelledError):
            await using
        assert client.stopped is not None
        assert client.stopped.how == "shutdown"

    run(work())


@pytest.mark.fault(23)
def test_cancelling_a_call_cancels_that_call_alone() -> None:
    async def work() -> None:
        async with make("bare.py", stop_budget=StopBudget(shutdown=0.3)) as client:
            echo = client.dispense("echo")
            call = asyncio.ensure_future(echo.hang(b""))
            await client.ping(LIMIT / 2)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            assert await echo.echo(b"hello") == b"hello"

    run(work())


def test_tasks_that_stop_together_get_the_same_answer() -> None:
    async def work() -> None:
        client = make("lives_on.py", stop_budget=StopBudget(shutdown=0.3))
        await client.start()
        answers = await asyncio.gather(*(client.stop() for _ in range(8)))
        assert {id(answer) for answer in answers} == {id(answers[0])}

    run(work())


def test_the_loop_is_free_while_a_plugin_starts_and_stops() -> None:
    async def free_during(step: Coroutine[Any, Any, object]) -> None:
        task = asyncio.create_task(step)
        for _ in range(3):  # if it held the loop up, it would be over after the first of them
            await asyncio.sleep(0.01)
            assert not task.done()
        task.cancel()
        await asyncio.wait([task])

    async def work() -> None:
        await free_during(make("never.sh", start_timeout=LIMIT).start())
        client = make("lives_on.py", stop_budget=StopBudget(shutdown=10, terminate=0, kill=30))
        await client.start()
        await free_during(client.stop())
        assert (await client.stop()).how == "killed"

    run(work())


def test_a_start_needs_no_thread_of_the_loops_own(tmp_path: Path) -> None:
    """Those are the caller's: all may be busy, be it for ever."""
    held = threading.Event()
    script = tmp_path / "plugin"
    script.write_text(f"#!{sys.executable}\n" + (PROGRAMS / "answers_late.py").read_text())
    script.chmod(0o755)
    checksum = hashlib.sha256(script.read_bytes()).digest()

    async def work() -> None:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(1))
        busy = loop.run_in_executor(None, held.wait, LIMIT)
        # It is checked, started, and looked at, without which it does not answer.
        secure, plugins = SecureConfig(checksum=checksum), {"echo": Echo}
        async with aio.Client([str(script)], HANDSHAKE, plugins, env=SUPPORT, secure=secure, stop_budget=PATIENT):
            assert not busy.done()
        held.set()
        await busy

    run(work())


@pytest.mark.timeout(300)
def test_thirty_plugins_at_once() -> None:
    async def work() -> None:
        budget = StopBudget(shutdown=LIMIT)
        clients = [make("bare.py", start_timeout=2 * LIMIT, stop_budget=budget) for _ in range(30)]
        await asyncio.gather(*(client.start() for client in clients))
        answers = await asyncio.gather(*(client.dispense("echo").echo(b"hello") for client in clients))
        stops = await asyncio.gather(*(client.stop() for client in clients))
        assert answers == [b"hello"] * 30
        assert {stopped.how for stopped in stops} == {"shutdown"}

    run(work(), 4 * LIMIT)


def test_a_channel_that_its_user_closed_does_not_keep_the_plugin_running() -> None:
    async def work() -> None:
        client = make("bare.py")
        await client.start()
        await client.channel.close()
        assert (await client.stop()).how == "terminated"

    run(work())


def test_a_loop_that_cancels_everything_at_its_end_leaves_nothing() -> None:
    clients, begun = list[Client](), list[float]()

    async def use() -> None:
        async with make("lives_on.py", stop_budget=StopBudget(shutdown=LIMIT, kill=30)) as client:
            clients.append(client)
            await asyncio.sleep(60)

    async def main() -> None:
        using = asyncio.create_task(use())
        while not clients:
            await asyncio.sleep(0.01)
        begun.append(time.monotonic())
        using.cancel()
        await asyncio.sleep(0.05)  # now it is stopping, and the loop ends in the middle of that
        using.cancel()

    asyncio.run(main())
    assert time.monotonic() - begun[0] < LIMIT / 2
    assert gone(clients[0])


@pytest.mark.fault(23)
def test_a_start_that_is_cancelled_in_the_instant_in_which_it_succeeds_leaves_nothing() -> None:
    async def work() -> None:
        client = make("bare.py")
        caller = asyncio.create_task(client.start())
        await asyncio.sleep(0)
        (starting,) = (task for task in asyncio.all_tasks() if task.get_name().startswith("goplugin-start"))
        starting.add_done_callback(lambda _: caller.cancel())
        with pytest.raises(asyncio.CancelledError):
            await caller
        assert gone(client)
        assert client.stopped is not None

    run(work())


async def _managed() -> None:
    one, two = make("bare.py", managed=True), make("bare.py", managed=True)
    async with make("bare.py") as other:
        await one.start()
        await two.start()
        await aio.cleanup_clients()
        assert one.stopped
        assert two.stopped
        assert other.stopped is None
        await aio.cleanup_clients()

        async def fails() -> None:
            raise MachineFault("the kernel does not end it")

        async def breaks() -> None:
            raise RuntimeError("a defect")

        for deed, said in ((fails, "the kernel does not end it"), (breaks, "a defect")):
            await _managed_that_does_not_stop(deed, said)


async def _managed_that_does_not_stop(deed: Callable[[], Coroutine[Any, Any, None]], said: str) -> None:
    async with make("bare.py", managed=True) as third:
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(third, "stop", deed)
            with pytest.raises(ExceptionGroup, match="some plugins do not end") as caught:
                await aio.cleanup_clients()
            assert [str(fault) for fault in caught.value.exceptions] == [said]


def test_managed_clients_are_stopped_at_once_and_others_are_not() -> None:
    asyncio.run(_managed())
