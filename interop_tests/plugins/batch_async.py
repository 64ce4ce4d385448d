"""An input, a processor and an output with ``async def``: ``batch_async.py input|processor|output``.

They do what batch_lines_in.py, batch_obey.py with its suffix and batch_lines_out.py do, and wait for the event loop at
each step. Configuration: as of those.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from goplugin import batch


@dataclass
class Source:
    path: str
    done: str
    batch: int


@batch.batch_input
async def lines_in(config: Source) -> AsyncIterator[tuple[batch.Batch, Callable[[str | None], Awaitable[None]]]]:
    done, size = Path(config.done), config.batch
    lines = Path(config.path).read_bytes().splitlines()
    settled = int(done.read_text()) if done.exists() else 0
    acked: set[int] = set()  # the first lines of batches that are settled before an earlier one

    async def settle(first: int, error: str | None) -> None:
        nonlocal settled
        await asyncio.sleep(0)
        if error is not None:
            return
        acked.add(first)
        while settled in acked:
            acked.remove(settled)
            settled += size
        news = done.with_suffix(".new")
        news.write_text(str(settled))
        news.replace(done)  # in one step: this plugin is killed at any moment

    for first in range(settled, len(lines), size):
        await asyncio.sleep(0)
        yield [batch.Message(line) for line in lines[first : first + size]], partial(settle, first)


@batch.processor(max_in_flight=8)
class Upper:
    def __init__(self, config: batch.Config) -> None:
        self.suffix = str(config["suffix"]).encode()

    async def process(self, message: batch.Message) -> batch.Message:
        await asyncio.sleep(0)
        message.payload = message.payload.upper() + self.suffix
        return message


@dataclass
class Target:
    path: str


@batch.batch_output(max_in_flight=4)
class LinesOut:
    def __init__(self, config: Target) -> None:
        self.path = config.path

    async def connect(self) -> None:
        await asyncio.sleep(0)
        self.file = open(self.path, "ab", buffering=0)  # noqa: SIM115 - a moment; closed with the output

    async def write(self, messages: batch.Batch) -> None:
        await asyncio.sleep(0)
        self.file.write(b"".join(message.payload + b"\n" for message in messages))

    async def close(self) -> None:
        self.file.close()


if __name__ == "__main__":
    batch.serve({"input": lines_in, "processor": Upper, "output": LinesOut}[sys.argv[1]])
