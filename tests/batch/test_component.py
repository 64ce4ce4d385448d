"""What may be decorated, what is refused, and how functions and classes get their configuration."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from goplugin import batch
from goplugin.batch import BadConfig, Config, Message
from goplugin.batch._component import component_of
from goplugin.handshake import Misuse


@dataclass
class Suffix:
    suffix: str = "!"


@batch.processor
def shout(message: Message) -> Message:
    """Say it louder."""
    message.payload = message.payload.upper()
    return message


@batch.processor
def add_suffix(message: Message, config: Suffix) -> Message:
    message.text += config.suffix
    return message


def called(target: object, config: Config, *arguments: object) -> Any:
    return component_of(target).opened(config).call(*arguments)


def test_what_is_decorated_stays_what_it_was() -> None:
    assert shout(Message(b"a")).payload == b"A"
    assert (shout.__name__, shout.__doc__) == ("shout", "Say it louder.")
    assert add_suffix(Message(b"a"), Suffix("?")).text == "a?"


def test_a_function_gets_the_configuration_it_asks_for() -> None:
    assert called(shout, {"ignored": 1}, Message(b"a")) == Message(b"A")
    assert called(add_suffix, {"suffix": "?"}, Message(b"a")) == Message(b"a?")
    assert called(add_suffix, {}, Message(b"a")) == Message(b"a!")


def test_a_configuration_that_does_not_fit_the_dataclass_is_refused() -> None:
    with pytest.raises(BadConfig, match="suffix: got int 7, want a string"):
        component_of(add_suffix).opened({"suffix": 7})


def as_dict(message: Message, config: dict[str, Any]) -> Message:
    return Message(structured=config)


def as_config(message: Message, config: Config | None = None) -> Message:
    return Message(structured=dict(config or {}))


def as_anything(message: Message, settings: Any) -> Message:
    return Message(structured=settings)


unannotated = eval("lambda message, config: Message(structured=config)")


@pytest.mark.parametrize("function", [as_dict, as_config, as_anything, unannotated])
def test_without_a_dataclass_the_configuration_is_a_dict(function: Any) -> None:
    assert called(batch.processor(function), {"a": 1}, Message(b"")) == Message(structured={"a": 1})


def test_another_argument_with_a_default_is_left_alone() -> None:
    @batch.processor
    def knobs(message: Message, times: int = 2) -> Message:
        return Message(message.payload * times)

    assert called(knobs, {}, Message(b"a")) == Message(b"aa")


def test_a_dataclass_may_be_optional() -> None:
    @batch.processor
    def step(message: Message, config: Suffix | None = None) -> Message:
        return Message(structured=None if config is None else config.suffix)

    assert called(step, {}, Message(b"")) == Message(structured="!")


@batch.processor
class Counting:
    def __init__(self, config: Config) -> None:
        self.count = int(str(config["start"]))
        self.ends: list[str] = []

    def open(self) -> None:
        self.ends.append("opened")

    def process(self, message: Message) -> Iterator[Message]:
        self.count += 1
        yield Message(str(self.count).encode())

    def close(self) -> None:
        self.ends.append("closed")


def test_a_class_is_made_with_the_configuration_and_has_its_methods_called() -> None:
    opened = component_of(Counting).opened({"start": 4})
    opened.open()
    opened.connect()
    assert list(opened.call(Message(b""))) == [Message(b"5")]
    opened.close()
    assert Counting({"start": 1}).count == 1


def test_a_class_without_constructor_open_connect_or_close_is_enough() -> None:
    @batch.output
    class Plain:
        def write(self, message: Message) -> None: ...

    opened = component_of(Plain).opened({"ignored": 1})
    for method in (opened.open, opened.connect, opened.close):
        method()


def test_open_of_an_input_and_connect_of_a_processor_mean_nothing() -> None:
    @batch.input
    class Reader:
        def open(self) -> None:
            raise AssertionError

        def connect(self) -> None: ...
        def read(self) -> Message: ...  # type: ignore[empty-body]

    component_of(Reader).opened({}).open()


def test_a_subclass_of_a_plugin_is_none_until_it_is_decorated() -> None:
    class Sub(Counting): ...

    with pytest.raises(Misuse, match="Sub is no plugin: decorate it"):
        component_of(Sub)
    assert component_of(batch.processor(Sub)).name == "Sub"


def takes_dict(message: Message) -> None: ...


@pytest.mark.parametrize("target", [7, None, "shout", takes_dict, object()])
def test_what_was_not_decorated_is_no_plugin(target: object) -> None:
    with pytest.raises(Misuse, match="is no plugin: decorate it with @batch"):
        component_of(target)


def kinds() -> list[tuple[Any, tuple[str, bool]]]:
    return [
        (batch.input, ("input", False)), (batch.batch_input, ("input", True)),
        (batch.processor, ("processor", False)), (batch.batch_processor, ("processor", True)),
        (batch.output, ("output", False)), (batch.batch_output, ("output", True)),
    ]  # fmt: skip


@pytest.mark.parametrize(("decorator", "kind"), kinds())
def test_each_decorator_makes_its_kind_with_and_without_arguments(decorator: Any, kind: tuple[str, bool]) -> None:
    for one in (decorator, decorator()):

        def target(config: Config) -> Any: ...

        found = component_of(one(target))
        assert (found.kind, found.whole) == kind
        assert (found.max_in_flight, found.batch_policy, found.auto_replay_nacks) == (1, None, True)


def takes_nothing() -> None: ...
def takes_three(a: object, b: object, c: object) -> None: ...
def takes_keyword(a: object, *, b: object) -> None: ...


class NoProcess: ...


class NeedsTwo:
    def __init__(self, a: object, b: object) -> None: ...
    def process(self, message: Message) -> None: ...


class Mixed:
    def process(self, message: Message) -> None: ...
    async def close(self) -> None: ...


@pytest.mark.parametrize(
    ("target", "text"),
    [
        (takes_nothing, r"takes_nothing\(\)"),
        (takes_three, r"takes_three\(a: "),
        (takes_keyword, r"want \(message\) or \(message, config\)"),
        (NoProcess, r"the class NoProcess has no process\(self, message\), so it is no processor"),
        (NeedsTwo, r"want \(\) or \(config\)"),
        (Mixed, "Mixed.close is asynchronous and process is not"),
        (7, "takes a function or a class, not 7"),
        (functools.partial(takes_three, 1), "takes a function or a class, not functools.partial"),
    ],
)
def test_what_cannot_be_a_processor_is_refused_when_it_is_decorated(target: Callable[..., Any], text: str) -> None:
    with pytest.raises(Misuse, match=text):
        batch.processor(target)


def test_a_class_whose_read_is_a_generator_is_refused() -> None:
    class Reader:
        def read(self) -> Iterator[Message]:
            yield Message(b"")

    class AsyncReader:
        async def read(self) -> AsyncIterator[Message]:
            yield Message(b"")

    for target in (Reader, AsyncReader):
        with pytest.raises(Misuse, match="read is a generator"):
            batch.input(target)  # type: ignore[type-var] # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("number", [0, -1, 2**31])
def test_max_in_flight_is_a_positive_number_that_the_wire_can_hold(number: int) -> None:
    with pytest.raises(Misuse, match="max_in_flight is from 1"):
        batch.output(max_in_flight=number)(takes_dict)


@pytest.mark.parametrize("annotation", ["int", "list[str]", "NoSuchName"])
def test_a_configuration_of_another_type_is_refused_before_anything_is_served(annotation: str) -> None:
    def step(message: Message, config: Any) -> Message:
        return message

    step.__annotations__["config"] = annotation
    with pytest.raises(Misuse):
        component_of(batch.processor(step)).check()
