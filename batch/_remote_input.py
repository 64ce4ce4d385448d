"""An input that runs in a plugin process: connected, read from, told what became of each batch, closed."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import grpc

from ..handshake import Misuse, PluginFault, PluginLost, quoted
from ..proto import lazy, redpanda
from ._connection import Connection, Ended, Unwanted
from ._descriptor import Kind
from ._errors import TEXT_MAX, BadStatus
from ._failures import read_error
from ._message import Batch, Message
from ._patience import Patience
from ._session import DAY, Remote, Running, caller, clock

_READ_TIMEOUT = DAY  # seconds: an input may have nothing to give for as long as it likes


class Delivery:
    """A batch that an input gave, and that wants to be settled: exactly once, by `ack` or by `nack`.

    Attributes:
        messages: the batch.
    """

    def __init__(self, messages: Batch, settle: Callable[[str], None]) -> None:
        self.messages = messages
        self._settle = settle
        self._lock = threading.Lock()
        self._settled = False

    def ack(self) -> None:
        """Tell the plugin that all that came of the batch was delivered, or dropped on purpose.

        Raises:
            PluginFault: the plugin failed at that, or does not answer.
            Misuse: it was settled before.
        """
        self._once("")

    def nack(self, error: str) -> None:
        """Tell the plugin that the batch was not delivered; ``error`` says why. Raises as `ack` does."""
        self._once(error or "the batch was not delivered")

    def _once(self, error: str) -> None:
        with self._lock:
            if self._settled:
                raise Misuse("a batch is settled once, and this one was before")
            self._settled = True
        self._settle(error)


class _Stub:
    """The calls of BatchInputService."""

    def __init__(self, channel: grpc.Channel) -> None:
        self.init = caller(channel, redpanda.INPUT_INIT)
        self.connect = caller(channel, redpanda.INPUT_CONNECT)
        self.read = caller(channel, lazy.INPUT_READ_BATCH)
        self.ack = caller(channel, redpanda.INPUT_ACK)
        self.close = caller(channel, redpanda.INPUT_CLOSE)


class Input(Remote[_Stub]):
    """An input plugin, and the process that it runs in. One thread reads; any may settle.

    ::

        with host.Input(descriptor, {"topic": "t"}) as feed:
            for delivery in feed:
                store(delivery.messages)
                delivery.ack()

    A plugin that is lost is started, configured and connected anew. What it gave before and what was not settled by
    then is its own to give again: the word about it has nobody to go to, and is dropped.

    Attributes:
        auto_replay_nacks: the plugin wants its host to try a failed batch again, instead of being told of it.
        ended: it said that nothing will ever come again.
        orphaned: batches that were settled when the process that gave them was gone.
    """

    _kind, _stub = Kind.INPUT, _Stub

    def _prepare(self) -> None:
        self.auto_replay_nacks = False
        self.ended = False
        self.orphaned = 0
        self._news = threading.Event()  # a call has ended, or somebody wants the reader to return
        self._interrupted = False
        self._connection = Connection(self._session, _connect, self._pause)
        self._pending: tuple[Running[_Stub], Any, float] | None = None
        self._patience = Patience(self._session.limits.connect_timeout)

    def read(self, timeout: float | None = None) -> Delivery | None:
        """Return the next batch, or None: after ``timeout`` seconds, when `ended`, and from `interrupt` on.

        A timeout costs nothing: the plugin goes on reading, and the next call takes what it finds.

        Raises:
            PluginLost: it was lost, and may not be started anew.
            PluginFault: it failed for as long as it may try.
            Misuse: it is not running.
        """
        limit = None if timeout is None else clock() + timeout
        try:
            while not self.ended and not self._interrupted:
                running, call, begun = self._asked()
                self._news.wait(None if limit is None else max(0.0, limit - clock()))
                self._news.clear()
                if call.done():
                    self._pending = None
                    delivery = self._taken(running, call, begun)
                    if delivery is not None:
                        self._patience.succeeded()
                        return delivery
                elif limit is not None and clock() >= limit:
                    return None
        except Ended:
            self.ended = True
        except Unwanted:
            pass
        return None

    def interrupt(self) -> None:
        """Make `read` return None, now and from now on, in whichever thread it is."""
        self._interrupted = True
        self._news.set()

    def close(self) -> None:
        pending, self._pending = self._pending, None
        if pending is not None:
            pending[1].cancel()
        super().close()

    def kill(self) -> None:
        super().kill()
        self._news.set()

    def __iter__(self) -> Iterator[Delivery]:
        while (delivery := self.read()) is not None:
            yield delivery

    def _init(self, stub: _Stub, config: redpanda.Value) -> redpanda.Error:
        response = stub.init(redpanda.BatchInputInitRequest(config=config))
        self.auto_replay_nacks = response.auto_replay_nacks
        return response.error

    def _end(self, stub: _Stub, seconds: float) -> redpanda.Error:
        return stub.close(redpanda.BatchInputCloseRequest(), seconds).error

    def _pause(self, seconds: float) -> None:
        limit = clock() + seconds
        while not self._interrupted and not self._session.killed and (rest := limit - clock()) > 0:
            self._news.wait(rest)
            self._news.clear()

    def _asked(self) -> tuple[Running[_Stub], Any, float]:
        """Return the one call of ReadBatch that is under way, and since when; begin it if there is none."""
        if self._pending is None:
            running = self._connection.made(lambda: not self._interrupted)
            call = running.stub.read.future(redpanda.BatchInputReadRequest(), timeout=_READ_TIMEOUT)
            call.add_done_callback(lambda _: self._news.set())
            self._pending = running, call, clock()
        return self._pending

    def _taken(self, running: Running[_Stub], call: Any, begun: float) -> Delivery | None:
        """Return what a call that has ended brought, or None to read again."""
        try:
            response = call.result()
        except PluginLost as loss:
            self._session.renew(running, loss)
            return None
        except grpc.RpcError as error:
            if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
                return None
            fault = self._session.fault(running.client, "ReadBatch", error, _READ_TIMEOUT)
            if isinstance(fault, PluginLost):
                self._session.renew(running, fault)
            elif isinstance(fault, BadStatus):
                self._failed(redpanda.Error(message=fault.words), begun)
            else:
                raise fault from error
            return None
        if read_error(response.error):
            if response.error.WhichOneof("detail") in ("not_connected", "backoff"):
                self._connection.lost(running)
            self._failed(response.error, begun)
            return None
        batch_id = response.batch_id
        return Delivery(Message.from_wire(response.batch), lambda error: self._settle(running, batch_id, error))

    def _failed(self, error: redpanda.Error, begun: float) -> None:
        """Wait before the next read after one that was begun then and failed."""
        if clock() - begun > self._session.limits.connect_timeout:
            self._patience.succeeded()  # it had nothing to give, which may last: that was no failing
        self._connection.wait(self._patience, "ReadBatch", error)

    def _settle(self, running: Running[_Stub], batch_id: int, error: str) -> None:
        request = redpanda.BatchInputAckRequest(batch_id=batch_id)
        if error:
            request.error.message = error
        try:
            # Of a process that is gone this is a call on a closed connection.
            answer = self._session.ask("Ack", running, lambda stub: stub.ack(request).error)
        except (PluginLost, Misuse):
            self.orphaned += 1
            self._session.log.warning("batch %d was settled after the plugin that gave it was gone", batch_id)
            return
        if text := read_error(answer):
            raise PluginFault(f"the plugin failed at settling batch {batch_id}: {quoted(text, TEXT_MAX)}")


def _connect(stub: _Stub) -> redpanda.Error:
    return stub.connect(redpanda.BatchInputConnectRequest()).error
