"""`@batch.input` and `@batch.batch_input`: what makes the source of a pipeline of a function or of a class."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, Protocol, TypeAlias, TypeVar, overload

from ._component import decorate
from ._message import Batch, Message

Ack: TypeAlias = Callable[[str | None], object]
"""Settles what was read: called once, with None when it is delivered, or with why it is not."""

_Item: TypeAlias = Message | tuple[Message, Ack] | None
_BatchItem: TypeAlias = Batch | tuple[Batch, Ack] | None
_Read: TypeAlias = _Item | Awaitable[_Item] | Iterator[_Item] | AsyncIterator[_Item]
_BatchRead: TypeAlias = _BatchItem | Awaitable[_BatchItem] | Iterator[_BatchItem] | AsyncIterator[_BatchItem]


class _Input(Protocol):
    """An instance of a class that is an input."""

    def read(self) -> _Item | Awaitable[_Item]:
        """Read one message."""
        ...


class _BatchInput(Protocol):
    """An instance of a class that is a batch input."""

    def read(self) -> _BatchItem | Awaitable[_BatchItem]:
        """Read one batch."""
        ...


_I = TypeVar("_I", bound=Callable[[], _Read] | Callable[[Any], _Read] | type[_Input])
_B = TypeVar("_B", bound=Callable[[], _BatchRead] | Callable[[Any], _BatchRead] | type[_BatchInput])


@overload
def input(target: _I, /) -> _I: ...
@overload
def input(*, auto_replay_nacks: bool = True) -> Callable[[_I], _I]: ...
def input(target: Any = None, /, *, auto_replay_nacks: bool = True) -> Any:
    """Make a function or a class the source of messages.

    What is read is a `Message`, or a pair of it and its `Ack`: a function that is called exactly once, with None when
    the message is delivered, and otherwise with the reason. What is still out when the input closes gets a reason.

    A generator function takes the configuration, or nothing, begins with each connection, and gives one after the
    other; its end is the end of the input. An exception ends it, and it begins anew when the host connects again.

    Another function is called for each read. It waits until there is something; it may return None, for nothing yet,
    and is then called again, which lets it notice the end. It raises `EndOfInput` when nothing will come any more.

    A class takes the configuration, or nothing, when it is made, and has ``read()``, which is called like such a
    function. ``connect()``, if it has one, runs before the first read and after each `NotConnected`, which it may raise
    as well as ``read``; `BackOff` says how long the host is to wait. ``close()`` ends its work, and may be called while
    an ordinary ``read`` waits, so that it can wake it.

    All may be ``async def``. Of ordinary ones, ``read`` runs in a thread of its own, and acks may come in others.

    Args:
        target: the function or class.
        auto_replay_nacks: whether the host sends what was not delivered again by itself; the ack function then hears
            of success, and of what can never be sent. Without it, a nack reaches the ack function.

    Raises:
        Misuse: it cannot be called as an input is.
    """
    return decorate("input", target, whole=False, auto_replay_nacks=auto_replay_nacks)


@overload
def batch_input(target: _B, /) -> _B: ...
@overload
def batch_input(*, auto_replay_nacks: bool = True) -> Callable[[_B], _B]: ...
def batch_input(target: Any = None, /, *, auto_replay_nacks: bool = True) -> Any:
    """Make a function or a class the source of whole batches.

    As `input`, but what is read is a list of messages, or a pair of such a list and one `Ack` for all of it. An empty
    list is nothing yet.

    Raises:
        Misuse: it cannot be called as an input is.
    """
    return decorate("input", target, whole=True, auto_replay_nacks=auto_replay_nacks)
