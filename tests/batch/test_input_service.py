"""The answers of BatchInputService, asked over gRPC as a host in Go asks: nothing is lost, everything settles once."""

import asyncio
import logging
import queue
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from time import monotonic
from typing import Any

import grpc
import pytest
from batch_host import LIMIT, Served

from goplugin import batch
from goplugin.batch import Ack, Batch, Config, Message, _input_service
from goplugin.batch._input_service import InputService
from goplugin.proto import redpanda as rp

INIT, CONNECT, READ = rp.INPUT_INIT, rp.INPUT_CONNECT, rp.INPUT_READ_BATCH
ACK, CLOSE = rp.INPUT_ACK, rp.INPUT_CLOSE
END = rp.Error(message="end of input", end_of_input=rp.Error.EndOfInput())

Settled = list[tuple[bytes, str | None]]


def connected(served: Served, config: batch.Value = None) -> Served:
    assert served.init(INIT, config).error.message == ""
    served.good(CONNECT)
    return served


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let Close wait for a read under way for as long as that takes on a busy machine."""
    monkeypatch.setattr(_input_service, "CLOSE_WITHIN", LIMIT)


@pytest.fixture
def returned(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Tell when a read has returned in the plugin, of which a host that gave it up hears nothing."""
    event, read = threading.Event(), InputService.read

    def told(service: InputService, request: rp.BatchInputReadRequest, caller: Any = None) -> Any:
        try:
            return read(service, request, caller)
        finally:
            event.set()

    monkeypatch.setattr(InputService, "read", told)
    return event


def payloads(response: rp.BatchInputReadResponse) -> list[bytes]:
    return [message.bytes for message in response.batch.messages]


@batch.input
def generator() -> Iterator[Message]:
    yield Message(b"one")
    yield Message(b"two", metadata={"k": 2})


@batch.input
async def async_generator() -> AsyncIterator[Message]:
    yield Message(b"one")
    yield Message(b"two", metadata={"k": 2})


def from_list() -> Any:
    left = [Message(b"one"), Message(b"two", metadata={"k": 2})]

    @batch.input
    def function() -> Message:
        if not left:
            raise batch.EndOfInput
        return left.pop(0)

    return function


def from_async_function() -> Any:
    step = from_list()

    @batch.input
    async def function() -> Message:
        result: Message = step()
        return result

    return function


def from_class() -> Any:
    @batch.input
    class Reader:
        def __init__(self) -> None:
            self.step = from_list()

        def read(self) -> Message:
            result: Message = self.step()
            return result

    return Reader


def from_async_class() -> Any:
    @batch.input
    class Reader:
        def __init__(self, config: Config) -> None:
            self.step = from_list()

        async def connect(self) -> None: ...
        async def read(self) -> Message:
            result: Message = self.step()
            return result

        async def close(self) -> None: ...

    return Reader


FORMS = {
    "generator": lambda: generator,
    "async generator": lambda: async_generator,
    "function": from_list,
    "async function": from_async_function,
    "class": from_class,
    "async class": from_async_class,
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_its_messages_in_order_and_then_the_end_for_ever(form: str) -> None:
    with Served(FORMS[form]()) as served:
        connected(served)
        first, second = served.good(READ), served.good(READ)
        assert (payloads(first), payloads(second)) == ([b"one"], [b"two"])
        assert second.batch.messages[0].metadata.fields["k"].integer_value == 2
        assert 0 != first.batch_id != second.batch_id
        assert served.call(READ).error == END
        assert served.call(READ).error == END
        for response in (first, second):
            served.good(ACK, rp.BatchInputAckRequest(batch_id=response.batch_id))
        served.good(CLOSE)


def pairs() -> Iterator[Batch]:
    yield [Message(b"a"), Message(b"b")]
    yield []
    yield [Message(b"c")]


def batch_generator() -> Any:
    @batch.batch_input
    def source() -> Iterator[Batch]:
        yield from pairs()

    return source


def batch_async_generator() -> Any:
    @batch.batch_input
    async def source() -> AsyncIterator[Batch]:
        for one in pairs():
            yield one

    return source


def batch_function() -> Any:
    left = pairs()

    @batch.batch_input
    def source() -> Batch:
        found = next(left, None)
        if found is None:
            raise batch.EndOfInput
        return found

    return source


def batch_async_function() -> Any:
    step = batch_function()

    @batch.batch_input
    async def source() -> Batch:
        found: Batch = step()
        return found

    return source


BATCH_FORMS = [batch_generator, batch_async_generator, batch_function, batch_async_function]


@pytest.mark.parametrize("form", BATCH_FORMS, ids=lambda form: form.__name__)
def test_a_batch_input_gives_whole_batches_and_an_empty_one_is_nothing_yet(form: Callable[[], Any]) -> None:
    with Served(form()) as served:
        connected(served)
        assert payloads(served.good(READ)) == [b"a", b"b"]
        assert payloads(served.good(READ)) == [b"c"]
        assert served.call(READ).error == END


@pytest.mark.parametrize("replay", [True, False])
def test_init_says_whether_the_host_replays_nacks(replay: bool) -> None:
    @batch.input(auto_replay_nacks=replay)
    def nothing() -> Iterator[Message]:
        return iter(())

    with Served(nothing) as served:
        assert served.init(INIT) == rp.BatchInputInitResponse(auto_replay_nacks=replay)


def recording(settled: Settled, *names: bytes) -> Any:
    def ack(name: bytes) -> Ack:
        return lambda reason: settled.append((name, reason))

    @batch.input(auto_replay_nacks=False)
    def source() -> Iterator[tuple[Message, Ack]]:
        for name in names:
            yield Message(name), ack(name)

    return source


def test_acks_and_nacks_reach_the_ack_function_of_their_batch_exactly_once() -> None:
    settled: Settled = []
    with Served(recording(settled, b"a", b"b", b"c")) as served:
        connected(served)
        a, b, c = (served.good(READ).batch_id for _ in range(3))
        served.good(ACK, rp.BatchInputAckRequest(batch_id=b, error=rp.Error(message="disk full")))
        served.good(ACK, rp.BatchInputAckRequest(batch_id=a))
        served.good(ACK, rp.BatchInputAckRequest(batch_id=c, error=rp.Error()))  # an empty text is no error
        assert settled == [(b"b", "disk full"), (b"a", None), (b"c", None)]
        again = served.call(ACK, rp.BatchInputAckRequest(batch_id=a))
        assert "there is no batch 1 to settle" in again.error.message
        assert len(settled) == 3


def test_an_error_without_a_text_but_with_a_detail_is_a_nack() -> None:
    settled: Settled = []
    with Served(recording(settled, b"a")) as served:
        connected(served)
        error = rp.Error(not_connected=rp.Error.NotConnected())
        served.good(ACK, rp.BatchInputAckRequest(batch_id=served.good(READ).batch_id, error=error))
    assert settled == [(b"a", "not_connected")]


def test_what_an_ack_function_raises_is_the_answer_and_the_batch_is_settled_all_the_same() -> None:
    def fails(_: str | None) -> None:
        raise OSError("no such receipt")

    @batch.input
    def source() -> Iterator[tuple[Message, Ack]]:
        yield Message(b"a"), fails

    with Served(source) as served:
        connected(served)
        request = rp.BatchInputAckRequest(batch_id=served.good(READ).batch_id)
        assert served.call(ACK, request).error.message == "OSError: no such receipt"
        assert "there is no batch" in served.call(ACK, request).error.message


def test_an_asynchronous_ack_is_awaited() -> None:
    settled: Settled = []

    @batch.input
    async def source() -> AsyncIterator[tuple[Message, Ack]]:
        async def ack(reason: str | None) -> None:
            settled.append((b"a", reason))

        yield Message(b"a"), ack

    with Served(source) as served:
        connected(served)
        served.good(ACK, rp.BatchInputAckRequest(batch_id=served.good(READ).batch_id))
        assert settled == [(b"a", None)]


def test_an_ordinary_ack_of_an_asynchronous_input_does_not_hold_up_its_event_loop() -> None:
    settled: Settled = []
    acking, go = threading.Event(), threading.Event()

    def ack(reason: str | None) -> None:
        acking.set()
        assert go.wait(LIMIT)
        settled.append((b"one", reason))

    @batch.input
    async def feed() -> AsyncIterator[Any]:
        yield Message(b"one"), ack
        await asyncio.to_thread(acking.wait, LIMIT)
        yield Message(b"two")

    with Served(feed) as served:
        first = connected(served).good(READ)
        acked = served.begin(ACK, rp.BatchInputAckRequest(batch_id=first.batch_id))
        assert payloads(served.good(READ)) == [b"two"]
        go.set()
        assert acked.result().error.message == ""
    assert settled == [(b"one", None)]


def test_the_constructor_of_an_asynchronous_input_is_on_its_event_loop_and_no_ordinary_method_is() -> None:
    on: list[tuple[str, bool]] = []

    def note(what: str) -> None:
        on.append((what, asyncio._get_running_loop() is not None))

    @batch.input
    class Feed:
        def __init__(self) -> None:
            note("made")

        def connect(self) -> None:
            note("connected")

        async def read(self) -> Message:
            note("read")
            raise batch.EndOfInput

        def close(self) -> None:
            note("closed")

    with Served(Feed) as served:
        connected(served).call(READ)
        served.good(CLOSE)
    assert on == [("made", True), ("connected", False), ("read", True), ("closed", False)]


def test_what_is_out_when_the_input_closes_gets_a_nack() -> None:
    settled: Settled = []
    with Served(recording(settled, b"a", b"b")) as served:
        connected(served)
        first = served.good(READ).batch_id
        served.good(READ)
        served.good(ACK, rp.BatchInputAckRequest(batch_id=first))
        served.good(CLOSE)
        assert settled == [(b"a", None), (b"b", "the input was closed before this batch was settled")]


# A host that takes short answers only.

TOO_LARGE = "batch[1]: got a message of 1003 bytes, want at most 977"


@pytest.fixture
def cut_up() -> Iterator[tuple[Served, Settled]]:
    """Serve three batches to a host that takes answers of 1000 bytes; what their ack functions heard comes with it."""
    settled: Settled = []

    def ack(name: bytes) -> Ack:
        return lambda reason: settled.append((name, reason))

    @batch.batch_input(auto_replay_nacks=False)
    def source() -> Iterator[tuple[Batch, Ack]]:
        yield [Message(text * 400) for text in (b"a", b"b", b"c", b"d", b"e")], ack(b"five")
        yield [Message(b"before"), Message(b"x" * 1000), Message(b"after")], ack(b"one too large")
        yield [Message(b"last")], ack(b"last")

    with Served(source) as served:
        served.service.answer_max = 1000
        yield connected(served), settled


def settle(served: Served, read: rp.BatchInputReadResponse, reason: str = "") -> None:
    served.good(ACK, rp.BatchInputAckRequest(batch_id=read.batch_id, error=rp.Error(message=reason)))


def test_a_batch_too_long_for_an_answer_comes_in_several_and_is_acked_when_all_are(
    cut_up: tuple[Served, Settled],
) -> None:
    served, settled = cut_up
    parts = [served.good(READ) for _ in range(3)]
    assert [[text[:1] for text in payloads(part)] for part in parts] == [[b"a", b"b"], [b"c", b"d"], [b"e"]]
    assert all(part.ByteSize() <= 1000 for part in parts)
    for part in (parts[2], parts[0]):
        settle(served, part)
    assert settled == []
    settle(served, parts[1])
    assert settled == [(b"five", None)]


def test_a_nack_of_one_part_is_a_nack_of_the_batch_once_all_are_settled(cut_up: tuple[Served, Settled]) -> None:
    served, settled = cut_up
    parts = [served.good(READ) for _ in range(3)]
    for part, reason in zip(parts, ("", "disk full", "disk still full"), strict=True):
        assert settled == []
        settle(served, part, reason)
    assert settled == [(b"five", "disk full")]


def test_a_message_too_long_for_any_answer_is_an_error_and_a_nack_and_the_rest_comes(
    cut_up: tuple[Served, Settled], caplog: pytest.LogCaptureFixture
) -> None:
    served, settled = cut_up
    for _ in range(3):
        settle(served, served.good(READ))
    before = served.good(READ)
    with caplog.at_level(logging.ERROR, "goplugin.batch"):
        assert served.call(READ).error.message.startswith(TOO_LARGE)
    assert [record.getMessage() for record in caplog.records if TOO_LARGE in record.getMessage()] != []
    after = served.good(READ)
    assert (payloads(before), payloads(after)) == ([b"before"], [b"after"])
    settle(served, before)
    assert settled == [(b"five", None)]
    settle(served, after)
    [_, (name, reason)] = settled
    assert name == b"one too large"
    assert (reason or "").startswith(TOO_LARGE)
    assert payloads(served.good(READ)) == [b"last"]
    assert served.call(READ).error == END


def test_a_batch_of_which_parts_are_out_and_parts_still_wait_gets_one_nack_at_close(
    cut_up: tuple[Served, Settled],
) -> None:
    served, settled = cut_up
    settle(served, served.good(READ))
    served.good(READ)
    served.good(CLOSE)
    assert settled == [(b"five", "the input was closed before this batch was settled")]


def test_a_read_that_was_given_up_takes_no_part(cut_up: tuple[Served, Settled]) -> None:
    served, _ = cut_up
    served.good(READ)

    class GaveUp:
        def add_callback(self, callback: Callable[[], object]) -> bool:
            return False

    assert served.service.read(rp.BatchInputReadRequest(), GaveUp()).error.message == "the host gave this read up"
    assert [text[:1] for text in payloads(served.good(READ))] == [b"c", b"d"]


def test_a_batch_that_cannot_be_put_on_the_wire_at_all_is_an_error_and_a_nack() -> None:
    settled: Settled = []

    @batch.input
    def source() -> Iterator[tuple[Message, Ack]]:
        message: Any = Message(b"a")
        message.metadata = 5
        yield message, lambda reason: settled.append((b"a", reason))

    with Served(source) as served:
        error = connected(served).call(READ).error.message
        assert error.startswith("AttributeError: 'int' object")
        assert settled == [(b"a", error)]


class Slow:
    """Gives what is put into it, and counts how often it was asked."""

    def __init__(self) -> None:
        self.items: queue.Queue[Message] = queue.Queue()
        self.settled: Settled = []
        self.asked = threading.Semaphore(0)

    def source(self) -> Any:
        return batch.input(lambda: self.take())

    def take(self) -> tuple[Message, Ack]:
        self.asked.release()
        message = self.items.get(timeout=LIMIT)
        return message, lambda reason: self.settled.append((message.payload, reason))


def test_a_batch_whose_read_was_given_up_comes_with_the_next_read(returned: threading.Event) -> None:
    slow = Slow()
    with Served(slow.source()) as served:
        connected(served)
        given_up = served.begin(READ)
        assert slow.asked.acquire(timeout=LIMIT)
        given_up.cancel()
        assert returned.wait(LIMIT)
        slow.items.put(Message(b"kept"))
        assert payloads(served.good(READ)) == [b"kept"]
        assert slow.settled == []


def test_two_reads_at_once_get_different_batches() -> None:
    slow = Slow()
    with Served(slow.source()) as served:
        connected(served)
        reads = [served.begin(READ) for _ in range(2)]
        slow.items.put(Message(b"a"))
        slow.items.put(Message(b"b"))
        assert sorted(payloads(read.result())[0] for read in reads) == [b"a", b"b"]


def test_an_ack_arrives_while_a_read_waits() -> None:
    slow = Slow()
    with Served(slow.source()) as served:
        connected(served)
        slow.items.put(Message(b"a"))
        number = served.good(READ).batch_id
        waiting = served.begin(READ)
        served.good(ACK, rp.BatchInputAckRequest(batch_id=number))
        assert slow.settled == [(b"a", None)]
        slow.items.put(Message(b"b"))
        assert payloads(waiting.result()) == [b"b"]


def test_close_wakes_a_read_that_waits_and_calls_close_which_may_free_it() -> None:
    freed = threading.Event()
    asked = threading.Event()

    @batch.input
    class Waits:
        def read(self) -> None:
            asked.set()
            assert freed.wait(LIMIT)

        def close(self) -> None:
            freed.set()

    with Served(Waits) as served:
        connected(served)
        waiting = served.begin(READ)
        assert asked.wait(LIMIT)
        served.good(CLOSE)
        assert waiting.result().error.message != ""


@pytest.mark.parametrize("is_async", [False, True])
def test_a_read_that_ends_long_after_close_gets_a_nack(is_async: bool) -> None:
    settled: queue.Queue[str | None] = queue.Queue()
    asked, go = threading.Event(), threading.Event()

    @batch.input
    def late() -> Any:
        asked.set()
        assert go.wait(LIMIT)
        return Message(b"late"), settled.put

    @batch.input
    async def late_too() -> Any:
        try:
            asked.set()
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            await asyncio.to_thread(go.wait, LIMIT)

        async def ack(reason: str | None) -> None:
            settled.put(reason)

        return Message(b"late"), ack

    with Served(late_too if is_async else late) as served:
        waiting = connected(served).begin(READ)
        assert asked.wait(LIMIT)
        served.good(CLOSE)
        assert waiting.result().error.HasField("end_of_input")
        assert settled.empty()
        go.set()
        assert settled.get(timeout=LIMIT) == "the input was closed before this batch was settled"
    assert settled.empty()


@pytest.mark.usefixtures("patient")
def test_a_read_that_is_done_but_was_never_fetched_gets_a_nack_at_close(returned: threading.Event) -> None:
    slow = Slow()
    with Served(slow.source()) as served:
        connected(served)
        given_up = served.begin(READ)
        assert slow.asked.acquire(timeout=LIMIT)
        given_up.cancel()
        assert returned.wait(LIMIT)
        slow.items.put(Message(b"late"))
        served.good(CLOSE)
        assert slow.settled == [(b"late", "the input was closed before this batch was settled")]


def test_a_generator_is_closed_with_the_input() -> None:
    ends: list[str] = []

    @batch.input
    def source() -> Iterator[Message]:
        try:
            while True:
                yield Message(b"a")
        finally:
            ends.append("sync")

    @batch.input
    async def async_source() -> AsyncIterator[Message]:
        try:
            while True:
                yield Message(b"a")
        finally:
            ends.append("async")

    for one in (source, async_source):
        with Served(one) as served:
            connected(served)
            served.good(READ)
            served.good(CLOSE)
    assert ends == ["sync", "async"]


@pytest.mark.usefixtures("patient")
def test_close_cancels_an_asynchronous_read_and_closes_its_generator() -> None:
    import asyncio

    ends: list[str] = []
    waiting = threading.Event()

    @batch.input
    async def source() -> AsyncIterator[Message]:
        try:
            waiting.set()
            await asyncio.sleep(3600)
            yield Message(b"never")
        finally:
            ends.append("cancelled")

    with Served(source) as served:
        connected(served)
        read = served.begin(READ)
        assert waiting.wait(LIMIT)
        served.good(CLOSE)
        assert ends == ["cancelled"]
        assert read.result().error.message != ""


def test_acks_come_to_an_asynchronous_input_whose_read_has_nothing_yet_and_never_waits() -> None:
    left, settled = [b"one", b"two"], Settled()
    asked = 0

    async def ack(reason: str | None) -> None:
        settled.append((b"", reason))

    @batch.input
    async def source() -> tuple[Message, Ack] | None:
        nonlocal asked
        asked += 1
        if len(settled) == 2:
            raise batch.EndOfInput
        return (Message(left.pop(0)), ack) if left else None

    with Served(source) as served:
        connected(served)
        first, second = served.good(READ), served.good(READ)
        end, begun = served.begin(READ), monotonic()
        with pytest.raises(grpc.FutureTimeoutError):
            end.result(0.2)
        assert asked < 1000 * (1 + monotonic() - begun)  # a core would do 500,000 and more in a second
        for response in (first, second):
            served.good(ACK, rp.BatchInputAckRequest(batch_id=response.batch_id))
        assert end.result().error == END
    assert settled == [(b"", None)] * 2


def test_an_asynchronous_generator_that_has_nothing_yet_and_never_waits_lets_acks_come_too() -> None:
    settled = Settled()

    @batch.input
    async def source() -> AsyncIterator[Any]:
        async def ack(reason: str | None) -> None:
            settled.append((b"one", reason))

        yield Message(b"one"), ack
        while not settled:
            yield None

    with Served(source) as served:
        first = connected(served).good(READ)
        end = served.begin(READ)
        served.good(ACK, rp.BatchInputAckRequest(batch_id=first.batch_id))
        assert end.result().error == END


def test_what_is_not_connected_is_not_asked_to_read() -> None:
    with Served(generator) as served:
        assert "this input is not open" in served.call(CONNECT).error.message
        assert "this input is not open" in served.call(READ).error.message
        served.init(INIT)
        assert served.call(READ).error == rp.Error(
            message="this input is not connected: Connect comes before ReadBatch",
            not_connected=rp.Error.NotConnected(),
        )


@batch.input
class Flaky:
    """Fails to connect once, and loses its connection after each message."""

    def __init__(self) -> None:
        self.tries = 0

    def connect(self) -> None:
        self.tries += 1
        if self.tries == 1:
            raise batch.BackOff(0.25, "the broker starts")

    def read(self) -> Message:
        if self.tries == 2:
            self.tries += 1
            return Message(b"a")
        raise batch.NotConnected("the broker hung up")


@batch.input
class AsyncFlaky:
    """The same with a coroutine for each."""

    def __init__(self) -> None:
        self.inner = Flaky()

    async def connect(self) -> None:
        self.inner.connect()

    async def read(self) -> Message:
        return self.inner.read()


@pytest.mark.parametrize("flaky", [Flaky, AsyncFlaky])
def test_backing_off_and_losing_the_connection_are_told_to_the_host(flaky: type) -> None:
    with Served(flaky) as served:
        served.init(INIT)
        error = served.call(CONNECT).error
        assert (error.message, error.backoff.ToTimedelta().total_seconds()) == ("the broker starts", 0.25)
        assert served.call(READ).error.HasField("not_connected")
        served.good(CONNECT)
        assert payloads(served.good(READ)) == [b"a"]
        error = served.call(READ).error
        assert error == rp.Error(message="the broker hung up", not_connected=rp.Error.NotConnected())
        assert served.call(READ).error.message.startswith("this input is not connected")


def test_connecting_twice_connects_once() -> None:
    with Served(Flaky) as served:
        served.init(INIT)
        served.call(CONNECT)
        served.good(CONNECT)
        served.good(CONNECT)
        assert payloads(served.good(READ)) == [b"a"]


class Panic(BaseException):
    """As an extension in Rust raises it: no Exception."""


@pytest.mark.parametrize("error", [ValueError("bad disk"), Panic("bad disk"), SystemExit("bad disk")])
@pytest.mark.parametrize("is_async", [False, True])
def test_a_generator_that_fails_says_so_and_begins_anew_with_the_next_connection(
    is_async: bool, error: BaseException
) -> None:
    runs: list[int] = []

    @batch.input
    def source() -> Iterator[Message]:
        runs.append(1)
        yield Message(b"a")
        if len(runs) == 1:
            raise error

    @batch.input
    async def async_source() -> AsyncIterator[Message]:
        for one in source():
            yield one

    with Served(async_source if is_async else source) as served:
        connected(served)
        served.good(READ)
        said = rp.Error(message=f"{type(error).__name__}: bad disk", not_connected=rp.Error.NotConnected())
        assert served.call(READ).error == said
        served.good(CONNECT)
        assert payloads(served.good(READ)) == [b"a"]
        assert served.call(READ).error == END


@pytest.mark.parametrize("error", [ValueError("hiccup"), Panic("hiccup"), asyncio.CancelledError("hiccup")])
@pytest.mark.parametrize("is_async", [False, True])
def test_a_function_that_fails_says_so_and_is_asked_again(is_async: bool, error: BaseException) -> None:
    answers = iter([error, None])

    @batch.input
    def source() -> Message:
        if (one := next(answers)) is not None:
            raise one
        return Message(b"a")

    @batch.input
    async def async_source() -> Message:
        return source()

    with Served(async_source if is_async else source) as served:
        connected(served)
        assert served.call(READ).error.message.endswith(f"{type(error).__name__}: hiccup")
        assert payloads(served.good(READ)) == [b"a"]


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (b"bytes", "TypeError: an input gives a Message, or None while there is none, not bytes"),
        ((Message(b""), 7), "TypeError: an input gives what it read, or a pair of that and its ack function"),
        ([Message(b"")], "TypeError: an input gives a Message, or None while there is none, not list"),
    ],
)
def test_what_is_no_message_is_refused(given: Any, text: str) -> None:
    with Served(batch.input(lambda: given)) as served:
        connected(served)
        assert served.call(READ).error == rp.Error(message=text)


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (b"bytes", "TypeError: a batch input gives a list of messages, not bytes"),
        ([b""], "TypeError: a batch input gives a list of messages, not of bytes"),
    ],
)
def test_what_is_no_batch_is_refused(given: Any, text: str) -> None:
    with Served(batch.batch_input(lambda: given)) as served:
        connected(served)
        assert served.call(READ).error == rp.Error(message=text)


def test_a_message_that_cannot_be_sent_goes_out_marked_with_its_payload_and_hurts_no_other() -> None:
    @batch.batch_input
    def source() -> Iterator[Batch]:
        yield [Message(b"a"), Message(b"b", metadata={"n": 2**64}), Message(structured={"n": 2**64})]

    with Served(source) as served:
        connected(served)
        good, bad, worse = served.good(READ).batch.messages
        assert good == rp.Message(bytes=b"a")
        assert (bad.bytes, worse.bytes) == (b"b", b'{"n":18446744073709551616}')
        assert bad.error.message == worse.error.message
        assert bad.error.message.startswith("n: got an integer of 65 bits")


@pytest.mark.usefixtures("patient")
def test_an_asynchronous_generator_that_tidies_up_slowly_is_waited_for_by_close() -> None:
    ends: list[str] = []
    begun = threading.Event()

    @batch.input
    async def feed() -> AsyncIterator[Message]:
        try:
            begun.set()
            await asyncio.sleep(3600)
            yield Message(b"never")
        finally:
            await asyncio.sleep(0.05)
            ends.append("tidy")

    with Served(feed) as served:
        served.init(INIT)
        served.good(CONNECT)
        call = served.begin(READ)
        assert begun.wait(LIMIT)
        served.good(CLOSE)
        assert ends == ["tidy"]
        assert call.result().error.HasField("end_of_input")
