"""The ends of a flow: an input plugin as a source of parcels, and every output as what takes batches."""

import logging
import threading
from typing import Protocol

from ..handshake import PluginFault
from ._components import Policy
from ._errors import BadValue, NoAnswer
from ._message import Batch, Message
from ._receipt import Parcel, Receipt
from ._remote_input import Delivery, Input
from ._remote_output import Output
from ._sink import Sink
from ._stats import Stats

_IN_FLIGHT_MAX = 1024  # batches: each has a thread of its own, and a plugin may ask for any number


class PluginSource:
    """The batches of an input plugin, which hears of each what became of it."""

    expected = None
    files = ()

    def __init__(self, feed: Input, log: logging.Logger) -> None:
        self._input, self._log = feed, log
        self.consumed = 0

    def read(self, timeout: float | None) -> list[Parcel] | None:
        delivery = self._input.read(timeout)
        if delivery is None:
            return None if self._input.ended else []
        self.consumed += sum(len(one.payload) for one in delivery.messages if not one.is_structured)
        return [Parcel(delivery.messages, Receipt(lambda error: self._settle(delivery, error)))]

    def rest(self) -> list[Parcel]:
        return []

    def unfinished(self) -> int:
        return 0

    def interrupt(self) -> None:
        self._input.interrupt()

    def close(self) -> None:
        """Whoever started the plugin ends it."""

    def _settle(self, delivery: Delivery, error: str) -> None:
        try:
            delivery.nack(error) if error else delivery.ack()
        except NoAnswer:
            raise
        except PluginFault as fault:
            # All that is lost is the plugin's knowledge: it will give the batch again.
            self._log.warning("%s", fault)


class Outlet(Protocol):
    """Where the batches of a flow go."""

    @property
    def max_in_flight(self) -> int:
        """How many may be delivered at once."""
        ...

    @property
    def policy(self) -> Policy | None:
        """How they are to be gathered, or None to take them as they come."""
        ...

    @property
    def restarted(self) -> int:
        """How often it was started anew."""
        ...

    def deliver(self, batch: Batch, stats: Stats) -> None:
        """Deliver a batch, and count it.

        Raises:
            SendFailed: this batch cannot be delivered, but others may.
        """
        ...


class ByteOutlet:
    """A built-in output, which takes the bytes of messages in their order."""

    max_in_flight, policy, restarted = 1, None, 0

    def __init__(self, sink: Sink) -> None:
        self._sink = sink

    def deliver(self, batch: Batch, stats: Stats) -> None:
        payloads = [payload for message in batch if (payload := _payload(message, stats)) is not None]
        if payloads:
            stats.written.bytes += self._sink.write(payloads)
        stats.written.batches += 1
        stats.written.messages += len(payloads)


class PluginOutlet:
    """An output plugin."""

    def __init__(self, output: Output, log: logging.Logger) -> None:
        self._output, self._log = output, log
        self._lock = threading.Lock()

    @property
    def max_in_flight(self) -> int:
        wanted = self._output.max_in_flight
        if wanted > _IN_FLIGHT_MAX:
            self._log.warning("it takes %d batches at once, and gets at most %d", wanted, _IN_FLIGHT_MAX)
        return min(wanted, _IN_FLIGHT_MAX)

    @property
    def policy(self) -> Policy | None:
        return self._output.policy

    @property
    def restarted(self) -> int:
        return self._output.restarted

    def deliver(self, batch: Batch, stats: Stats) -> None:
        self._output.send(batch)
        with self._lock:
            stats.written.batches += 1
            stats.written.messages += len(batch)
            stats.written.bytes += sum(len(one.payload) for one in batch if not one.is_structured)


def _payload(message: Message, stats: Stats) -> bytes | None:
    try:
        return message.payload
    except (ValueError, BadValue) as error:
        stats.unwritable += 1
        stats.first_unwritable = stats.first_unwritable or str(error)
        return None
