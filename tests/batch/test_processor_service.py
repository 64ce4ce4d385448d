"""The answers of BatchProcessorService, over gRPC as a host in Go asks: one bad message never hurts its batch."""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import CancelledError
from typing import Any, cast

import pytest
from batch_host import LIMIT, Served

from goplugin import batch
from goplugin.batch import Batch, BatchResult, Config, Message, Result, Value, _service
from goplugin.batch._message import Message as Sent
from goplugin.batch._value import write_fields, write_value
from goplugin.proto import lazy
from goplugin.proto import redpanda as rp

INIT, PROCESS, CLOSE = rp.PROCESSOR_INIT, rp.PROCESSOR_PROCESS_BATCH, rp.PROCESSOR_CLOSE


def request(*messages: Message) -> rp.BatchProcessorProcessBatchRequest:
    wires = lazy.Batches()
    wires.batches.add().messages.extend(message.to_wire() for message in messages)
    return rp.BatchProcessorProcessBatchRequest.FromString(wires.SerializeToString())


def opened(served: Served, config: Value = None) -> Served:
    assert served.init(INIT, config).error.message == ""
    return served


def batches(served: Served, *messages: Message) -> list[Batch]:
    response = served.good(PROCESS, request(*messages))
    return [Sent.from_wire(one) for one in lazy.Batches.FromString(response.SerializeToString()).batches]


def processed(target: object, *messages: Message, config: Value = None) -> Batch:
    """What one batch becomes, which must be one batch again."""
    with Served(target) as served:
        (done,) = batches(opened(served, config), *messages)
        return done


def every_form(step: Callable[[Message], Result]) -> dict[str, Any]:
    """Return a processor of each form that does the same."""

    @batch.processor
    def function(message: Message) -> Result:
        return step(message)

    @batch.processor
    async def async_function(message: Message) -> Result:
        await asyncio.sleep(0)
        return step(message)

    @batch.processor(max_in_flight=4)
    async def concurrent_function(message: Message) -> Result:
        await asyncio.sleep(0)
        return step(message)

    @batch.processor
    class Stepper:
        def process(self, message: Message) -> Result:
            return step(message)

    @batch.processor
    class AsyncStepper:
        async def open(self) -> None: ...
        async def process(self, message: Message) -> Result:
            return step(message)

    targets = (function, async_function, concurrent_function, Stepper, AsyncStepper)
    return {target.__name__: target for target in targets}


@batch.processor
def keep(message: Message) -> Message:
    return message


@batch.processor
def drop(message: Message) -> None: ...


FORMS = list(every_form(lambda message: message))


@pytest.mark.parametrize("form", FORMS)
def test_every_message_goes_through_the_function_in_order(form: str) -> None:
    def shout(message: Message) -> Message:
        message.payload = message.payload.upper()
        return message

    done = processed(every_form(shout)[form], Message(b"a", metadata={"k": 1}), *map(Message, (b"b", b"c", b"d")))
    assert done == [Message(b"A", metadata={"k": 1}), Message(b"B"), Message(b"C"), Message(b"D")]


@pytest.mark.parametrize("form", FORMS)
def test_none_drops_a_message_and_an_iterable_splits_it_in_its_place(form: str) -> None:
    def step(message: Message) -> Result:
        match message.payload:
            case b"drop":
                return None
            case b"split":
                return (Message(part) for part in (b"s1", b"s2"))
            case b"nothing":
                return []
            case b"new":
                return Message(b"n", metadata={"new": True})
            case _:
                message.metadata["seen"] = True
                return message

    done = processed(every_form(step)[form], *map(Message, (b"a", b"drop", b"split", b"nothing", b"new", b"z")))
    assert [message.payload for message in done] == [b"a", b"s1", b"s2", b"n", b"z"]
    assert done[0].metadata == done[4].metadata == {"seen": True}


@pytest.mark.parametrize("form", FORMS)
def test_an_exception_marks_that_message_and_leaves_it_as_it_came(form: str) -> None:
    def step(message: Message) -> Message:
        was = message.payload
        message.payload, message.metadata["seen"] = b"half done", True
        if was == b"bad":
            raise ValueError("too bad")
        return message

    done = processed(every_form(step)[form], Message(b"a"), Message(b"bad", metadata={"k": 1}), Message(b"b"))
    assert done[1] == Message(b"bad", metadata={"k": 1}, error="ValueError: too bad")
    assert [message.error for message in done] == [None, "ValueError: too bad", None]
    assert [message.payload for message in done] == [b"half done", b"bad", b"half done"]


def test_a_batch_of_which_nothing_is_left_comes_back_as_no_batch() -> None:
    with Served(drop) as served:
        assert batches(opened(served), Message(b"a")) == []


def test_a_request_without_a_batch_or_with_an_empty_one_makes_nothing() -> None:
    with Served(keep) as served:
        opened(served)
        assert list(served.good(PROCESS).batches) == []
        empty = rp.BatchProcessorProcessBatchRequest(batch=rp.MessageBatch())
        assert list(served.good(PROCESS, empty).batches) == []


def test_an_async_generator_splits_a_message() -> None:
    @batch.processor
    async def split(message: Message) -> AsyncIterator[Message]:
        for part in message.payload.split():
            yield Message(part)

    assert processed(split, Message(b"a b"), Message(b"c")) == [Message(b"a"), Message(b"b"), Message(b"c")]


def test_a_generator_that_changes_one_message_and_yields_copies_gives_each_as_it_was() -> None:
    @batch.processor
    def split(message: Message) -> Iterator[Message]:
        for word in message.text.split():
            message.text = word
            yield message.copy()

    assert processed(split, Message(b"a b c")) == [Message(b"a"), Message(b"b"), Message(b"c")]


def test_what_nobody_looked_at_goes_out_as_it_came() -> None:
    sent = rp.BatchProcessorProcessBatchRequest()
    message = sent.batch.messages.add()
    message.structured.timestamp_value.FromNanoseconds(1)  # finer than Python's
    message.metadata.fields["t"].timestamp_value.FromNanoseconds(1)
    message.metadata.fields["unset"].SetInParent()  # of a kind that is not known
    message.error.message = "e"
    message.error.backoff.FromNanoseconds(1)
    sent.batch.messages.add()  # without a payload
    with Served(keep) as served:
        (done,) = opened(served).good(PROCESS, sent).batches
        assert done == sent.batch


def test_a_message_without_a_payload_reads_as_an_empty_one() -> None:
    seen: list[bytes] = []

    @batch.processor
    def look(message: Message) -> Message:
        seen.append(message.payload)
        return message

    with Served(look) as served:
        sent = rp.BatchProcessorProcessBatchRequest(
            batch=rp.MessageBatch(messages=[rp.Message(), rp.Message(bytes=b"")])
        )
        assert opened(served).good(PROCESS, sent).batches[0] == sent.batch
    assert seen == [b"", b""]


def test_metadata_that_cannot_be_read_marks_that_message_alone() -> None:
    @batch.processor
    def look(message: Message) -> Message:
        message.metadata["seen"] = True
        return message

    sent = rp.BatchProcessorProcessBatchRequest()
    sent.batch.messages.add().metadata.fields["unset"].SetInParent()
    sent.batch.messages.add().bytes = b"good"
    with Served(look) as served:
        bad, good = opened(served).good(PROCESS, sent).batches[0].messages
    assert bad.error.message.startswith("unset: got no kind that is known here")
    assert good.metadata.fields["seen"].bool_value


def test_a_new_mark_leaves_nothing_of_an_old_one() -> None:
    @batch.processor
    def fails(message: Message) -> Message:
        raise ValueError("new")

    sent = request(Message(b"a"))
    sent.batch.messages[0].error.message = "old"
    sent.batch.messages[0].error.end_of_input.SetInParent()
    with Served(fails) as served:
        (done,) = opened(served).good(PROCESS, sent).batches
    assert done.messages[0].error == rp.Error(message="ValueError: new")


def test_a_generator_that_fails_half_way_leaves_only_the_marked_original() -> None:
    @batch.processor
    def step(message: Message) -> Iterator[Message]:
        yield Message(b"1")
        raise RuntimeError

    assert processed(step, Message(b"a")) == [Message(b"a", error="RuntimeError")]


@pytest.mark.parametrize(
    ("result", "error"),
    [
        (b"bytes", "TypeError: a processor returns a Message, several of them, or None, not bytes"),
        (7, "TypeError: a processor returns a Message, several of them, or None, not int"),
        ([b"a"], "TypeError: a processor returns a Message, several of them, or None, not an iterable of bytes"),
        (Message(structured={"n": 2**64}), "n: got an integer of 65 bits, want an integer from -2**63 to 2**63 - 1"),
        ([Message(b"x"), Message(b"", metadata={"m": 2**64})], "m: got an integer of 65 bits, want an integer"),
    ],
)
def test_a_result_that_cannot_be_sent_marks_that_message(result: object, error: str) -> None:
    @batch.processor
    def step(message: Message) -> Result:
        return message if message.payload == b"good" else cast("Result", result)

    done = processed(step, Message(b"good"), Message(b"a"), Message(b"good"))
    assert [message.payload for message in done] == [b"good", b"a", b"good"]
    assert str(done[1].error).startswith(error)


class Panic(BaseException):
    """As an extension in Rust raises it: no Exception."""


@batch.processor(max_in_flight=4)
def panic_in_one_of_many(message: Message) -> Message:
    if message.payload == b"bad":
        raise Panic("3")
    return message


@pytest.mark.parametrize("error", [SystemExit("3"), Panic("3"), asyncio.CancelledError("3"), CancelledError("3")])
@pytest.mark.parametrize("form", FORMS)
def test_whatever_a_processor_raises_marks_its_message_and_ends_nothing(
    form: str, error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    def step(message: Message) -> Message:
        if message.payload == b"bad":
            raise error
        return message

    marked = Message(b"bad", error=f"{type(error).__name__}: 3")
    with Served(every_form(step)[form]) as served:
        opened(served)
        for _ in range(2):
            came = [Message(b"a"), Message(b"bad"), Message(b"c")]
            assert batches(served, *came) == [[came[0], marked, came[2]]]
    assert f"{type(error).__name__}: 3" in caplog.text


def test_whatever_one_of_many_threads_raises_marks_its_message() -> None:
    done = processed(panic_in_one_of_many, Message(b"a"), Message(b"bad"), Message(b"c"))
    assert done == [Message(b"a"), Message(b"bad", error="Panic: 3"), Message(b"c")]


@pytest.mark.parametrize("whole", [False, True])
def test_what_a_processor_awaits_may_be_cancelled_and_that_is_its_error(whole: bool) -> None:
    async def wait() -> None:
        task = asyncio.create_task(asyncio.sleep(LIMIT))
        task.cancel()
        await task

    @batch.processor
    async def step(message: Message) -> Message:
        if message.payload == b"bad":
            await wait()
        return message

    @batch.batch_processor
    async def steps(batch: Batch) -> Batch:
        await wait()
        return batch

    came = [Message(b"a"), Message(b"bad"), Message(b"c")]
    with Served(steps if whole else step) as served:
        opened(served)
        for _ in range(2):
            if whole:
                assert "CancelledError" in served.call(PROCESS, request(*came)).error.message
            else:
                done = [came[0], Message(b"bad", error="CancelledError"), came[2]]
                assert batches(served, *came) == [done]


@pytest.mark.parametrize("where", ["__init__", "open"])
def test_whatever_a_processor_raises_while_it_is_opened_is_the_answer_of_init(where: str) -> None:
    def fail(*_: object) -> None:
        raise Panic("not today")

    class Step:
        def open(self) -> None: ...
        def process(self, message: Message) -> Message:
            return message

    setattr(Step, where, fail)
    with Served(batch.processor(Step)) as served:
        assert served.init(INIT).error.message == "Panic: not today"


def test_a_processor_sees_the_mark_of_an_earlier_one_and_can_take_it_off() -> None:
    @batch.processor
    def step(message: Message) -> Message:
        if message.payload == b"mend":
            message.error = None
        return message

    done = processed(step, Message(b"mend", error="was bad"), Message(b"a", error="is bad"))
    assert [message.error for message in done] == [None, "is bad"]


def test_only_the_first_failure_is_logged_with_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    @batch.processor
    def fails(message: Message) -> Message:
        raise ValueError(message.text)

    with caplog.at_level(logging.WARNING, "goplugin.batch"), Served(fails) as served:
        batches(opened(served), Message(b"first"), Message(b"second"))
        batches(served, Message(b"third"))
    (record,) = caplog.records
    assert "fails failed on a message" in record.getMessage()
    assert record.exc_info is not None
    assert str(record.exc_info[1]) == "first"


# Whole batches.


def every_batch_form(step: Callable[[Batch], BatchResult]) -> dict[str, Any]:
    @batch.batch_processor
    def function(batch: Batch) -> BatchResult:
        return step(batch)

    @batch.batch_processor
    async def async_function(batch: Batch) -> BatchResult:
        return step(batch)

    @batch.batch_processor
    class Stepper:
        def process(self, batch: Batch) -> BatchResult:
            return step(batch)

    return {target.__name__: target for target in (function, async_function, Stepper)}


@pytest.mark.parametrize("form", ["function", "async_function", "Stepper"])
def test_a_batch_processor_gets_the_batch_and_may_split_reorder_or_drop_it(form: str) -> None:
    def step(batch: Batch) -> BatchResult:
        match batch[0].payload:
            case b"same":
                return batch
            case b"sort":
                batch.sort(key=lambda message: message.payload)
                return batch
            case b"split":
                return ([message] for message in batch)
            case b"empty":
                return [[], batch, []]
            case b"shorter":
                return batch[1:]
            case _:
                return None

    with Served(every_batch_form(step)[form]) as served:
        opened(served)
        for first, made in [
            (b"same", [[b"same", b"b"]]),
            (b"sort", [[b"b", b"sort"]]),
            (b"split", [[b"split"], [b"b"]]),
            (b"empty", [[b"empty", b"b"]]),
            (b"shorter", [[b"b"]]),
            (b"drop", []),
        ]:
            done = batches(served, Message(first), Message(b"b"))
            assert [[message.payload for message in one] for one in done] == made


def test_an_async_generator_splits_a_batch() -> None:
    @batch.batch_processor
    async def split(batch: Batch) -> AsyncIterator[Batch]:
        for message in batch:
            yield [message]

    with Served(split) as served:
        assert batches(opened(served), Message(b"a"), Message(b"b")) == [[Message(b"a")], [Message(b"b")]]


@pytest.mark.parametrize("form", ["function", "async_function", "Stepper"])
@pytest.mark.parametrize("error", [ValueError("not together"), Panic("not together"), SystemExit("not together")])
def test_whatever_a_batch_processor_raises_is_the_error_of_the_batch(form: str, error: BaseException) -> None:
    def step(batch: Batch) -> BatchResult:
        raise error

    with Served(every_batch_form(step)[form]) as served:
        opened(served)
        for _ in range(2):
            response = served.call(PROCESS, request(Message(b"a")))
            assert response.error.message.endswith(f"{type(error).__name__}: not together")
            assert not response.batches


@pytest.mark.parametrize("shorter", [False, True])
def test_a_message_that_a_batch_processor_made_unsendable_is_marked_and_hurts_no_other(shorter: bool) -> None:
    @batch.batch_processor
    def step(batch: Batch) -> Batch:
        for message in batch:
            message.metadata["n"] = 2**64 if message.payload == b"bad" else 1
        return batch[1:] if shorter else batch

    done = processed(step, Message(b"a"), Message(b"bad"), Message(b"c"))
    assert [message.payload for message in done] == [b"a", b"bad", b"c"][shorter:]
    assert [bool(message.error) for message in done] == [False, True, False][shorter:]
    assert done[-2].metadata == {}


def test_a_new_message_that_cannot_be_sent_is_the_error_of_the_batch() -> None:
    @batch.batch_processor
    def step(batch: Batch) -> Batch:
        return [Message(b"", metadata={"n": 2**64})]

    with Served(step) as served:
        assert opened(served).call(PROCESS, request(Message(b"a"))).error.message.startswith("n: got an integer")


@pytest.mark.parametrize("result", [b"bytes", Message(b""), 7, [7], [[7]], {"a": 1}])
def test_what_is_no_batch_is_the_error_of_the_batch(result: object) -> None:
    @batch.batch_processor
    def step(batch: Batch) -> BatchResult:
        return cast("BatchResult", result)

    with Served(step) as served:
        error = opened(served).call(PROCESS, request(Message(b"a"))).error.message
    assert error.startswith("TypeError: a batch processor returns a list of messages, several such lists, or None, not")


# Init and Close.


@batch.processor
def configured(message: Message, config: Config) -> Message:
    return Message(structured=cast("Value", config))


@pytest.mark.parametrize(("config", "seen"), [(None, {}), ({}, {}), ({"a": [1]}, {"a": [1]})])
def test_the_configuration_of_init_reaches_the_function(config: Value, seen: Value) -> None:
    assert processed(configured, Message(b""), config=config) == [Message(structured=seen)]


def test_a_null_configuration_is_an_empty_one() -> None:
    with Served(configured) as served:
        null = rp.BatchProcessorInitRequest()
        write_value(null.config, None)
        served.good(INIT, null)
        assert batches(served, Message(b"")) == [[Message(structured={})]]


def test_a_configuration_that_is_no_dict_is_refused_by_init() -> None:
    with Served(configured) as served:
        error = served.init(INIT, [1]).error.message
        assert error == "the value: got a configuration that is a list, want a dict"
        assert served.call(PROCESS, request(Message(b"a"))).error.message.startswith("this processor is not open")


def picky(open_now: list[str]) -> Any:
    @batch.processor
    class Picky:
        def __init__(self, config: Config) -> None:
            if "name" not in config:
                raise ValueError("no name")
            self.name = str(config["name"])

        def open(self) -> None:
            if self.name == "shut":
                raise OSError("will not open")
            open_now.append(self.name)

        def process(self, message: Message) -> Message:
            return Message(self.name.encode())

        def close(self) -> None:
            open_now.remove(self.name)
            if self.name == "sticky":
                raise OSError("will not close")

    return Picky


def test_what_a_constructor_or_open_raises_is_the_error_of_init() -> None:
    with Served(picky([])) as served:
        assert served.init(INIT).error.message == "ValueError: no name"
        assert served.init(INIT, {"name": "shut"}).error.message == "OSError: will not open"


def test_a_second_init_replaces_the_first_and_closes_it() -> None:
    open_now: list[str] = []
    with Served(picky(open_now)) as served:
        opened(served, {"name": "one"})
        opened(served, {"name": "two"})
        assert open_now == ["two"]
        assert batches(served, Message(b"")) == [[Message(b"two")]]
        served.good(CLOSE)
        assert open_now == []


def test_a_batch_before_init_or_after_close_is_an_error_of_the_whole_batch() -> None:
    with Served(configured) as served:
        for _ in range(2):
            error = served.call(PROCESS, request(Message(b"a"))).error.message
            assert error == "this processor is not open: Init comes first, and nothing after Close"
            opened(served)
            served.good(CLOSE)


def test_closing_twice_closes_once_and_what_close_raises_is_its_error() -> None:
    with Served(picky([])) as served:
        opened(served, {"name": "sticky"})
        assert served.call(CLOSE).error.message == "OSError: will not close"
        served.good(CLOSE)


def test_a_host_that_goes_without_close_is_cleaned_up_after() -> None:
    open_now: list[str] = []
    with Served(picky(open_now)) as served:
        opened(served, {"name": "one"})
    assert open_now == []


def test_a_processor_that_holds_up_its_event_loop_does_not_keep_the_plugin_from_leaving(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(_service, "LEAVE_WITHIN", 0.1)
    begun, go = threading.Event(), threading.Event()

    @batch.processor
    class Stuck:
        async def process(self, message: Message) -> Message:
            begun.set()
            go.wait(LIMIT)
            return message

        async def close(self) -> None: ...

    with Served(Stuck) as served:
        call = opened(served).begin(PROCESS, request(Message(b"a")))
        assert begun.wait(LIMIT)
        leaving = threading.Thread(target=served.service.leave, daemon=True)
        leaving.start()
        leaving.join(LIMIT / 2)
        assert not leaving.is_alive()
        go.set()
        call.cancel()
    assert "Stuck holds up its event loop, so it is not closed" in caplog.text


def test_bytes_that_are_no_batch_are_an_error_of_the_whole_batch() -> None:
    with Served(configured) as served:
        opened(served)
        channel: Any = served.channel
        call = channel.unary_unary(PROCESS.path, None, PROCESS.response_from)
        response = call.future(b"\xff", timeout=LIMIT).result()
        assert response.error.message.startswith("DecodeError")


# Who runs beside whom.


def test_two_batches_at_once_are_processed_one_after_the_other() -> None:
    alone = threading.Semaphore(1)
    overlaps: list[bytes] = []
    started, go = threading.Event(), threading.Event()

    @batch.processor
    def step(message: Message) -> Message:
        if not alone.acquire(blocking=False):
            overlaps.append(message.payload)
        started.set()
        go.wait(LIMIT)
        alone.release()
        return message

    with Served(step) as served:
        opened(served)
        calls = [served.begin(PROCESS, request(Message(b"a"))) for _ in range(4)]
        assert started.wait(LIMIT)
        go.set()
        for call in calls:
            call.result()
    assert overlaps == []


def test_the_messages_of_a_batch_run_on_as_many_threads_as_max_in_flight_says_and_keep_their_order() -> None:
    together = threading.Barrier(4)
    most = running = 0
    lock = threading.Lock()

    @batch.processor(max_in_flight=4)
    def step(message: Message) -> Iterator[Message]:
        nonlocal most, running
        with lock:
            running += 1
            most = max(most, running)
        together.wait(LIMIT)
        with lock:
            running -= 1
        if message.payload == b"5":
            raise ValueError("not with me")
        if message.payload != b"6":
            yield message
            yield Message(message.payload * 2)

    names = [b"%d" % number for number in range(8)]
    with Served(step) as served:
        opened(served)
        calls = [served.begin(PROCESS, request(*map(Message, names))) for _ in range(2)]
        for call in calls:
            made = [(message.bytes, message.error.message) for message in call.result().batches[0].messages]
            whole = [(name, "") for name in names[:5] for name in (name, name * 2)]
            assert made == [*whole, (b"5", "ValueError: not with me"), (b"7", ""), (b"77", "")]
    assert most == 4


def test_asynchronous_messages_run_at_once_up_to_max_in_flight_and_keep_their_order() -> None:
    most = running = 0

    @batch.processor(max_in_flight=8)
    async def step(message: Message) -> Message:
        nonlocal most, running
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.001 * (message.payload[0] % 3))
        running -= 1
        return message

    names = [bytes([number]) for number in range(40)]
    with Served(step) as served:
        opened(served)
        calls = [served.begin(PROCESS, request(*map(Message, names))) for _ in range(2)]
        for call in calls:
            assert [message.bytes for message in call.result().batches[0].messages] == names
    assert most == 8


def test_an_asynchronous_processor_that_never_waits_takes_one_message_after_the_other() -> None:
    order: list[bytes] = []

    @batch.processor(max_in_flight=64)
    async def step(message: Message) -> Message:
        order.append(message.payload)
        return message

    names = [bytes([number]) for number in range(100)]
    processed(step, *map(Message, names))
    assert order == names


def test_a_synchronous_processor_does_not_hold_up_the_other_calls() -> None:
    inside, go = threading.Event(), threading.Event()

    @batch.processor(max_in_flight=2)
    def step(message: Message) -> Message:
        if message.payload == b"slow":
            inside.set()
            assert go.wait(LIMIT)
        return message

    with Served(step) as served:
        opened(served)
        slow = served.begin(PROCESS, request(Message(b"slow")))
        assert inside.wait(LIMIT)
        assert batches(served, Message(b"fast")) == [[Message(b"fast")]]
        go.set()
        assert slow.result().error.message == ""


def test_a_batch_that_the_host_gives_up_cancels_an_asynchronous_processor() -> None:
    begun, cancelled = threading.Event(), threading.Event()

    @batch.processor
    async def step(message: Message) -> Message:
        begun.set()
        try:
            await asyncio.sleep(3600)
        finally:
            cancelled.set()
        return message

    with Served(step) as served:
        call = opened(served).begin(PROCESS, request(Message(b"a")))
        assert begun.wait(LIMIT)
        call.cancel()
        assert cancelled.wait(LIMIT)


def test_close_waits_for_a_batch_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_service, "CLOSE_WITHIN", LIMIT)
    inside, go = threading.Event(), threading.Event()
    ends: list[str] = []

    @batch.processor
    class Stepper:
        def process(self, message: Message) -> Message:
            inside.set()
            assert go.wait(LIMIT)
            ends.append("processed")
            return message

        def close(self) -> None:
            ends.append("closed")

    with Served(Stepper) as served:
        opened(served)
        slow = served.begin(PROCESS, request(Message(b"a")))
        assert inside.wait(LIMIT)
        closing = served.begin(CLOSE)
        go.set()
        assert closing.result().error.message == ""
        assert slow.result().error.message == ""
    assert ends == ["processed", "closed"]


def test_a_message_of_five_megabytes_goes_through() -> None:
    large = b"x" * (5 * 1024 * 1024)
    (done,) = processed(keep, Message(large))
    assert done.payload == large


def test_values_of_every_kind_reach_the_processor_and_come_back() -> None:
    metadata: dict[str, Value] = {"nan": float("nan"), "big": 2**63 - 1, "raw": b"\xff", "none": None, "l": [1, [2.5]]}
    seen: list[dict[str, Value]] = []

    @batch.processor
    def look(message: Message) -> Message:
        seen.append(dict(message.metadata))
        return message

    sent = rp.BatchProcessorProcessBatchRequest()
    write_fields(sent.batch.messages.add().metadata, metadata)
    with Served(look) as served:
        (done,) = opened(served).good(PROCESS, sent).batches
    (found,) = seen
    assert repr(sorted(found.items())) == repr(sorted(metadata.items()))
    fields = done.messages[0].metadata.fields
    assert fields["big"].integer_value == 2**63 - 1
    assert fields["raw"].bytes_value == b"\xff"
