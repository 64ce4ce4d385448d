"""What the decorator takes, what it refuses, and how functions and classes get their configuration."""

from collections.abc import Callable, Iterable
from typing import Any

import pytest

from goplugin import batch
from goplugin.batch import Config, Message
from goplugin.handshake import Misuse


@batch.processor
def shout(message: Message) -> Message:
    """Say it louder."""
    message.payload = message.payload.upper()
    return message


@batch.processor
def add_suffix(message: Message, config: Config) -> Message:
    message.text += str(config["suffix"])
    return message


class Counting:
    def __init__(self, config: Config) -> None:
        self.count = int(str(config["start"]))
        self.closed = False

    def __call__(self, message: Message) -> Iterable[Message]:
        self.count += 1
        yield Message(str(self.count).encode())

    def close(self) -> None:
        self.closed = True


class Plain:
    def __call__(self, message: Message) -> None: ...


def test_a_function_of_a_message_needs_no_configuration() -> None:
    step, close = shout.open({"ignored": 1})
    assert step(Message(b"a")) == Message(b"A")
    close()


def test_a_function_with_a_second_argument_gets_the_configuration() -> None:
    step, _ = add_suffix.open({"suffix": "!"})
    assert step(Message(b"a")) == Message(b"a!")


def test_a_second_argument_named_config_gets_the_configuration_even_if_it_has_a_default() -> None:
    @batch.processor
    def optional(message: Message, config: Config | None = None) -> Message:
        return Message(structured=dict(config or {}))

    step, _ = optional.open({"a": 1})
    assert step(Message(b"")) == Message(structured={"a": 1})


def test_another_argument_with_a_default_is_left_alone() -> None:
    @batch.processor
    def knobs(message: Message, times: int = 2) -> Message:
        return Message(message.payload * times)

    step, _ = knobs.open({})
    assert step(Message(b"a")) == Message(b"aa")


def test_a_class_is_made_with_the_configuration_called_with_messages_and_closed() -> None:
    step, close = batch.processor(Counting).open({"start": 4})
    assert isinstance(step, Counting)
    assert list(step(Message(b""))) == [Message(b"5")]
    close()
    assert step.closed


def test_a_class_without_a_constructor_or_close_is_enough() -> None:
    step, close = batch.processor(Plain).open({"ignored": 1})
    assert step(Message(b"")) is None
    close()


def test_a_decorated_class_can_still_make_instances() -> None:
    assert list(batch.processor(Counting)({"start": 1})(Message(b""))) == [Message(b"2")]


def test_a_decorated_function_can_still_be_called_and_keeps_its_name_and_docstring() -> None:
    assert shout(Message(b"a")).payload == b"A"
    assert (shout.name, shout.__doc__) == ("shout", "Say it louder.")


def takes_nothing() -> None: ...
def takes_three(a: object, b: object, c: object) -> None: ...
def takes_keyword(a: object, *, b: object) -> None: ...
async def is_async(message: Message) -> None: ...


async def is_async_generator(message: Message) -> Any:
    yield message


class NoCall:
    pass


class AsyncCall:
    async def __call__(self, message: Message) -> None: ...


class NeedsTwo:
    def __init__(self, a: object, b: object) -> None: ...
    def __call__(self, message: Message) -> None: ...


@pytest.mark.parametrize(
    ("target", "text"),
    [
        (takes_nothing, r"takes_nothing\(\)"),
        (takes_three, r"takes_three\(a: object"),
        (takes_keyword, r"called with \(message\) or \(message, config\)"),
        (is_async, "is_async is asynchronous"),
        (is_async_generator, "is_async_generator is asynchronous"),
        (NoCall, "class NoCall has no __call__"),
        (AsyncCall, "AsyncCall.__call__ is asynchronous"),
        (NeedsTwo, r"called with \(\) or \(config\)"),
        (7, "takes a function or a class, not 7"),
    ],
)
def test_what_cannot_be_a_processor_is_refused_when_it_is_decorated(target: Callable[..., Any], text: str) -> None:
    with pytest.raises(Misuse, match=text):
        batch.processor(target)
