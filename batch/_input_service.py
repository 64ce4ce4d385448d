"""BatchInputService on top of one input: what its calls answer. Imported once a host has started us."""

import itertools
import logging
import threading
from collections import deque
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from concurrent.futures import Future
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from ..handshake import HostFault
from ..proto import lazy, redpanda
from ._answers import TooLarge, cut
from ._calls import Caller, Calls
from ._component import Component, Opened
from ._errors import BackOff, BadValue, EndOfInput, NotConnected
from ._failures import read_error, spelled, write_error
from ._input import Ack
from ._message import Batch, Message
from ._receipt import Receipt
from ._service import CLOSE_WITHIN, Entry, Service, entry

if TYPE_CHECKING:
    import asyncio

_log = logging.getLogger("goplugin.batch")
_PAUSE_FIRST, _PAUSE_LONGEST = 0.0001, 0.005
"""Seconds before an asynchronous function that has had nothing is asked again, doubled with each time in a row."""

_CLOSED = "the input was closed before this batch was settled"


class InputService(Service):
    """Answers Init, Connect, ReadBatch, Ack and Close.

    A batch that the plugin has made is never dropped because the host gave a ReadBatch up: the next one gets it. One
    that is too long for an answer goes out in several, and settles when all of them are; the first nack of any counts.
    What is not connected is never asked to read.
    """

    _source: "_Source | None" = None

    def init(
        self, request: redpanda.BatchInputInitRequest, _caller: Caller | None = None
    ) -> redpanda.BatchInputInitResponse:
        """Open the input; what its constructor raises is the error."""
        response = redpanda.BatchInputInitResponse(auto_replay_nacks=self._component.auto_replay_nacks)
        self._open(request, response.error)
        return response

    def connect(
        self, _request: redpanda.BatchInputConnectRequest, _caller: Caller | None = None
    ) -> redpanda.BatchInputConnectResponse:
        """Connect, unless it is connected; what ``connect`` raises is the error."""
        response = redpanda.BatchInputConnectResponse()
        self._do(lambda _opened, _calls: self._open_source().connect(), response.error)
        return response

    def read(self, _request: redpanda.BatchInputReadRequest, caller: Caller | None = None) -> lazy.BatchRead:
        """Wait for a batch, as long as the host does."""
        response = lazy.BatchRead()
        try:
            response.batch_id, messages = self._open_source().read(caller)
            response.batch.messages.extend(messages)
            self._warn_of_marks(response.batch.messages)
        except BaseException as error:  # noqa: BLE001 - it belongs to the host, in the response
            if isinstance(error, TooLarge):  # each of them, for each is lost unless its source keeps it
                _log.error("%s gave what cannot be handed over: %s", self._component.name, error)
            elif not isinstance(error, NotConnected | EndOfInput | BackOff):
                self._tell(error)
            write_error(response.error, error)
        return response

    def ack(
        self, request: redpanda.BatchInputAckRequest, _caller: Caller | None = None
    ) -> redpanda.BatchInputAckResponse:
        """Settle a batch; what its ack function raises is the error, and the batch is settled all the same."""
        response = redpanda.BatchInputAckResponse()
        try:
            with self._entered():
                self._open_source().settle(request.batch_id, read_error(request.error))
        except BaseException as error:  # noqa: BLE001 - as in read
            self._tell(error)
            write_error(response.error, error)
        return response

    def close(
        self, _request: redpanda.BatchInputCloseRequest, _caller: Caller | None = None
    ) -> redpanda.BatchInputCloseResponse:
        """End the input's work; what its ``close`` raises is the error."""
        response = redpanda.BatchInputCloseResponse()
        self._end(response.error)
        return response

    def entries(self) -> tuple[str, tuple[Entry, ...]]:
        return redpanda.BATCH_INPUT.name, (
            entry(redpanda.INPUT_INIT, self.init),
            entry(redpanda.INPUT_CONNECT, self.connect),
            entry(lazy.INPUT_READ_BATCH, self.read),
            entry(redpanda.INPUT_ACK, self.ack),
            entry(redpanda.INPUT_CLOSE, self.close),
        )

    def _prepare(self, opened: Opened, calls: Calls) -> None:
        self._source = _Source(self._component, opened, calls, self.answer_max)

    def _dispose(self, opened: Opened, calls: Calls) -> None:  # noqa: ARG002 - the source has both
        source, self._source = self._source, None
        if source is not None:
            source.close()

    def _open_source(self) -> "_Source":
        source = self._source
        if source is None:
            raise self._not_open()
        return source


class _Delivery(NamedTuple):
    batch: Batch
    receipt: Receipt


class _Part(NamedTuple):
    """What one answer has of a batch: messages, or why they cannot be sent."""

    messages: list[lazy.Message] | Exception
    receipt: Receipt


class _Source:
    """One open input: its connection, the read under way, and the batches that are out."""

    def __init__(self, component: Component, opened: Opened, calls: Calls, answer_max: int | None) -> None:
        self._component, self._opened, self._calls, self._answer_max = component, opened, calls, answer_max
        self._changed = threading.Condition()
        self._connected = self._closed = False
        self._run: Any = None
        """What a generator function returned, from Connect until it fails."""
        self._reading: Future[_Delivery] | None = None
        """The read under way, or one whose batch nobody has taken yet."""
        self._task: asyncio.Task[Any] | None = None
        """What runs the last read, on an event loop."""
        self._numbers = itertools.count(1)
        self._parts: deque[_Part] = deque()
        """What was read and is still to be handed over."""
        self._out: dict[int, Receipt] = {}

    def connect(self) -> None:
        if self._connected:
            return
        if self._component.generates:
            self._run = self._opened.call()
        else:
            self._calls.aside(self._opened.connect)
        self._connected = True

    def read(self, caller: Caller | None) -> tuple[int, list[lazy.Message]]:
        number, (messages, receipt) = self._next(caller)
        if isinstance(messages, Exception):
            self._settle_quietly(receipt, spelled(messages))
            raise messages
        return number, messages

    def settle(self, number: int, reason: str) -> None:
        with self._changed:
            receipt = self._out.pop(number, None)
        if receipt is None:
            raise HostFault(f"there is no batch {number} to settle: it was never read, or is settled already")
        receipt.settle(reason)

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            left = [*self._out.values(), *(part.receipt for part in self._parts)]
            self._out.clear()
            self._parts.clear()
            reading = self._reading
        for receipt in left:
            self._settle_quietly(receipt, _CLOSED)
        if (task := self._task) is not None:
            # Not the future, which would be done at once: what the author wrote may take a moment to end.
            task.get_loop().call_soon_threadsafe(task.cancel)
        try:
            if not self._component.generates:
                self._calls.aside(self._opened.close)  # a read that waits in another thread may be woken by this alone
        finally:
            self._end_reading(reading)
        if self._run is not None and (reading is None or reading.done()):
            self._calls.aside(self._run.aclose if self._component.is_async else self._run.close)

    def _end_reading(self, reading: "Future[_Delivery] | None") -> None:
        if reading is None:
            return
        try:
            self._settle_quietly(reading.result(CLOSE_WITHIN).receipt, _CLOSED)
        except TimeoutError:
            _log.warning("%s is still reading, %g s after it was closed", self._component.name, CLOSE_WITHIN)
            reading.add_done_callback(self._settle_late)
        except BaseException:  # noqa: BLE001 - cancelled, or failed when nobody waited for it any more
            _log.debug("%s read nothing while it was closed", self._component.name, exc_info=True)

    def _settle_late(self, reading: "Future[_Delivery]") -> None:
        if not reading.cancelled() and reading.exception() is None:
            receipt = reading.result().receipt
            # Not here: this may be the thread of the event loop, and an asynchronous ack would wait for itself.
            threading.Thread(target=self._settle_quietly, args=(receipt, _CLOSED), daemon=True).start()

    def _next(self, caller: Caller | None) -> tuple[int, _Part]:
        gone = False

        def leave() -> None:
            nonlocal gone
            with self._changed:
                gone = True
                self._changed.notify_all()

        def over() -> bool:
            return gone or self._closed

        def ready() -> bool:
            return over() or self._reading is not reading or reading.done()

        if caller is not None and not caller.add_callback(leave):
            leave()
        with self._changed:
            while not (self._parts or over()):
                if not self._connected:
                    raise NotConnected("this input is not connected: Connect comes before ReadBatch")
                reading = self._reading = self._reading or self._begin()
                self._changed.wait_for(ready)
                if self._reading is reading and not over():
                    self._reading = None
                    self._parts.extend(self._parts_of(reading))
            if over():
                raise EndOfInput("the input was closed" if self._closed else "the host gave this read up")
            number, part = next(self._numbers), self._parts.popleft()
            if not isinstance(part.messages, Exception):
                self._out[number] = part.receipt
            return number, part

    def _parts_of(self, reading: "Future[_Delivery]") -> list[_Part]:
        try:
            batch, receipt = reading.result()
        except (NotConnected, BackOff):
            self._connected, self._run = False, None
            raise
        parts: Sequence[list[lazy.Message] | Exception]
        try:
            messages = list(map(_sendable, batch))
            parts = [messages] if self._answer_max is None else cut(messages, self._answer_max)
        except Exception as error:  # noqa: BLE001 - it belongs to the host, and to the ack function
            parts = [error]
        receipt.split(len(parts))
        return [_Part(part, receipt) for part in parts]

    def _begin(self) -> "Future[_Delivery]":
        run = self._run
        if self._component.is_async:
            reading = self._calls.begin(lambda: self._read_async(run))
        else:
            reading = self._calls.begin(lambda: self._read(run))
        reading.add_done_callback(self._notify)
        return reading

    def _notify(self, _reading: object) -> None:
        with self._changed:
            self._changed.notify_all()

    def _read(self, run: Iterator[object] | None) -> _Delivery:
        while not self._closed:
            try:
                got = self._opened.call() if run is None else next(run)
            except StopIteration:
                break
            except BaseException as error:
                raise self._judged(error, run is not None) from error
            if (delivery := self._delivery(got)) is not None:
                return delivery
        raise EndOfInput

    async def _read_async(self, run: AsyncIterator[object] | None) -> _Delivery:
        import asyncio  # loaded by whoever has an event loop

        from ._loop import given_up

        self._task = asyncio.current_task()
        pause = 0.0
        while not self._closed:
            try:
                got = await (self._opened.call() if run is None else anext(run))
            except StopAsyncIteration:
                break
            except BaseException as error:
                if given_up():
                    raise
                raise self._judged(error, run is not None) from error
            if (delivery := self._delivery(got)) is not None:
                return delivery
            await asyncio.sleep(pause)  # what never waits itself would let nothing else run, not even its acks
            if run is None:
                pause = min(2 * pause or _PAUSE_FIRST, _PAUSE_LONGEST)
        raise EndOfInput

    def _judged(self, error: BaseException, ends_run: bool) -> BaseException:
        """Return the error for the host: a generator that failed is over, and begins anew with the next Connect."""
        if not ends_run or isinstance(error, NotConnected | EndOfInput | BackOff):
            return error
        _log.warning("%s failed; it begins anew when the host connects again", self._component.name, exc_info=error)
        return NotConnected(spelled(error))

    def _delivery(self, got: object) -> _Delivery | None:
        """Return what was read, or None if it is nothing yet."""
        ack: Ack | None = None
        if isinstance(got, tuple):
            parts = cast("tuple[object, ...]", got)
            if len(parts) != 2 or not callable(parts[1]):
                raise TypeError("an input gives what it read, or a pair of that and its ack function")
            got, ack = parts[0], parts[1]
        if got is None:
            return None
        if not self._component.whole:
            if not isinstance(got, Message):
                raise TypeError(f"an input gives a Message, or None while there is none, not {type(got).__name__}")
            return _Delivery([got], self._receipt(ack))
        if not isinstance(got, Iterable) or isinstance(got, str | bytes | dict):
            raise TypeError(f"a batch input gives a list of messages, not {type(got).__name__}")
        batch = list(cast("Iterable[object]", got))
        for message in batch:
            if not isinstance(message, Message):
                raise TypeError(f"a batch input gives a list of messages, not of {type(message).__name__}")
        return _Delivery(cast("Batch", batch), self._receipt(ack)) if batch else None

    def _receipt(self, ack: Ack | None) -> Receipt:
        return Receipt(partial(self._settle, ack))

    def _settle(self, ack: Ack | None, reason: str) -> None:
        if ack is not None:
            self._calls.aside(ack, reason or None)
        elif reason and not self._component.auto_replay_nacks:
            _log.warning("a batch of %s failed and has no ack function: %s", self._component.name, reason)

    def _settle_quietly(self, receipt: Receipt, reason: str) -> None:
        try:
            receipt.settle(reason)
        except BaseException as error:  # noqa: BLE001 - the others are to be settled, too
            _log.warning("%s failed to take a nack", self._component.name, exc_info=error)


def _sendable(message: Message) -> lazy.Message:
    """Return a message as it is sent; one that cannot be sent goes out as its bare payload, marked."""
    try:
        return message.to_wire()
    except BadValue as error:
        try:
            payload = message.payload
        except (TypeError, ValueError, BadValue):
            payload = b""
        return Message(payload, error=spelled(error)).to_wire()
