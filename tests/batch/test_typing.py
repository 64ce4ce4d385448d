"""What was decorated keeps its type, and what cannot be such a plugin is an error of the type checkers.

`make check` runs mypy and pyright over this file: an ignore comment that nothing needs is an error itself.
"""

from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import assert_type

import pytest

from goplugin import batch
from goplugin.batch import Ack, Batch, Message
from goplugin.handshake import Misuse


@dataclass
class Config:
    suffix: str


@batch.processor
def function(message: Message) -> Message:
    return message


@batch.processor(max_in_flight=2)
async def configured(message: Message, config: Config) -> Message | None:
    return message if config.suffix else None


@batch.batch_processor
def split(batch: Batch) -> Iterator[Batch]:
    yield batch


@batch.batch_processor
async def split_async(batch: Batch, config: Config) -> AsyncIterator[Batch]:
    yield batch


@batch.processor
class Stepper:
    def __init__(self, config: Config) -> None:
        self.suffix = config.suffix

    async def process(self, message: Message) -> list[Message]:
        return [message]


@batch.input
def source(config: Config) -> Iterator[tuple[Message, Ack]]:
    yield Message(config.suffix.encode()), lambda error: assert_type(error, str | None)


@batch.batch_input(auto_replay_nacks=False)
class Reader:
    async def read(self) -> Batch:
        return []


@batch.output
async def sink(message: Message) -> None: ...


@batch.batch_output(max_in_flight=3, batch_policy=batch.BatchPolicy(count=10))
class Writer:
    def write(self, batch: Batch) -> int:
        return len(batch)


def test_a_decorated_function_or_class_has_the_type_that_it_had() -> None:
    assert_type(function(Message(b"")), Message)
    assert_type(split([]), Iterator[Batch])
    assert_type(Stepper(Config("")).suffix, str)
    assert_type(Writer().write([]), int)
    taken: Callable[[Config], Iterator[tuple[Message, Ack]]] = source
    assert taken is source
    assert split_async is not None
    assert (configured.__name__, sink.__name__, Reader.__name__) == ("configured", "sink", "Reader")


def test_what_cannot_be_such_a_plugin_is_an_error_of_the_checkers() -> None:
    def wrong_result(message: Message) -> int:
        return 0

    def wrong_argument(message: str) -> Message:
        return Message()

    class NoWrite: ...

    batch.processor(wrong_result)  # type: ignore[type-var] # pyright: ignore[reportArgumentType, reportCallIssue]
    batch.processor(wrong_argument)  # type: ignore[type-var] # pyright: ignore[reportArgumentType, reportCallIssue]
    with pytest.raises(Misuse, match="no write"):
        batch.output(NoWrite)  # type: ignore[type-var] # pyright: ignore[reportArgumentType, reportCallIssue]
