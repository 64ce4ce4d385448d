"""A processor that waits for something else, here a clock: up to sixteen messages wait at the same time."""

import asyncio
from dataclasses import dataclass, field

from goplugin import batch


@dataclass
class Config:
    labels: dict[str, str] = field(default_factory=dict[str, str])
    seconds: float = 0.001


@batch.processor(max_in_flight=16)
class Label:
    """Mark even and odd numbers."""

    def __init__(self, config: Config) -> None:
        self.config = config

    async def process(self, message: batch.Message) -> batch.Message:
        entry = message.structured
        if not isinstance(entry, dict):
            raise TypeError("it is no entry")
        number = entry.get("number")
        if not isinstance(number, int):
            raise TypeError("there is no number in it")
        await asyncio.sleep(self.config.seconds)
        parity = "odd" if number % 2 else "even"
        entry["label"] = self.config.labels.get(parity, parity)
        message.metadata["parity"] = parity
        return message


if __name__ == "__main__":
    batch.serve(Label)
