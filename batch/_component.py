"""What the decorators leave on a function or class: what kind of plugin it is, and how to call it. Calls it, too.

Never speaks to a host. A decorated function is still that function and a decorated class that class, so an author's
tests and type checkers see what was written.
"""

import inspect
import types
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Literal, NamedTuple, TypeAlias, Union, cast, get_args, get_origin

from ..handshake import Misuse
from ._config import described, is_dataclass, read_config
from ._errors import BadConfig
from ._policy import BatchPolicy
from ._value import Value

Config: TypeAlias = dict[str, Value]
"""A configuration as its descriptor's fields name it, for plugins that have no dataclass for it."""

Kind: TypeAlias = Literal["input", "processor", "output"]

_MARK = "__batch_component__"
_IN_FLIGHT_MAX = 2**31 - 1  # what the wire can hold
_METHODS: dict[Kind, str] = {"input": "read", "processor": "process", "output": "write"}
_BEFORE: dict[Kind, str] = {"input": "connect", "processor": "open", "output": "connect"}
_PLAIN = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


class Opened(NamedTuple):
    """A component under one configuration.

    Attributes:
        call: reads, processes or writes; for a generator function, begins a run of it.
        open: prepares a processor.
        connect: connects an input or output.
        close: ends its work.
        max_in_flight: how many calls of it may run at once.
        batch_policy: the batches that an output wants.
    """

    call: Callable[..., Any]
    open: Callable[[], Any]
    connect: Callable[[], Any]
    close: Callable[[], Any]
    max_in_flight: int
    batch_policy: BatchPolicy | None


class Component(NamedTuple):
    """A decorated function or class.

    Attributes:
        whole: whether it takes whole batches, rather than one message after the other.
        is_async: whether it runs on an event loop.
        generates: whether it is a generator function.
        configured: whether it takes the configuration.
        max_in_flight: how many calls of it may run at once; an instance of an output's class may say otherwise.
        batch_policy: the batches that an output wants; as max_in_flight.
    """

    kind: Kind
    target: Callable[..., Any]
    whole: bool
    is_async: bool
    generates: bool
    configured: bool
    max_in_flight: int
    batch_policy: BatchPolicy | None = None
    auto_replay_nacks: bool = True

    @property
    def name(self) -> str:
        """The name of the function or class."""
        return self.target.__name__

    @property
    def may_ask(self) -> bool:
        """Whether its instances may have a ``max_in_flight`` and a ``batch_policy`` of their own."""
        return self.kind == "output" and inspect.isclass(self.target)

    @property
    def config_type(self) -> type | None:
        """The dataclass that the configuration is to be, or None for a dict.

        Raises:
            Misuse: the parameter is annotated as something else, or with a name that does not exist.
        """
        if not self.configured:
            return None
        made: Any = self.target
        parameters = list(inspect.signature(made).parameters.values())
        parameter = parameters[0 if inspect.isclass(made) or self.kind == "input" else 1]
        hint: Any = parameter.annotation
        if isinstance(hint, str):  # under `from __future__ import annotations`
            where = inspect.unwrap(made.__init__ if inspect.isclass(made) else made).__globals__
            try:
                hint = eval(hint, where)  # noqa: S307 - the author's own words, as inspect.signature would take them
            except NameError as error:
                raise Misuse(f"the annotation of {self.name}'s {parameter.name} has no meaning yet: {error}") from None
        hint = _without_none(hint)
        if is_dataclass(hint):
            return cast("type", hint)
        origin = get_origin(hint) or hint
        if hint in (parameter.empty, Any) or (inspect.isclass(origin) and issubclass(dict, origin)):
            return None
        raise Misuse(f"{self.name} takes its configuration as {hint}: want a dataclass, or batch.Config")

    def check(self) -> None:
        """Check what cannot be checked before the whole program is loaded.

        Raises:
            Misuse: as `config_type`.
        """
        _ = self.config_type

    def opened(self, values: Config) -> Opened:
        """Return it under a configuration; makes the instance of a class.

        Raises:
            BadConfig: the configuration does not fit the dataclass for it, or an output's ``max_in_flight`` or
                ``batch_policy`` is none.
            Exception: what the constructor of a class raises.
        """
        kind = self.config_type
        config = () if not self.configured else (values if kind is None else read_config(kind, values),)
        collects = self.kind != "input" and self.is_async and self.generates
        if not inspect.isclass(self.target):
            call = _with(self.target, config)
            call = _collecting(call) if collects else call
            return Opened(call, _nothing, _nothing, _nothing, self.max_in_flight, self.batch_policy)
        made = self.target(*config)
        before = getattr(made, _BEFORE[self.kind], _nothing)
        connects = self.kind != "processor"
        call = getattr(made, _METHODS[self.kind])
        return Opened(
            _collecting(call) if collects else call,
            _nothing if connects else before,
            before if connects else _nothing,
            getattr(made, "close", _nothing),
            *self._wants(made),
        )

    def _wants(self, made: object) -> tuple[int, BatchPolicy | None]:
        """Return the ``max_in_flight`` and the ``batch_policy`` of an instance: an output's own, where it has them."""
        if not self.may_ask:
            return self.max_in_flight, self.batch_policy
        number: Any = getattr(made, "max_in_flight", self.max_in_flight)
        policy: Any = getattr(made, "batch_policy", self.batch_policy)
        if type(number) is not int or not 1 <= number <= _IN_FLIGHT_MAX:
            want = f"an integer from 1 to {_IN_FLIGHT_MAX}"
            raise BadConfig(field=f"{self.name}.max_in_flight", got=described(number), want=want)
        if policy is not None and not isinstance(policy, BatchPolicy):
            raise BadConfig(field=f"{self.name}.batch_policy", got=described(policy), want="a BatchPolicy or None")
        return number, policy


def component_of(target: object) -> Component:
    """Return what a decorator left on ``target``.

    Raises:
        Misuse: nothing.
    """
    found = getattr(target, "__dict__", {}).get(_MARK)  # not inherited by a subclass
    if not isinstance(found, Component):
        name = getattr(target, "__name__", repr(target))
        raise Misuse(f"{name} is no plugin: decorate it with @batch.input, @batch.processor or @batch.output")
    return found


def decorate(kind: Kind, target: Any, *, whole: bool, **options: Any) -> Any:
    """Mark ``target`` as a component and return it; without a target, return what does so: a decorator with arguments.

    Raises:
        Misuse: it cannot be called as such a component is, or an option makes no sense.
    """
    if target is None:
        return lambda later: _marked(kind, later, whole, **options)
    return _marked(kind, target, whole, **options)


def _marked(kind: Kind, target: Any, whole: bool, max_in_flight: int = 1, **options: Any) -> object:
    if not inspect.isfunction(target) and not inspect.isclass(target):
        raise Misuse(f"@batch.{kind} takes a function or a class, not {target!r}")
    if not 1 <= max_in_flight <= _IN_FLIGHT_MAX:
        raise Misuse(f"max_in_flight is from 1 to 2**31 - 1, not {max_in_flight}")
    called: Callable[..., Any] = target
    if inspect.isclass(target):
        called = _main_method(kind, target)
        configured = _takes_config(target, least=0, what="() or (config)")
    else:
        least = 0 if kind == "input" else 1
        one = "batch" if whole else "message"
        what = f"({one}) or ({one}, config)" if least else "() or (config)"
        configured = _takes_config(target, least=least, what=what)
    component = Component(
        kind=kind,
        target=target,
        whole=whole,
        is_async=inspect.iscoroutinefunction(called) or inspect.isasyncgenfunction(called),
        generates=inspect.isgeneratorfunction(called) or inspect.isasyncgenfunction(called),
        configured=configured,
        max_in_flight=max_in_flight,
        **options,
    )
    _refuse_mixtures(component)
    setattr(target, _MARK, component)
    return target


def _main_method(kind: Kind, target: type) -> Callable[..., Any]:
    name = _METHODS[kind]
    method = getattr(target, name, None)
    takes = "self" if kind == "input" else "self, message"
    if not inspect.isfunction(method):
        raise Misuse(f"the class {target.__name__} has no {name}({takes}), so it is no {kind}")
    if kind == "input" and (inspect.isgeneratorfunction(method) or inspect.isasyncgenfunction(method)):
        raise Misuse(f"{target.__name__}.read is a generator: return one at a time, or decorate a generator function")
    return method


def _refuse_mixtures(component: Component) -> None:
    if component.is_async or not inspect.isclass(component.target):
        return
    for name in ("open", "connect", "close"):
        if inspect.iscoroutinefunction(getattr(component.target, name, None)):
            main = _METHODS[component.kind]
            raise Misuse(f"{component.name}.{name} is asynchronous and {main} is not: make both so, or neither")


def _takes_config(target: Callable[..., object], *, least: int, what: str) -> bool:
    """Return whether ``target`` takes one argument more than ``least``."""
    parameters = list(inspect.signature(target).parameters.values())
    positional = [parameter for parameter in parameters if parameter.kind in _PLAIN]
    needed = [parameter for parameter in positional if parameter.default is parameter.empty]
    keywords = [p for p in parameters if p.kind is p.KEYWORD_ONLY and p.default is p.empty]
    if keywords or len(needed) > least + 1 or len(positional) < least:
        name = getattr(target, "__name__", "")
        raise Misuse(f"{name}{inspect.signature(target)} cannot be called: want {what}")
    return len(needed) > least or (len(positional) > least and positional[least].name == "config")


def _with(function: Callable[..., Any], config: tuple[Any, ...]) -> Callable[..., Any]:
    if not config:
        return function
    (value,) = config
    return lambda *arguments: function(*arguments, value)


def _without_none(hint: Any) -> Any:
    kinds = [kind for kind in get_args(hint) if kind is not type(None)]
    return kinds[0] if get_origin(hint) in (Union, types.UnionType) and len(kinds) == 1 else hint


def _collecting(function: Callable[[Any], AsyncIterator[Any]]) -> Callable[[Any], Awaitable[list[Any]]]:
    async def collect(item: Any) -> list[Any]:
        return [part async for part in function(item)]

    return collect


def _nothing() -> None:
    """Do nothing: there is no such method."""
