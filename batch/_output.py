"""`@batch.output` and `@batch.batch_output`: what makes the sink of a pipeline of a function or of a class."""

from collections.abc import Callable
from typing import Any, Protocol, TypeVar, overload

from ._component import decorate
from ._message import Batch, Message
from ._policy import BatchPolicy


class _Output(Protocol):
    """An instance of a class that is an output."""

    def write(self, message: Message, /) -> object:
        """Write one message."""
        ...


class _BatchOutput(Protocol):
    """An instance of a class that is a batch output."""

    def write(self, batch: Batch, /) -> object:
        """Write one batch."""
        ...


_O = TypeVar("_O", bound=Callable[[Message], object] | Callable[[Message, Any], object] | type[_Output])
_B = TypeVar("_B", bound=Callable[[Batch], object] | Callable[[Batch, Any], object] | type[_BatchOutput])


@overload
def output(target: _O, /) -> _O: ...
@overload
def output(*, max_in_flight: int = 1, batch_policy: BatchPolicy | None = None) -> Callable[[_O], _O]: ...
def output(target: Any = None, /, *, max_in_flight: int = 1, batch_policy: BatchPolicy | None = None) -> Any:
    """Make a function or a class the sink of messages, one after the other.

    A function takes a `Message`, and the configuration if it wants it; what it returns does not matter. An exception
    fails the whole batch, for the host sends batches again as a whole, and what comes after it is not written. So a
    message may be written twice, and none is skipped.

    A class takes the configuration, or nothing, when it is made, and has ``write(message)``. ``connect()``, if it has
    one, runs before the first message and after each `NotConnected`, which it may raise as well as ``write``;
    `BackOff` says how long the host is to wait. ``close()`` ends its work. Where ``max_in_flight`` or ``batch_policy``
    depend on the configuration, its constructor sets attributes of these names, which win over the arguments here.

    All may be ``async def``.

    Args:
        target: the function or class.
        max_in_flight: how many messages may be in it at once. With 1 they are written in their order; with more, an
            ordinary function runs in as many threads, and an asynchronous one works on as many messages at once.
        batch_policy: how the host is to gather batches; None for batches as they come.

    Raises:
        Misuse: it cannot be called as an output is.
    """
    return decorate("output", target, whole=False, max_in_flight=max_in_flight, batch_policy=batch_policy)


@overload
def batch_output(target: _B, /) -> _B: ...
@overload
def batch_output(*, max_in_flight: int = 1, batch_policy: BatchPolicy | None = None) -> Callable[[_B], _B]: ...
def batch_output(target: Any = None, /, *, max_in_flight: int = 1, batch_policy: BatchPolicy | None = None) -> Any:
    """Make a function or a class the sink of whole batches.

    As `output`, but it takes a list of messages, and ``max_in_flight`` counts batches.

    Raises:
        Misuse: it cannot be called as an output is.
    """
    return decorate("output", target, whole=True, max_in_flight=max_in_flight, batch_policy=batch_policy)
