"""A processor that runs in a plugin process: started, configured, called, started anew when it was lost, closed."""

import grpc

from ..handshake import PluginLost
from ..proto import lazy, redpanda
from ._descriptor import Kind
from ._errors import BadStatus
from ._failures import read_error
from ._message import Batch, Message
from ._session import Remote, caller


class _Stub:
    """The calls of BatchProcessorService."""

    def __init__(self, channel: grpc.Channel) -> None:
        self.init = caller(channel, redpanda.PROCESSOR_INIT)
        self.process = caller(channel, lazy.PROCESSOR_PROCESS_BATCH)
        self.close = caller(channel, redpanda.PROCESSOR_CLOSE)


class Processor(Remote[_Stub]):
    """A processor plugin, and the process that it runs in. Safe for several threads.

    ::

        with host.Processor(descriptor, {"suffix": "!"}) as shout:
            batches = shout.process([Message(b"hello")])

    A plugin that is lost, by whatever exit code or signal, is started and configured anew, and the batch that it had
    in hand is sent again: so a processor may see a batch twice, and none is skipped.
    """

    _kind, _stub = Kind.PROCESSOR, _Stub

    def process(self, batch: Batch) -> list[Batch]:
        """Return what the plugin makes of a batch: several batches split it, and no batch drops it.

        An error for the whole batch comes back as the batch with that error on each message, and so does a status of
        gRPC, which is how a servicer that raised answers, or one that takes no message of that length.

        Raises:
            PluginLost: it was lost and may not be started anew, or was lost again with this batch.
            PluginFault: it does not answer in time, or not as a processor does.
            BadValue: a message holds what cannot cross the wire.
            Misuse: it is not running.
        """
        request = lazy.Batches()
        request.batches.add().messages.extend(message.to_wire() for message in batch)
        retries = self._session.limits.retries
        while True:
            running = self._session.running()
            try:
                response = self._session.ask("ProcessBatch", running, lambda stub: stub.process(request))
                break
            except PluginLost as loss:
                if not retries:
                    raise
                retries -= 1
                self._session.renew(running, loss)
            except BadStatus as status:
                return [_marked(batch, str(status))]
        if text := read_error(response.error):
            return [_marked(batch, text)]
        return [Message.from_wire(one) for one in response.batches if one.messages]

    def _init(self, stub: _Stub, config: redpanda.Value) -> redpanda.Error:
        return stub.init(redpanda.BatchProcessorInitRequest(config=config)).error

    def _end(self, stub: _Stub, seconds: float) -> redpanda.Error:
        return stub.close(redpanda.BatchProcessorCloseRequest(), seconds).error


def _marked(batch: Batch, error: str) -> Batch:
    # The batch itself stays as it is, for it may have to be processed again.
    marked = [message.copy() for message in batch]
    for message in marked:
        message.error = error
    return marked
