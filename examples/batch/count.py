"""An input: numbers, in batches. What was not delivered is said on the log."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass

from goplugin import batch

log = logging.getLogger("count")


@dataclass
class Config:
    until: int
    at_once: int = 100


@batch.batch_input
def count(config: Config) -> Iterator[tuple[batch.Batch, batch.Ack]]:
    """Give the numbers from 1 on."""
    for first in range(1, config.until + 1, config.at_once):
        numbers = range(first, min(first + config.at_once, config.until + 1))

        def settled(error: str | None, first: int = first) -> None:
            if error is not None:
                log.warning("the batch from %d on was not delivered: %s", first, error)

        yield [batch.Message(structured={"number": number}) for number in numbers], settled


if __name__ == "__main__":
    batch.serve(count)
