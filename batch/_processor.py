"""`@batch.processor`: turns a function or a class into something that can be served. Never speaks to a host."""

import inspect
from collections.abc import Callable, Iterable
from typing import Any, Generic, ParamSpec, Protocol, TypeAlias, TypeVar, cast, overload

from ..handshake import Misuse
from ._message import Message
from ._value import Value

Config: TypeAlias = dict[str, Value]
"""A processor's configuration, as its descriptor's fields name it."""
Result: TypeAlias = Message | Iterable[Message] | None
"""What a processor makes of one message: a message, several in their order, or None to drop it."""
Step: TypeAlias = Callable[[Message], Result]

_P = ParamSpec("_P")
_R = TypeVar("_R", covariant=True)


class Stepper(Protocol):
    """An instance of a class that is a processor."""

    def __call__(self, message: Message, /) -> Result:
        """Process one message."""
        ...


_FunctionResult = TypeVar("_FunctionResult", bound=Result)
_Class = TypeVar("_Class", bound=Stepper)


class Processor(Generic[_P, _R]):
    """What `processor` makes; `batch.serve` takes it, and calling it calls what was decorated.

    Attributes:
        name: the name of the function or class.
    """

    def __init__(self, target: Callable[_P, _R], *, configured: bool) -> None:
        """``configured``: whether ``target`` takes the configuration."""
        self.name = target.__name__
        self._target, self._configured, self._is_class = target, configured, inspect.isclass(target)
        self.__doc__ = target.__doc__

    def __call__(self, *args: _P.args, **kwargs: _P.kwargs) -> _R:
        """Call the function, or make an instance of the class: for tests of its author."""
        return self._target(*args, **kwargs)

    def open(self, config: Config) -> tuple[Step, Callable[[], None]]:
        """Return the function for one message under ``config``, and the one that ends its work.

        An error raised by the constructor of a class passes through: it refuses the configuration.
        """
        make = cast("Callable[..., Any]", self._target)
        if self._is_class:
            stepper: Step = make(config) if self._configured else make()
            return stepper, getattr(stepper, "close", _nothing)
        if self._configured:
            return (lambda message: make(message, config)), _nothing
        return make, _nothing


@overload
def processor(target: type[_Class]) -> Processor[..., _Class]: ...
@overload
def processor(target: Callable[[Message], _FunctionResult]) -> Processor[[Message], _FunctionResult]: ...
@overload
def processor(
    target: Callable[[Message, Config], _FunctionResult],
) -> Processor[[Message, Config], _FunctionResult]: ...
def processor(target: Any) -> Processor[..., Any]:
    """Make a processor of a function or of a class.

    A function takes a `Message`, and the configuration as a dict if it wants it. It returns that message or another,
    an iterable of messages to split it, or None to drop it. An exception marks this message with its text, leaves the
    message as it came and hurts no other.

    A class takes the configuration, or nothing, when it is made; its instance is called with each message, by one
    thread at a time, and its ``close()``, if it has one, ends the work. An exception from the constructor refuses the
    configuration.

    Raises:
        Misuse: ``target`` takes other arguments, or is asynchronous.
    """
    name = getattr(target, "__name__", repr(target))
    if inspect.isclass(target):
        called = getattr(target, "__call__", None)  # noqa: B004 - the class's own, not whether it can make instances
        if not inspect.isfunction(called):
            raise Misuse(f"the class {name} has no __call__(self, message), so it cannot process")
        _refuse_async(called, f"{name}.__call__")
        return Processor(target, configured=_wanted(target, name, least=0))
    if not callable(target) or not hasattr(target, "__name__"):
        raise Misuse(f"@batch.processor takes a function or a class, not {target!r}")
    _refuse_async(target, name)
    return Processor(target, configured=_wanted(target, name, least=1))


def _wanted(target: Callable[..., object], name: str, *, least: int) -> bool:
    """Return whether ``target`` takes one argument more than ``least``."""
    plain = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    parameters = list(inspect.signature(target).parameters.values())
    positional = [parameter for parameter in parameters if parameter.kind in plain]
    needed = [parameter for parameter in positional if parameter.default is parameter.empty]
    keywords = [p for p in parameters if p.kind is p.KEYWORD_ONLY and p.default is p.empty]
    if keywords or len(needed) > least + 1 or len(positional) < least:
        takes = "(message) or (message, config)" if least else "() or (config)"
        raise Misuse(f"{name}{inspect.signature(target)} cannot be called: a processor is called with {takes}")
    return len(needed) > least or (len(positional) > least and positional[least].name == "config")


def _refuse_async(function: Callable[..., object], name: str) -> None:
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        raise Misuse(f"{name} is asynchronous, and a processor is an ordinary function")


def _nothing() -> None:
    """End nothing."""
