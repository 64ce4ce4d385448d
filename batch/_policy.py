"""How an output wants its batches. Checks it; never gathers one."""

from dataclasses import dataclass

from ..handshake import Misuse
from ._duration import parse_duration

_INT64_MAX = 2**63 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchPolicy:
    """When the host is to send a batch: as soon as one of the limits is reached; zero or nothing is no limit.

    Attributes:
        count: messages.
        byte_size: bytes of payload.
        period: since the last batch, as Go writes durations: ``"500ms"``, ``"1m30s"``.
        check: a query in Redpanda Connect's own language, Bloblang: true for the last message of a batch.

    Raises:
        Misuse: a limit is negative or beyond 64 bits, or the period is no duration.
    """

    count: int = 0
    byte_size: int = 0
    period: str = ""
    check: str = ""

    def __post_init__(self) -> None:
        for name, value in (("count", self.count), ("byte_size", self.byte_size)):
            if not 0 <= value <= _INT64_MAX:
                raise Misuse(f"{name} is from 0 to 2**63 - 1, not {value}")
        if self.period and parse_duration(self.period) is None:
            raise Misuse(f'period is a duration such as "500ms" or "1m30s", not {self.period!r}')
