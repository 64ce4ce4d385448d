"""The answers of BatchOutputService, asked over gRPC as a host in Go asks: what is acknowledged is written."""

import asyncio
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from batch_host import LIMIT, Served

from goplugin import batch
from goplugin.batch import Batch, BatchPolicy, Config, Message
from goplugin.proto import redpanda as rp

INIT, CONNECT, SEND, CLOSE = rp.OUTPUT_INIT, rp.OUTPUT_CONNECT, rp.OUTPUT_SEND, rp.OUTPUT_CLOSE


def sent(*payloads: bytes) -> rp.BatchOutputSendRequest:
    messages = [rp.Message(bytes=payload) for payload in payloads]
    return rp.BatchOutputSendRequest(batch=rp.MessageBatch(messages=messages))


def connected(served: Served, config: batch.Value = None) -> Served:
    assert served.init(INIT, config).error.message == ""
    served.good(CONNECT)
    return served


def forms(written: list[bytes]) -> dict[str, Any]:
    @batch.output
    def function(message: Message) -> None:
        written.append(message.payload)

    @batch.output
    async def async_function(message: Message) -> None:
        await asyncio.sleep(0)
        written.append(message.payload)

    @batch.batch_output
    def batch_function(batch: Batch) -> None:
        written.extend(message.payload for message in batch)

    @batch.batch_output
    async def async_batch_function(batch: Batch) -> None:
        written.extend(message.payload for message in batch)

    @batch.output
    class Writer:
        def write(self, message: Message) -> None:
            written.append(message.payload)

    @batch.batch_output
    class AsyncWriter:
        async def connect(self) -> None: ...
        async def write(self, batch: Batch) -> None:
            written.extend(message.payload for message in batch)

    return {one.__name__: one for one in (function, async_function, batch_function, async_batch_function, Writer)} | {
        "AsyncWriter": AsyncWriter
    }


@pytest.mark.parametrize("form", forms([]))
def test_every_form_writes_its_messages_in_order(form: str) -> None:
    written: list[bytes] = []
    with Served(forms(written)[form]) as served:
        connected(served)
        served.good(SEND, sent(b"a", b"b"))
        served.good(SEND, sent())
        served.good(SEND)
        served.good(SEND, sent(b"c"))
        served.good(CLOSE)
    assert written == [b"a", b"b", b"c"]


def test_init_tells_max_in_flight_and_the_batch_policy() -> None:
    policy = BatchPolicy(count=10, byte_size=2**40, period="150ms", check="this.end")

    @batch.output(max_in_flight=64, batch_policy=policy)
    def output(message: Message) -> None: ...

    with Served(output) as served:
        assert served.init(INIT) == rp.BatchOutputInitResponse(
            max_in_flight=64,
            batch_policy=rp.BatchPolicy(count=10, byte_size=2**40, period="150ms", check="this.end"),
        )


def test_without_a_policy_init_tells_none() -> None:
    with Served(forms([])["function"]) as served:
        assert served.init(INIT) == rp.BatchOutputInitResponse(max_in_flight=1)


@dataclass
class Parallel:
    workers: int = 1
    batching: BatchPolicy | None = None


@batch.output(max_in_flight=5, batch_policy=BatchPolicy(count=9))
class Configured:
    """Its constructor says what the decorator cannot know."""

    def __init__(self, config: Parallel) -> None:
        self.max_in_flight = config.workers
        self.batch_policy = config.batching

    def write(self, message: Message) -> None: ...


def test_the_constructor_of_an_output_may_derive_both_from_its_configuration() -> None:
    wanted = rp.BatchOutputInitResponse(max_in_flight=7, batch_policy=rp.BatchPolicy(count=3, period="1s"))
    with Served(Configured) as served:
        assert served.init(INIT, {"workers": 7, "batching": {"count": 3, "period": "1s"}}) == wanted
        assert served.init(INIT) == rp.BatchOutputInitResponse(max_in_flight=1)  # None wins, too


def test_what_an_instance_does_not_say_its_decorator_does() -> None:
    @batch.batch_output(max_in_flight=5, batch_policy=BatchPolicy(count=9))
    class Half:
        def __init__(self, config: Config) -> None:
            if config:
                self.max_in_flight = config["workers"]

        async def write(self, batch: Batch) -> None: ...

    with Served(Half) as served:
        assert served.init(INIT, {"workers": 2}) == rp.BatchOutputInitResponse(
            max_in_flight=2, batch_policy=rp.BatchPolicy(count=9)
        )
        assert served.init(INIT).max_in_flight == 5


@pytest.mark.parametrize(
    ("config", "text"),
    [
        ({"workers": 0}, "Configured.max_in_flight: got int 0, want an integer from 1 to 2147483647"),
        ({"workers": 2**31}, "Configured.max_in_flight: got int 2147483648, want an integer from 1 to 2147483647"),
        ({"batching": {"count": -1}}, "batching: got values that do not go together, want count is from 0"),
        ({"batching": {"period": "soon"}}, "batching: got values that do not go together, want period is a duration"),
        ({"batching": {"size": 1}}, "batching.size: got an unknown field, want one of count, byte_size"),
    ],
)
def test_what_no_host_could_follow_is_refused_with_the_configuration(config: Config, text: str) -> None:
    with Served(Configured) as served:
        response = served.init(INIT, config)
        assert response.error.message.startswith(text)
        assert response == rp.BatchOutputInitResponse(error=response.error)


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("max_in_flight", "7", 'Odd.max_in_flight: got the string "7", want an integer'),
        ("max_in_flight", True, "Odd.max_in_flight: got bool True, want an integer"),
        ("batch_policy", {"count": 3}, "Odd.batch_policy: got a map, want a BatchPolicy or None"),
    ],
)
def test_what_an_author_sets_of_another_type_is_refused_by_its_name(name: str, value: object, text: str) -> None:
    @batch.output
    class Odd:
        def __init__(self) -> None:
            setattr(self, name, value)

        def write(self, message: Message) -> None: ...

    with Served(Odd) as served:
        assert served.init(INIT).error.message.startswith(text)


@pytest.mark.parametrize("is_async", [True, False])
def test_as_many_calls_run_at_once_as_the_configuration_says_even_after_another(is_async: bool) -> None:
    together = threading.Barrier(3)

    class Store:
        def __init__(self, config: Config) -> None:
            self.max_in_flight = config["workers"]

    @batch.output
    class Threaded(Store):
        def write(self, message: Message) -> None:
            together.wait(LIMIT)

    @batch.output
    class Async(Store):
        async def write(self, message: Message) -> None:
            await asyncio.to_thread(together.wait, LIMIT)

    with Served(Async if is_async else Threaded) as served:
        for workers in (1, 3):
            assert served.init(INIT, {"workers": workers}).max_in_flight == workers
        served.good(CONNECT)
        for call in [served.begin(SEND, sent(b"a")) for _ in range(3)]:
            assert call.result().error.message == ""


def test_what_a_constructor_raises_is_the_error_of_init_alone() -> None:
    @batch.output(max_in_flight=3)
    class Picky:
        def __init__(self, config: Config) -> None:
            raise ValueError("no url")

        def write(self, message: Message) -> None: ...

    with Served(Picky) as served:
        assert served.init(INIT) == rp.BatchOutputInitResponse(error=rp.Error(message="ValueError: no url"))
        assert served.call(CONNECT).error.message.startswith("this output is not open")


def test_a_failed_message_fails_its_batch_and_those_after_it_are_not_written() -> None:
    written: list[bytes] = []

    @batch.output
    def output(message: Message) -> None:
        if message.payload == b"bad":
            raise ValueError("too bad")
        written.append(message.payload)

    with Served(output) as served:
        connected(served)
        assert served.call(SEND, sent(b"a", b"bad", b"c")).error == rp.Error(
            message="message 2 of 3: ValueError: too bad"
        )
        served.good(SEND, sent(b"d"))
    assert written == [b"a", b"d"]


def test_a_failed_message_of_an_asynchronous_output_fails_its_batch() -> None:
    @batch.output(max_in_flight=4)
    async def output(message: Message) -> None:
        if message.payload == b"bad":
            raise ValueError("too bad")
        await asyncio.sleep(3600)

    with Served(output) as served:
        connected(served)
        assert served.call(SEND, sent(b"a", b"b", b"bad")).error.message == "message 3 of 3: ValueError: too bad"


@pytest.mark.parametrize("max_in_flight", [1, 4])
def test_a_write_that_awaits_what_is_cancelled_fails_its_batch(max_in_flight: int) -> None:
    written: list[bytes] = []

    @batch.output(max_in_flight=max_in_flight)
    async def write(message: Message) -> None:
        if message.payload == b"bad":
            task = asyncio.create_task(asyncio.sleep(LIMIT))
            task.cancel()
            await task
        written.append(message.payload)

    with Served(write) as served:
        connected(served)
        for _ in range(2):
            answer = served.call(SEND, sent(b"a", b"bad", b"c"))
            assert answer.error.message == "message 2 of 3: CancelledError"
        served.good(SEND, sent(b"d"))
    assert written.count(b"c") <= 2 * (max_in_flight > 1)
    assert written[-1] == b"d"


def test_a_write_that_runs_an_event_loop_of_its_own_fails_its_batch_if_that_is_cancelled() -> None:
    @batch.output
    def write(message: Message) -> None:
        raise asyncio.CancelledError

    with Served(write) as served:
        connected(served)
        assert served.call(SEND, sent(b"a")).error.message == "message 1 of 1: CancelledError"


def test_what_a_batch_output_raises_is_the_answer() -> None:
    @batch.batch_output
    def output(batch: Batch) -> None:
        raise OSError("disk full")

    with Served(output) as served:
        connected(served)
        assert served.call(SEND, sent(b"a")).error == rp.Error(message="OSError: disk full")


@pytest.mark.parametrize("is_async", [False, True])
def test_a_lost_connection_is_told_and_nothing_is_written_until_it_is_made_anew(is_async: bool) -> None:
    written: list[bytes] = []
    answers: list[Exception | None] = [batch.BackOff(1.5), None, None]

    @batch.output
    class Flaky:
        def connect(self) -> None:
            if (error := answers.pop(0)) is not None:
                raise error

        def write(self, message: Message) -> None:
            if message.payload == b"lose":
                raise batch.NotConnected("the broker hung up")
            written.append(message.payload)

    @batch.output
    class AsyncFlaky:
        def __init__(self) -> None:
            self.inner = Flaky()

        async def connect(self) -> None:
            self.inner.connect()

        async def write(self, message: Message) -> None:
            self.inner.write(message)

    with Served(AsyncFlaky if is_async else Flaky) as served:
        served.init(INIT)
        error = served.call(CONNECT).error
        assert (error.message, error.backoff.ToTimedelta().total_seconds()) == ("try again in 1.5 s", 1.5)
        assert served.call(SEND, sent(b"a")).error.HasField("not_connected")
        served.good(CONNECT)
        error = served.call(SEND, sent(b"lose")).error
        assert error.message == "message 1 of 1: the broker hung up"
        assert error.HasField("not_connected")
        assert served.call(SEND, sent(b"b")).error.HasField("not_connected")
        served.good(CONNECT)
        served.good(SEND, sent(b"c"))
    assert written == [b"c"]


@pytest.mark.parametrize("whole", [True, False])
def test_as_many_calls_run_at_once_as_max_in_flight_says(whole: bool) -> None:
    together = threading.Barrier(3)

    def write(_: object) -> None:
        together.wait(LIMIT)

    output = batch.batch_output(max_in_flight=3)(write) if whole else batch.output(max_in_flight=3)(write)
    with Served(output) as served:
        connected(served)
        for call in [served.begin(SEND, sent(b"a")) for _ in range(3)]:
            assert call.result().error.message == ""


def test_one_at_a_time_without_max_in_flight() -> None:
    alone = threading.Semaphore(1)
    overlaps: list[bytes] = []

    @batch.output
    def output(message: Message) -> None:
        if not alone.acquire(blocking=False):
            overlaps.append(message.payload)
        started.set()
        go.wait(LIMIT)
        alone.release()

    started, go = threading.Event(), threading.Event()
    with Served(output) as served:
        connected(served)
        calls = [served.begin(SEND, sent(b"a")) for _ in range(4)]
        assert started.wait(LIMIT)
        go.set()
        for call in calls:
            assert call.result().error.message == ""
    assert overlaps == []


def test_asynchronous_messages_of_one_batch_run_at_once_up_to_max_in_flight() -> None:
    most = running = 0

    @batch.output(max_in_flight=5)
    async def output(message: Message) -> None:
        nonlocal most, running
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.001)
        running -= 1

    with Served(output) as served:
        connected(served)
        calls = [served.begin(SEND, sent(*[b"x"] * 20)) for _ in range(3)]
        for call in calls:
            assert call.result().error.message == ""
    assert most == 5


@contextmanager
def given_up() -> Generator[tuple[Served, threading.Event]]:
    """Give up a send while it is written; the event tells that the write was cancelled. A bad message fails."""
    begun, cancelled = threading.Event(), threading.Event()

    @batch.output
    async def output(message: Message) -> None:
        if message.payload == b"bad":
            raise ValueError("too bad")
        begun.set()
        try:
            await asyncio.sleep(3600)
        finally:
            cancelled.set()

    with Served(output) as served:
        connected(served)
        call = served.begin(SEND, sent(b"a"))
        assert begun.wait(LIMIT)
        call.cancel()
        yield served, cancelled


def test_a_send_that_the_host_gives_up_cancels_an_asynchronous_write() -> None:
    with given_up() as (_, cancelled):
        assert cancelled.wait(LIMIT)


def test_a_send_that_the_host_gives_up_is_no_failure_of_the_output(caplog: pytest.LogCaptureFixture) -> None:
    with given_up() as (served, cancelled):
        assert cancelled.wait(LIMIT)
        served.call(SEND, sent(b"bad"))
    (told,) = [record for record in caplog.records if "later failures are not logged" in record.message]
    assert told.exc_info is not None
    assert str(told.exc_info[1]) == "too bad"


def test_close_answers_and_ends_the_output() -> None:
    ends: list[str] = []

    @batch.output
    class Writer:
        def write(self, message: Message) -> None: ...
        def close(self) -> None:
            ends.append("closed")
            raise OSError("will not close")

    with Served(Writer) as served:
        connected(served)
        assert served.call(CLOSE).error.message == "OSError: will not close"
        served.good(CLOSE)
        assert served.call(SEND, sent(b"a")).error.message.startswith("this output is not open")
    assert ends == ["closed"]


def test_a_host_that_goes_without_close_is_cleaned_up_after() -> None:
    ends: list[str] = []

    @batch.output
    class Writer:
        def write(self, message: Message) -> None: ...
        async def unused(self) -> None: ...
        def close(self) -> None:
            ends.append("closed")

    with Served(Writer) as served:
        connected(served)
    assert ends == ["closed"]
