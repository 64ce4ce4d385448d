"""What the services of inputs, processors and outputs have in common: Init, Close, and how they are served.

Imported once a host has started us.
"""

import logging
import threading
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeAlias

from ..handshake import HostFault
from ..proto import lazy, redpanda
from ..proto.rpc import Method
from ._calls import Caller, Calls, Threads
from ._component import Component, Config, Opened
from ._errors import BadValue
from ._failures import write_error
from ._value import read_value

_log = logging.getLogger("goplugin.batch")

_LOST = (
    "%s marked a message as failed, and Redpanda Connect drops the mark of a single message: it goes on as if all were "
    "well. Say so in its metadata and let a mapping throw: see 'What differs' in docs/redpanda-connect.md. "
    "This is told once"
)

CLOSE_WITHIN = 1.0
"""Seconds that Close waits for calls under way: a host that closes in the middle of one has given it up."""

LEAVE_WITHIN = 5.0
"""Seconds for an event loop to come back to its work once the plugin leaves: nobody may come to kill it."""

Behaviour: TypeAlias = Callable[[Any, Caller | None], Any]
"""Answers a request; the call is None where a test asks."""

_InitRequest: TypeAlias = (
    redpanda.BatchInputInitRequest | redpanda.BatchProcessorInitRequest | redpanda.BatchOutputInitRequest
)


class Entry(NamedTuple):
    """One method as it is served: by its name, with what turns bytes into a request and a response into bytes."""

    name: str
    behaviour: Behaviour
    request_from: Callable[[bytes], Any] | None
    response_bytes: Callable[[Any], bytes]


class Service:
    """One component and its life: opened by Init, ended by Close, opened anew by another Init.

    No method raises for what the component does: errors travel in the responses.

    Attributes:
        loses_marks: whether the host drops the errors of single messages, which is then told once.
        answer_max: the bytes of the longest answer that the host takes, where it takes less than we can send.
    """

    loses_marks = False
    answer_max: int | None = None

    def __init__(self, component: Component, changed: Callable[[bool], None] = lambda _: None) -> None:
        """``changed`` is told whether the component is open, after each Init that succeeds and after each Close."""
        self._component, self._announce = component, changed
        self._lock = threading.Lock()
        self._changed = threading.Condition()
        self._inside = 0
        self._told = False
        self._calls: Calls | None = None
        self._opened: Opened | None = None

    def entries(self) -> tuple[str, tuple[Entry, ...]]:
        """Return the service's name, and its methods."""
        raise NotImplementedError

    def leave(self) -> None:
        """End what the host did not, and run nothing more. An event loop that somebody holds up is left as it is."""
        if self._calls is None:
            return
        if self._calls.responds(LEAVE_WITHIN):
            self._end(redpanda.Error())
        else:
            _log.warning("%s holds up its event loop, so it is not closed", self._component.name)
            with self._changed:
                self._opened = None  # nor is it by a Close that comes after all: the loop ends as soon as it can
        self._calls.close()

    def _open(self, request: _InitRequest, error: redpanda.Error) -> Opened | None:
        """Return the component, opened; None where an error became ``error``."""
        with self._lock:
            try:
                self._shut()
                if self._calls is None:
                    self._calls = _calls(self._component)
                opened: Opened = self._calls.build(self._component.opened, _config(request))
                self._calls.allow(opened.max_in_flight)
                self._calls.aside(opened.open)
                self._prepare(opened, self._calls)
                self._opened = opened
                self._announce(True)
            except BaseException as failure:  # noqa: BLE001 - it belongs to the host, in the response
                _log.debug("Init failed", exc_info=True)
                write_error(error, failure)
                return None
            return opened

    def _end(self, error: redpanda.Error) -> None:
        """End the component's work; an error becomes ``error``. Ending twice ends once."""
        with self._lock:
            try:
                self._shut()
            except BaseException as failure:  # noqa: BLE001 - as in open
                _log.debug("Close failed", exc_info=True)
                write_error(error, failure)
            self._announce(False)

    def _shut(self) -> None:
        with self._changed:
            opened, self._opened = self._opened, None
            self._changed.wait_for(lambda: not self._inside, CLOSE_WITHIN)
        if opened is not None and self._calls is not None:
            self._dispose(opened, self._calls)

    def _tell(self, error: BaseException) -> None:
        """Log the first failure with its traceback: one serves the author, a million would bury the host's log."""
        if not self._told and not isinstance(error, HostFault):
            self._told = True
            name = self._component.name
            unit = "batch" if self._component.whole else "message"
            _log.warning("%s failed on a %s; later failures are not logged", name, unit, exc_info=error)

    def _warn_of_marks(self, messages: Iterable[lazy.Message]) -> None:
        """Log, once, that the host drops the marks which these messages have."""
        if not self.loses_marks or not any(message.error for message in messages):
            return
        with self._changed:
            first, self.loses_marks = self.loses_marks, False
        if first:
            _log.warning(_LOST, self._component.name)

    def _not_open(self) -> HostFault:
        return HostFault(f"this {self._component.kind} is not open: Init comes first, and nothing after Close")

    def _prepare(self, opened: Opened, calls: Calls) -> None:
        """Begin what lasts as long as the component is open."""

    def _dispose(self, opened: Opened, calls: Calls) -> None:
        """End the component."""
        calls.aside(opened.close)

    def _do(self, work: Callable[[Opened, Calls], object], error: redpanda.Error) -> None:
        """Do ``work`` with the open component; an error becomes ``error``. Close waits for it."""
        try:
            with self._entered() as (opened, calls):
                work(opened, calls)
        except BaseException as failure:  # noqa: BLE001 - as in open
            write_error(error, failure)

    @contextmanager
    def _entered(self) -> Generator[tuple[Opened, Calls]]:
        """Yield the open component for one call, which Close waits for.

        Raises:
            HostFault: it is not open.
        """
        with self._changed:
            opened, calls = self._opened, self._calls
            if opened is None or calls is None:
                raise self._not_open()
            self._inside += 1
        try:
            yield opened, calls
        finally:
            with self._changed:
                self._inside -= 1
                self._changed.notify_all()


def entry(method: Method[Any, Any], behaviour: Behaviour) -> Entry:
    """Return a method with the messages that it declares."""
    return Entry(method.name, behaviour, method.request_from, method.response_bytes)


def _calls(component: Component) -> Calls:
    if not component.is_async:
        # The messages of an output's batch are written in their order, up to the first that fails.
        return Threads(component.max_in_flight, shares=component.kind == "processor")
    from ._loop import Loop  # asyncio is for those who use it

    return Loop(component.max_in_flight)


def _config(request: _InitRequest) -> Config:
    config = read_value(request.config) if request.HasField("config") else None
    if config is None:
        return {}
    if not isinstance(config, dict):
        raise BadValue(got=f"a configuration that is a {type(config).__name__}", want="a dict")
    return config
