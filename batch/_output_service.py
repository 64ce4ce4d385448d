"""BatchOutputService on top of one output: what its calls answer. Imported once a host has started us."""

from ..proto import lazy, redpanda
from ._calls import Caller, Calls
from ._component import Opened
from ._errors import BackOff, NotConnected
from ._failures import write_error
from ._message import Message
from ._service import Entry, Service, entry


class OutputService(Service):
    """Answers Init, Connect, Send and Close. What is not connected is never asked to write."""

    _connected = False

    def init(
        self, request: redpanda.BatchOutputInitRequest, _caller: Caller | None = None
    ) -> redpanda.BatchOutputInitResponse:
        """Open the output; what its constructor raises is the error."""
        response = redpanda.BatchOutputInitResponse()
        self._connected = False
        opened = self._open(request, response.error)
        if opened is not None:
            response.max_in_flight = opened.max_in_flight
            if (policy := opened.batch_policy) is not None:
                wire = response.batch_policy
                wire.byte_size, wire.count = policy.byte_size, policy.count
                wire.check, wire.period = policy.check, policy.period
        return response

    def connect(
        self, _request: redpanda.BatchOutputConnectRequest, _caller: Caller | None = None
    ) -> redpanda.BatchOutputConnectResponse:
        """Connect, unless it is connected; what ``connect`` raises is the error."""
        response = redpanda.BatchOutputConnectResponse()
        self._do(self._connect, response.error)
        return response

    def send(self, request: lazy.Batches, caller: Caller | None = None) -> redpanda.BatchOutputSendResponse:
        """Write a batch. The first message that fails ends it, for the host sends a batch again as a whole."""
        response = redpanda.BatchOutputSendResponse()
        try:
            with self._entered() as (opened, calls):
                if not self._connected:
                    raise NotConnected("this output is not connected: Connect comes before Send")
                for wires in request.batches[:1]:
                    if not self._component.whole:
                        calls.each(opened.call, wires.messages, _written, _not_written, caller)
                    elif wires.messages:
                        calls.one(opened.call, Message.from_wire(wires), caller)
        except _Unwritten as failure:
            self._failed(
                failure.error, response, f"message {failure.index + 1} of {len(request.batches[0].messages)}: "
            )
        except BaseException as error:  # noqa: BLE001 - it belongs to the host, in the response
            self._failed(error, response)
        return response

    def close(
        self, _request: redpanda.BatchOutputCloseRequest, _caller: Caller | None = None
    ) -> redpanda.BatchOutputCloseResponse:
        """End the output's work; what its ``close`` raises is the error."""
        response = redpanda.BatchOutputCloseResponse()
        self._end(response.error)
        return response

    def entries(self) -> tuple[str, tuple[Entry, ...]]:
        return redpanda.BATCH_OUTPUT.name, (
            entry(redpanda.OUTPUT_INIT, self.init),
            entry(redpanda.OUTPUT_CONNECT, self.connect),
            entry(lazy.OUTPUT_SEND, self.send),
            entry(redpanda.OUTPUT_CLOSE, self.close),
        )

    def _connect(self, opened: Opened, calls: Calls) -> None:
        if not self._connected:
            calls.aside(opened.connect)
            self._connected = True

    def _failed(self, error: BaseException, response: redpanda.BatchOutputSendResponse, where: str = "") -> None:
        if isinstance(error, NotConnected | BackOff):
            self._connected = False
        else:
            self._tell(error)
        write_error(response.error, error)
        response.error.message = where + response.error.message


class _Unwritten(Exception):
    """A message was not written, and those after it are not to be."""

    def __init__(self, index: int, error: BaseException) -> None:
        self.index, self.error = index, error
        super().__init__(index)


def _written(_index: int, _result: object) -> None:
    """Note nothing: a batch is written when nothing of it failed."""


def _not_written(index: int, error: BaseException) -> None:
    raise _Unwritten(index, error) from error
