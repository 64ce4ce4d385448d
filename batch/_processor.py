"""`@batch.processor` and `@batch.batch_processor`: what makes a step of a pipeline of a function or of a class."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any, Protocol, TypeAlias, TypeVar, overload

from ._component import decorate
from ._message import Batch, Message

Result: TypeAlias = Message | Iterable[Message] | None
"""What a processor makes of one message: a message, several in their order, or None to drop it."""
BatchResult: TypeAlias = Batch | Iterable[Batch] | None
"""What a batch processor makes of one batch: a batch, several in their order, or None to drop it."""

_Made: TypeAlias = Result | Awaitable[Result] | AsyncIterator[Message]
_BatchMade: TypeAlias = BatchResult | Awaitable[BatchResult] | AsyncIterator[Batch]


class _Processor(Protocol):
    """An instance of a class that is a processor."""

    def process(self, message: Message, /) -> _Made:
        """Process one message."""
        ...


class _BatchProcessor(Protocol):
    """An instance of a class that is a batch processor."""

    def process(self, batch: Batch, /) -> _BatchMade:
        """Process one batch."""
        ...


_P = TypeVar("_P", bound=Callable[[Message], _Made] | Callable[[Message, Any], _Made] | type[_Processor])
_B = TypeVar("_B", bound=Callable[[Batch], _BatchMade] | Callable[[Batch, Any], _BatchMade] | type[_BatchProcessor])


@overload
def processor(target: _P, /) -> _P: ...
@overload
def processor(*, max_in_flight: int = 1) -> Callable[[_P], _P]: ...
def processor(target: Any = None, /, *, max_in_flight: int = 1) -> Any:
    """Make a function or a class a processor of one message after the other.

    A function takes a `Message`, and the configuration if it wants it. It returns that message or another, an iterable
    of messages to split it, or None to drop it; it may be a generator, ``async def``, or both. All are sent as they are
    once it has ended, so each is a `Message` of its own, such as a ``copy()``. An exception marks this message with its
    text, leaves the message as it came and hurts no other.

    A class takes the configuration, or nothing, when it is made, and has ``process(message)``. ``open()``, if it has
    one, runs before the first message, and ``close()`` after the last. What the constructor or ``open`` raises refuses
    the configuration. Its methods may be ``async def``.

    The configuration is a `Config`, or a dataclass if the parameter for it is annotated with one.

    Args:
        target: the function or class.
        max_in_flight: how many messages may be in it at once. With 1 it need not be safe for threads; with more, an
            ordinary function runs in as many threads, and an asynchronous one works on as many messages of a batch at
            once. The order of the messages stays as it is.

    Raises:
        Misuse: it cannot be called as a processor is.
    """
    return decorate("processor", target, whole=False, max_in_flight=max_in_flight)


@overload
def batch_processor(target: _B, /) -> _B: ...
@overload
def batch_processor(*, max_in_flight: int = 1) -> Callable[[_B], _B]: ...
def batch_processor(target: Any = None, /, *, max_in_flight: int = 1) -> Any:
    """Make a function or a class a processor of whole batches.

    As `processor`, but it takes a list of messages, and returns such a list, several of them, or None. Setting
    ``error`` marks one message; an exception marks every message of the batch.

    Raises:
        Misuse: it cannot be called as a processor is.
    """
    return decorate("processor", target, whole=True, max_in_flight=max_in_flight)
