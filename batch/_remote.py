"""A processor that runs in a plugin process: started, configured, called, started anew when it was lost, closed."""

import logging
from collections.abc import Mapping
from types import TracebackType
from typing import Self

import grpc

from .. import hostlib
from ..handshake import Misuse, PluginFault, PluginLost, quoted
from ..proto import redpanda
from ._descriptor import Descriptor, Kind
from ._document import locate
from ._message import Batch, Message
from ._processor import Config
from ._serve import HANDSHAKE, PROCESSOR
from ._value import write_value

_TEXT_MAX = 500  # characters of a plugin's words in an error
_LINE_MAX = 4096  # bytes of one line of a plugin's output that are logged


class Processor:
    """A processor plugin, and the process that it runs in. Not for two threads at once, except `kill`.

    ::

        with host.Processor(descriptor, {"suffix": "!"}) as shout:
            batches = shout.process([Message(b"hello")])

    A plugin that is lost, by whatever exit code or signal, is started and configured anew, and the batch that it had
    in hand is sent again: so a processor may see a batch twice, and none is skipped.

    Args:
        descriptor: what to start; of a processor.
        config: its configuration, which is checked against the descriptor and gets its defaults.
        name: what logs call it; the descriptor's name unless given.
        env: variables for the plugin, which win over inherited ones.
        restarts: how often it may be started anew in all.
        retries: how often one batch may be sent again.
        start_timeout: seconds for the start of the process.
        call_timeout: seconds for one answer, to Init and Close as well.
        logger: the parent of the logger for what the plugin logs and prints, ``goplugin.batch`` unless given.

    Attributes:
        restarted: how often it was started anew.

    Raises:
        Misuse: the descriptor is not a processor's, or a number makes no sense.
        BadFile: the configuration does not fit the descriptor.
    """

    def __init__(
        self,
        descriptor: Descriptor,
        config: Config,
        *,
        name: str = "",
        env: Mapping[str, str] | None = None,
        restarts: int = 3,
        retries: int = 1,
        start_timeout: float = 30.0,
        call_timeout: float = 60.0,
        logger: logging.Logger | None = None,
    ) -> None:
        if descriptor.kind is not Kind.PROCESSOR:
            raise Misuse(f"{descriptor.file} describes an {descriptor.kind.value}, and this needs a processor")
        if restarts < 0 or retries < 0:
            raise Misuse(f"restarts and retries are not negative: got {restarts} and {retries}")
        self.restarted = 0
        self._descriptor = descriptor
        self._name = name or descriptor.name
        self._init = redpanda.BatchProcessorInitRequest()
        where = f"the configuration of {descriptor.name} (see {descriptor.file})"
        write_value(self._init.config, descriptor.config(locate(config, where)))
        self._env = dict(env or {})
        self._restarts, self._retries = restarts, retries
        self._start_timeout, self._call_timeout = start_timeout, call_timeout
        self._log = (logger or logging.getLogger("goplugin.batch")).getChild(self._name)
        self._client: hostlib.Client[_Stub] | None = None
        self._stub: _Stub | None = None
        self._killed = False
        self._beyond_close = False  # it was lost, or is stuck, and the caller knows

    def start(self) -> None:
        """Start the process and give it its configuration. Nothing is left behind when that fails.

        Raises:
            PluginLost: it ended, or did not become ready.
            PluginFault: it refused its configuration, or does not answer.
            MachineFault: its program is not there.
            Misuse: it was started before.
        """
        if self._client is not None:
            raise Misuse(f"the processor {self._name} was started before")
        self._begin()

    def process(self, batch: Batch) -> list[Batch]:
        """Return what the plugin makes of a batch: several batches split it, and no batch drops it.

        An error for the whole batch comes back as the batch with that error on each message.

        Raises:
            PluginLost: it was lost and may not be started anew, or was lost again with this batch.
            PluginFault: it does not answer in time, or not as a processor does.
            BadValue: a message holds what cannot cross the wire.
            Misuse: it is not running.
        """
        request = redpanda.BatchProcessorProcessBatchRequest()
        for message in batch:
            message.to_wire(request.batch.messages.add())
        sent = 0
        while True:
            stub = self._known()
            try:
                sent += 1
                response = stub.process(request)
                break
            except PluginLost as loss:
                self._again(loss, sent)
            except grpc.RpcError as error:
                self._beyond_close = True
                raise self._fault("ProcessBatch", error) from error
        self._beyond_close = False
        if text := _text(response.error):
            for message in batch:
                message.error = text
            return [batch]
        return [Message.from_wire(one) for one in response.batches if one.messages]

    def close(self) -> None:
        """Tell the processor to end its work, and stop the process. Closing again does nothing.

        Raises:
            PluginFault: the processor says that its work did not end well, or does not answer. The process is stopped
                all the same.
        """
        stub, self._stub = self._stub, None
        try:
            if stub is not None and not self._killed and not self._beyond_close:
                self._end(stub)
        finally:
            if self._client is not None:
                self._client.stop()

    def kill(self) -> None:
        """Stop the process now, from any thread; a call under way fails, and nothing is started anew."""
        self._killed = True
        if self._client is not None:
            self._client.stop()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _begin(self) -> None:
        self._stub = None
        client = self._client = hostlib.Client(
            self._descriptor.command,
            HANDSHAKE,
            plugins={PROCESSOR: _Stub},
            env=self._env,
            cwd=self._descriptor.cwd,
            start_timeout=self._start_timeout,
            call_timeout=self._call_timeout,
            sync_stdout=_LineLog(self._log, logging.INFO),
            sync_stderr=_LineLog(self._log, logging.WARNING),
            logger=self._log,
        )
        if self._killed:  # asked after the client is where `kill` finds it
            raise Misuse(f"the processor {self._name} was killed")
        client.start()
        try:
            stub = client.dispense(PROCESSOR)
            try:
                response = stub.init(self._init)
            except PluginLost:
                raise
            except grpc.RpcError as error:
                raise self._fault("Init", error) from error
            if text := _text(response.error):
                raise PluginFault(f"the plugin refused its configuration: {quoted(text, _TEXT_MAX)}")
        except BaseException:
            client.stop()
            raise
        self._stub, self._beyond_close = stub, False

    def _again(self, loss: PluginLost, sent: int) -> None:
        """Start anew after ``loss``, if a batch that was sent so often may be sent again; raise it otherwise."""
        while True:
            if self._killed or sent > self._retries or self.restarted >= self._restarts:
                self._beyond_close = True
                raise loss
            self.restarted += 1
            what = str(loss).partition("\n")[0]
            self._log.warning("%s; starting it again (%d of %d)", what, self.restarted, self._restarts)
            if self._client is not None:
                self._client.stop()
            try:
                return self._begin()
            except PluginLost as again:
                loss = again

    def _end(self, stub: "_Stub") -> None:
        try:
            response = stub.close(redpanda.BatchProcessorCloseRequest())
        except PluginLost:
            raise
        except grpc.RpcError as error:
            raise self._fault("Close", error) from error
        if text := _text(response.error):
            raise PluginFault(f"the plugin did not end its work well: {quoted(text, _TEXT_MAX)}")

    def _fault(self, method: str, error: grpc.RpcError) -> PluginFault:
        code, details = error.code(), error.details() or ""
        if code is grpc.StatusCode.DEADLINE_EXCEEDED:
            return PluginFault(f"the plugin gave no answer to {method} within {self._call_timeout:g} s")
        return PluginFault(f"the plugin answered {method} with {code.name}: {quoted(details, _TEXT_MAX)}")

    def _known(self) -> "_Stub":
        if self._stub is None:
            raise Misuse(f"the processor {self._name} is not running")
        return self._stub


class _Stub:
    """The calls of BatchProcessorService."""

    def __init__(self, channel: grpc.Channel) -> None:
        init, process, close = redpanda.PROCESSOR_INIT, redpanda.PROCESSOR_PROCESS_BATCH, redpanda.PROCESSOR_CLOSE
        self.init = channel.unary_unary(init.path, init.request_bytes, init.response_from)
        self.process = channel.unary_unary(process.path, process.request_bytes, process.response_from)
        self.close = channel.unary_unary(close.path, close.request_bytes, close.response_from)


class _LineLog:
    """Logs the lines of what a plugin prints, long ones in pieces and empty ones not at all."""

    def __init__(self, log: logging.Logger, level: int) -> None:
        self._logger, self._level = log, level
        self._rest = b""

    def __call__(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) >= _LINE_MAX:
            lines.append(self._rest)
            self._rest = b""
        for line in lines:
            for start in range(0, len(line), _LINE_MAX):
                self._logger.log(self._level, "%s", quoted(line[start : start + _LINE_MAX], _LINE_MAX)[1:-1])


def _text(error: redpanda.Error) -> str:
    """Return the text of an error, or nothing where there is none; an error without a text gives its kind."""
    return error.message or error.WhichOneof("detail") or ""
