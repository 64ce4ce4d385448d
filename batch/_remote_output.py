"""An output that runs in a plugin process: connected, sent to, started anew when it was lost, closed."""

import grpc

from ..handshake import PluginFault, PluginLost, quoted
from ..proto import lazy, redpanda
from ._components import Policy
from ._connection import Connection
from ._descriptor import Kind
from ._duration import parse_duration
from ._errors import TEXT_MAX, BadStatus, SendFailed
from ._failures import read_error
from ._message import Batch
from ._patience import Patience
from ._session import Remote, caller


class _Stub:
    """The calls of BatchOutputService."""

    def __init__(self, channel: grpc.Channel) -> None:
        self.init = caller(channel, redpanda.OUTPUT_INIT)
        self.connect = caller(channel, redpanda.OUTPUT_CONNECT)
        self.send = caller(channel, lazy.OUTPUT_SEND)
        self.close = caller(channel, redpanda.OUTPUT_CLOSE)


class Output(Remote[_Stub]):
    """An output plugin, and the process that it runs in. Safe for as many threads as `max_in_flight`, and more.

    ::

        with host.Output(descriptor, {"url": "…"}) as store:
            store.send([Message(b"hello")])

    A batch was delivered once `send` returns. A plugin that was lost with a batch in hand is started anew and gets it
    again, so an output may see a batch twice, and none is skipped.

    Attributes:
        max_in_flight: how many batches may be sent at once, as the plugin says once it is started.
        policy: the batches that it wants, or None where it takes them as they come.
    """

    _kind, _stub = Kind.OUTPUT, _Stub

    def _prepare(self) -> None:
        self.max_in_flight = 1
        self.policy: Policy | None = None
        self._connection = Connection(self._session, _connect, self._session.pause)

    def send(self, batch: Batch) -> None:
        """Have a batch delivered: connect before if need be, and again when the plugin says so.

        Raises:
            SendFailed: the plugin says that it could not deliver it, or answers with a status of gRPC.
            PluginLost: it was lost and may not be started anew, or was lost again with this batch.
            PluginFault: it does not answer in time, or could not connect for as long as it may try.
            BadValue: a message holds what cannot cross the wire.
            Misuse: it is not running.
        """
        request = lazy.Batches()
        request.batches.add().messages.extend(message.to_wire() for message in batch)
        retries, patience = self._session.limits.retries, Patience(self._session.limits.connect_timeout)
        while True:
            running = self._connection.made()
            try:
                error = self._session.ask("Send", running, lambda stub: stub.send(request).error)
            except PluginLost as loss:
                if not retries:
                    raise
                retries -= 1
                self._session.renew(running, loss)
                continue
            except BadStatus as status:
                raise SendFailed(quoted(status.words, TEXT_MAX)) from status
            text, detail = read_error(error), error.WhichOneof("detail")
            if not text:
                return
            if detail not in ("not_connected", "backoff"):
                raise SendFailed(quoted(text, TEXT_MAX))
            self._connection.lost(running)
            self._connection.wait(patience, "Send", error)

    def _init(self, stub: _Stub, config: redpanda.Value) -> redpanda.Error:
        response = stub.init(redpanda.BatchOutputInitRequest(config=config))
        if not read_error(response.error):
            # Absent means one: nobody wants a host that sends nothing.
            self.max_in_flight = max(1, response.max_in_flight)
            self.policy = _policy(response.batch_policy)
        return response.error

    def _end(self, stub: _Stub, seconds: float) -> redpanda.Error:
        return stub.close(redpanda.BatchOutputCloseRequest(), seconds).error


def _connect(stub: _Stub) -> redpanda.Error:
    return stub.connect(redpanda.BatchOutputConnectRequest()).error


def _policy(found: redpanda.BatchPolicy) -> Policy | None:
    period = parse_duration(found.period or "0")
    if period is None:
        raise PluginFault(f"the plugin wants batches by the period {quoted(found.period)}, which is no duration")
    if found.check:
        raise PluginFault("the plugin wants batches by a query in Bloblang, which only Redpanda Connect has")
    policy = Policy(count=max(0, found.count), byte_size=max(0, found.byte_size), period=period)
    return policy if policy != Policy() else None
