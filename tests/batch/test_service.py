"""The answers of BatchProcessorService: one bad message never hurts its batch, and nothing is raised at the host."""

import logging
import threading
from collections.abc import Callable, Iterator
from typing import cast

import pytest

from goplugin import batch
from goplugin.batch import Config, Message, Processor, Result, Value
from goplugin.batch._service import ProcessorService
from goplugin.batch._value import write_value
from goplugin.proto import redpanda


def opened(processor: Processor[..., object], config: Value = None) -> ProcessorService:
    service = ProcessorService(processor)
    request = redpanda.BatchProcessorInitRequest()
    if config is not None:
        write_value(request.config, config)
    assert service.init(request).error.message == ""
    return service


def sent(*messages: Message) -> redpanda.BatchProcessorProcessBatchRequest:
    request = redpanda.BatchProcessorProcessBatchRequest()
    for message in messages:
        message.to_wire(request.batch.messages.add())
    return request


def answered(service: ProcessorService, *messages: Message) -> list[Message]:
    response = service.process(sent(*messages))
    assert response.error.message == ""
    (done,) = response.batches
    return Message.from_wire(done)


def served(function: Callable[[Message], Result]) -> ProcessorService:
    return opened(batch.processor(function))


def test_every_message_goes_through_the_function_in_order() -> None:
    def shout(message: Message) -> Message:
        message.payload = message.payload.upper()
        return message

    assert answered(served(shout), Message(b"a", metadata={"k": 1}), Message(b"b")) == [
        Message(b"A", metadata={"k": 1}),
        Message(b"B"),
    ]


def test_none_drops_a_message_and_an_iterable_splits_it_in_its_place() -> None:
    def step(message: Message) -> Result:
        match message.payload:
            case b"drop":
                return None
            case b"split":
                return (Message(part) for part in (b"s1", b"s2"))
            case b"nothing":
                return []
            case _:
                return message

    done = answered(served(step), *map(Message, (b"a", b"drop", b"split", b"nothing", b"z")))
    assert [message.payload for message in done] == [b"a", b"s1", b"s2", b"z"]


def test_a_batch_of_which_nothing_is_left_comes_back_as_no_batch() -> None:
    assert list(served(lambda _: None).process(sent(Message(b"a"))).batches) == []


def test_an_exception_marks_that_message_and_leaves_it_as_it_came() -> None:
    def step(message: Message) -> Message:
        was = message.payload
        message.payload, message.metadata["seen"] = b"half done", True
        if was == b"bad":
            raise ValueError("too bad")
        return message

    done = answered(served(step), Message(b"a"), Message(b"bad", metadata={"k": 1}), Message(b"b"))
    assert done[1] == Message(b"bad", metadata={"k": 1}, error="ValueError: too bad")
    assert [message.error for message in done] == [None, "ValueError: too bad", None]


def test_a_new_mark_leaves_nothing_of_an_old_one() -> None:
    def fails(_: Message) -> Message:
        raise ValueError("new")

    request = redpanda.BatchProcessorProcessBatchRequest()
    old = request.batch.messages.add()
    old.error.message = "old"
    old.error.end_of_input.SetInParent()
    (done,) = served(fails).process(request).batches
    assert done.messages[0].error == redpanda.Error(message="ValueError: new")


def test_a_generator_that_fails_half_way_leaves_only_the_marked_original() -> None:
    def step(message: Message) -> Iterator[Message]:
        yield Message(b"1")
        raise RuntimeError

    assert answered(served(step), Message(b"a")) == [Message(b"a", error="RuntimeError")]


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
    def step(message: Message) -> Result:
        return message if message.payload == b"good" else cast("Result", result)

    done = answered(served(step), Message(b"good"), Message(b"a"), Message(b"good"))
    assert [message.payload for message in done] == [b"good", b"a", b"good"]
    assert str(done[1].error).startswith(error)


def test_sys_exit_in_a_processor_marks_its_message_and_ends_nothing() -> None:
    def step(_: Message) -> Message:
        raise SystemExit(3)

    assert answered(served(step), Message(b"a")) == [Message(b"a", error="SystemExit: 3")]


def test_a_processor_sees_the_mark_of_an_earlier_one_and_can_take_it_off() -> None:
    def step(message: Message) -> Message:
        if message.payload == b"mend":
            message.error = None
        return message

    done = answered(served(step), Message(b"mend", error="was bad"), Message(b"a", error="is bad"))
    assert [message.error for message in done] == [None, "is bad"]


def test_only_the_first_failure_is_logged_with_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    def fails(message: Message) -> Message:
        raise ValueError(message.text)

    service = served(fails)
    with caplog.at_level(logging.WARNING, "goplugin.batch"):
        answered(service, Message(b"first"), Message(b"second"))
        answered(service, Message(b"third"))
    (record,) = caplog.records
    assert "fails failed on a message" in record.getMessage()
    assert record.exc_info is not None
    assert str(record.exc_info[1]) == "first"


def configured(message: Message, config: Config) -> Message:
    return Message(structured=config)


@pytest.mark.parametrize(("config", "seen"), [(None, {}), ({}, {}), ({"a": [1]}, {"a": [1]})])
def test_the_configuration_of_init_reaches_the_function(config: Value, seen: Value) -> None:
    assert answered(opened(batch.processor(configured), config), Message(b"")) == [Message(structured=seen)]


def test_a_null_configuration_is_an_empty_one() -> None:
    service = ProcessorService(batch.processor(configured))
    request = redpanda.BatchProcessorInitRequest()
    write_value(request.config, None)
    assert service.init(request).error.message == ""
    assert answered(service, Message(b"")) == [Message(structured={})]


def test_a_configuration_that_is_no_dict_is_refused_by_init() -> None:
    service = ProcessorService(batch.processor(configured))
    request = redpanda.BatchProcessorInitRequest()
    write_value(request.config, [1])
    assert service.init(request).error.message == "the value: got a configuration that is a list, want a dict"
    assert service.process(sent(Message(b"a"))).error.message.startswith("this processor is not initialised")


class Picky:
    opened: list[str] = []  # noqa: RUF012 - what the test reads

    def __init__(self, config: Config) -> None:
        if "name" not in config:
            raise ValueError("no name")
        self.name = str(config["name"])
        Picky.opened.append(self.name)

    def __call__(self, message: Message) -> Message:
        return Message(self.name.encode())

    def close(self) -> None:
        Picky.opened.remove(self.name)
        if self.name == "sticky":
            raise OSError("will not close")


def test_what_a_constructor_raises_is_the_error_of_init() -> None:
    service = ProcessorService(batch.processor(Picky))
    assert service.init(redpanda.BatchProcessorInitRequest()).error.message == "ValueError: no name"


def test_a_second_init_replaces_the_first_and_closes_it() -> None:
    service = opened(batch.processor(Picky), {"name": "one"})
    request = redpanda.BatchProcessorInitRequest()
    write_value(request.config, {"name": "two"})
    assert service.init(request).error.message == ""
    assert Picky.opened == ["two"]
    assert answered(service, Message(b"")) == [Message(b"two")]
    assert service.close().error.message == ""
    assert Picky.opened == []


def test_a_batch_before_init_or_after_close_is_an_error_of_the_whole_batch() -> None:
    service = ProcessorService(batch.processor(configured))
    assert service.process(sent(Message(b"a"))).error.message.startswith("this processor is not initialised")
    service = opened(batch.processor(configured))
    assert service.close().error.message == ""
    assert service.process(sent(Message(b"a"))).error.message.startswith("this processor is not initialised")


def test_closing_twice_closes_once_and_what_close_raises_is_its_error() -> None:
    service = opened(batch.processor(Picky), {"name": "sticky"})
    assert service.close().error.message == "OSError: will not close"
    assert service.close().error.message == ""


def test_two_batches_at_once_are_processed_one_after_the_other() -> None:
    inside = threading.Semaphore(1)
    overlaps: list[bytes] = []

    def step(message: Message) -> Message:
        if not inside.acquire(blocking=False):
            overlaps.append(message.payload)
        started.set()
        go.wait(10)
        inside.release()
        return message

    started, go = threading.Event(), threading.Event()
    service = served(step)
    threads = [threading.Thread(target=service.process, args=[sent(Message(b"a"))]) for _ in range(4)]
    for thread in threads:
        thread.start()
    assert started.wait(10)
    go.set()
    for thread in threads:
        thread.join(10)
    assert overlaps == []
