"""The channel that stubs get: grpc's own, with a deadline on every unary call and with errors that say what happened.

A wrapper rather than an interceptor, which costs a call many times as much. Stubs that grpcio-tools generates work on
it unchanged.
"""

from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import grpc

from ..handshake import PluginLost
from ..transport.wrapping import Arity, WrappedChannel

Verdict = Callable[[Exception], Exception | None]
"""Given what a call raised, the error to raise in its place, or None to leave it."""


class LostInCall(PluginLost, grpc.RpcError):
    """The plugin ended during a call. It is the RPC error of the call, too."""

    def __init__(self, loss: PluginLost, call: grpc.RpcError) -> None:
        Exception.__init__(self, *loss.args)
        self.__dict__.update(loss.__dict__)
        self._call = call

    def code(self) -> grpc.StatusCode:
        """Return the status of the call."""
        return self._call.code()

    def details(self) -> str | None:
        """Return grpc's words for it."""
        return self._call.details()

    def __getattr__(self, name: str) -> Any:
        # The rest of grpc.Call: metadata, debug_error_string …
        return getattr(self._call, name)


class PluginChannel(WrappedChannel):
    """A grpc channel to a plugin."""

    def __init__(self, channel: grpc.Channel, call_timeout: float | None, verdict: Verdict) -> None:
        super().__init__(channel)
        self._timeout, self._verdict = call_timeout, verdict

    def _callable(self, arity: Arity, *arguments: Any) -> Any:
        call = super()._callable(arity, *arguments)
        if arity.endswith("_stream"):
            return _ToStream(call, self._verdict)
        # A stream of requests has no default deadline: only its caller knows its length.
        return _ToUnary(call, self._timeout if arity == "unary_unary" else None, self._verdict)


class _ToUnary:
    """A method with one response."""

    __slots__ = ("_call", "_timeout", "_verdict")

    def __init__(self, call: Any, timeout: float | None, verdict: Verdict) -> None:
        self._call, self._timeout, self._verdict = call, timeout, verdict

    def __call__(
        self,
        request: Any,
        timeout: float | None = None,
        metadata: Any = None,
        credentials: Any = None,
        wait_for_ready: bool | None = None,
        compression: Any = None,
    ) -> Any:
        limit = self._timeout if timeout is None else timeout
        try:
            return self._call(request, limit, metadata, credentials, wait_for_ready, compression)
        except (grpc.RpcError, ValueError) as error:
            _reraise(error, self._verdict)

    def with_call(
        self,
        request: Any,
        timeout: float | None = None,
        metadata: Any = None,
        credentials: Any = None,
        wait_for_ready: bool | None = None,
        compression: Any = None,
    ) -> Any:
        limit = self._timeout if timeout is None else timeout
        try:
            return self._call.with_call(request, limit, metadata, credentials, wait_for_ready, compression)
        except (grpc.RpcError, ValueError) as error:
            _reraise(error, self._verdict)

    def future(
        self,
        request: Any,
        timeout: float | None = None,
        metadata: Any = None,
        credentials: Any = None,
        wait_for_ready: bool | None = None,
        compression: Any = None,
    ) -> Any:
        limit = self._timeout if timeout is None else timeout
        try:
            call = self._call.future(request, limit, metadata, credentials, wait_for_ready, compression)
        except ValueError as error:
            _reraise(error, self._verdict)
        return _Running(call, self._verdict)


class _ToStream:
    """A method with a stream of responses."""

    __slots__ = ("_call", "_verdict")

    def __init__(self, call: Any, verdict: Verdict) -> None:
        self._call, self._verdict = call, verdict

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        try:
            call = self._call(*arguments, **named)
        except ValueError as error:
            _reraise(error, self._verdict)
        return _Running(call, self._verdict)


class _Running:
    """A call under way: what grpc returns, but for the errors."""

    __slots__ = ("_call", "_verdict")

    def __init__(self, call: Any, verdict: Verdict) -> None:
        self._call, self._verdict = call, verdict

    def __getattr__(self, name: str) -> Any:
        return getattr(self._call, name)

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        try:
            return next(self._call)
        except grpc.RpcError as error:
            _reraise(error, self._verdict)

    def result(self, timeout: float | None = None) -> Any:
        try:
            return self._call.result(timeout)
        except grpc.RpcError as error:
            _reraise(error, self._verdict)

    def exception(self, timeout: float | None = None) -> Exception | None:
        error: Exception | None = self._call.exception(timeout)
        return (self._verdict(error) or error) if error is not None else None

    def add_done_callback(self, callback: Callable[[Any], object]) -> None:
        self._call.add_done_callback(lambda _: callback(self))


def _reraise(error: Exception, verdict: Verdict) -> NoReturn:
    instead = verdict(error)
    if instead is None:
        raise error
    raise instead from error
