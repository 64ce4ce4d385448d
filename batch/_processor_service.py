"""BatchProcessorService on top of one processor: what its calls answer. Imported once a host has started us."""

from collections.abc import Callable, Iterable
from operator import is_
from typing import cast

from ..proto import lazy, redpanda
from ._calls import Caller
from ._errors import BadValue
from ._failures import spelled, write_error
from ._message import Batch, Message
from ._service import Entry, Service, entry

_ONE = "a processor returns a Message, several of them, or None"
_WHOLE = "a batch processor returns a list of messages, several such lists, or None"


class ProcessorService(Service):
    """Answers Init, ProcessBatch and Close."""

    def init(
        self, request: redpanda.BatchProcessorInitRequest, _caller: Caller | None = None
    ) -> redpanda.BatchProcessorInitResponse:
        """Open the processor; what its constructor or ``open`` raises is the error."""
        response = redpanda.BatchProcessorInitResponse()
        self._open(request, response.error)
        return response

    def process(self, data: bytes, caller: Caller | None = None) -> lazy.Batches:
        """Process a batch; the response has what became of it."""
        response = self._processed(data, caller)
        self._warn_of_marks(message for batch in response.batches for message in batch.messages)
        return response

    def _processed(self, data: bytes, caller: Caller | None) -> lazy.Batches:
        """Process a batch: in the request itself, which the response resembles, as long as all stay where they are."""
        try:
            with self._entered() as (opened, calls):
                request = lazy.Batches.FromString(data)
                if not request.batches or not request.batches[0].messages:
                    return lazy.Batches()
                work = _Work(data, request, self._tell)
                if self._component.whole:
                    batch = Message.from_wire(request.batches[0])
                    return work.whole(batch, calls.one(opened.call, list(batch), caller))
                calls.each(opened.call, request.batches[0].messages, work.made, work.failed, caller)
                return work.response()
        except BaseException as error:  # noqa: BLE001 - it belongs to the host, in the response
            self._tell(error)
            response = lazy.Batches()
            write_error(response.error, error)
            return response

    def close(
        self, _request: redpanda.BatchProcessorCloseRequest, _caller: Caller | None = None
    ) -> redpanda.BatchProcessorCloseResponse:
        """End the processor's work; what its ``close`` raises is the error."""
        response = redpanda.BatchProcessorCloseResponse()
        self._end(response.error)
        return response

    def entries(self) -> tuple[str, tuple[Entry, ...]]:
        init, process, close = redpanda.PROCESSOR_INIT, lazy.PROCESSOR_PROCESS_BATCH, redpanda.PROCESSOR_CLOSE
        return redpanda.BATCH_PROCESSOR.name, (
            entry(init, self.init),
            # Bytes: they are parsed again where a message has to go back as it came.
            Entry(process.name, self.process, None, process.response_bytes),
            entry(close, self.close),
        )


class _Work:
    """One batch under way."""

    def __init__(self, data: bytes, request: lazy.Batches, tell: Callable[[BaseException], None]) -> None:
        self._data, self._request, self._tell = data, request, tell
        self._moved: dict[int, list[lazy.Message]] = {}
        """What takes the place of a message, by its index, where it is not the message itself."""
        self._came: lazy.MessageBatch | None = None

    def made(self, index: int, result: object) -> None:
        """Note what the processor made of a message."""
        made = [part.to_wire() for part in _messages(result)]
        if len(made) != 1 or made[0] is not self._request.batches[0].messages[index]:
            self._moved[index] = made

    def failed(self, index: int, error: BaseException) -> None:
        """Put the message as it came, and marked, in the place of whatever was made of it."""
        self._moved[index] = [self._marked(index, error)]

    def response(self) -> lazy.Batches:
        """Return the answer: the request where nothing moved, and no batch where nothing is left."""
        if not self._moved:
            return self._request
        response = lazy.Batches()
        made = response.batches.add().messages
        for index, wire in enumerate(self._request.batches[0].messages):
            made.extend(self._moved.get(index, (wire,)))
        if not made:
            response.Clear()
        return response

    def whole(self, batch: Batch, result: object) -> lazy.Batches:
        """Return the answer to a batch that was processed as a whole."""
        if _is_same(result, batch):
            for index in Message.seen(batch):
                try:
                    batch[index].to_wire()
                except BadValue as error:
                    self.failed(index, error)
            return self.response()
        response = lazy.Batches()
        for wires in [[self._wire(message, batch) for message in one] for one in _batches(result) if one]:
            response.batches.add().messages.extend(wires)
        return response

    def _wire(self, message: Message, batch: Batch) -> lazy.Message:
        """Return a message as it is sent; one of those that came, and cannot be sent any more, is marked."""
        try:
            return message.to_wire()
        except BadValue as error:
            for index, came in enumerate(batch):
                if came is message:
                    return self._marked(index, error)
            raise

    def _marked(self, index: int, error: BaseException) -> lazy.Message:
        self._tell(error)
        if self._came is None:
            self._came = lazy.Batches.FromString(self._data).batches[0]
        marked = self._came.messages[index]
        marked.error = redpanda.Error(message=spelled(error)).SerializeToString()
        return marked


def _is_same(result: object, batch: Batch) -> bool:
    """Return whether these are the very messages that came, in their order."""
    found = cast("list[object]", result) if isinstance(result, list) else []
    return len(found) == len(batch) and all(map(is_, found, batch))


def _messages(result: object) -> Iterable[Message]:
    """Yield what a processor made of one message."""
    if isinstance(result, Message):
        yield result
    elif result is not None:
        yield from _checked(result, _ONE)


def _batches(result: object) -> list[Batch]:
    """Return what a processor made of one batch."""
    if result is None:
        return []
    if isinstance(result, Message | str | bytes | dict) or not isinstance(result, Iterable):
        raise TypeError(f"{_WHOLE}, not {type(result).__name__}")
    found = list(cast("Iterable[object]", result))
    if found and all(isinstance(one, Message) for one in found):
        return [cast("Batch", found)]
    return [list(_checked(batch, _WHOLE)) for batch in found]


def _checked(parts: object, returns: str) -> Iterable[Message]:
    kind = type(parts).__name__
    if not isinstance(parts, Iterable) or isinstance(parts, str | bytes | dict):
        raise TypeError(f"{returns}, not {kind}")
    for part in cast("Iterable[object]", parts):
        if not isinstance(part, Message):
            raise TypeError(f"{returns}, not an iterable of {type(part).__name__}")
        yield part
