"""Plugins with a trouble each, for hosts that have to cope with it: ``batch_troubled.py TROUBLE``.

``connect``: an input whose first two attempts to connect fail. ``refuse``: a processor that refuses its configuration,
and prints each time that it is asked. ``connect_out``: an output whose first two attempts to connect fail. ``nacked``:
an input that wants to hear of failures itself, and prints what it hears; ``full``: an output without room for ``bad``.
``noise``: a processor that prints lines longer than a host may read. ``close``:
an output whose close fails. ``hold``: a processor that
holds each message, and prints that it does, until the file that is configured as ``until`` is there.
"""

import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from goplugin import batch

LINE = 600 * 1024  # Redpanda Connect reads lines of up to 512 KiB
PATIENCE = 60.0  # seconds


@batch.input
class Connect:
    def __init__(self) -> None:
        self.attempts = self.reads = 0

    def connect(self) -> None:
        self.attempts += 1
        if self.attempts < 3:
            raise batch.NotConnected(f"attempt {self.attempts}")

    def read(self) -> batch.Message:
        self.reads += 1
        if self.reads > 1:
            raise batch.EndOfInput
        return batch.Message(f"connected by attempt {self.attempts}".encode())


@batch.output
class ConnectOut:
    def __init__(self) -> None:
        self.attempts = 0

    def connect(self) -> None:
        self.attempts += 1
        if self.attempts < 3:
            raise batch.NotConnected(f"attempt {self.attempts}")

    def write(self, message: batch.Message) -> None:
        print(f"{message.text} by attempt {self.attempts}", flush=True)


@batch.batch_input(auto_replay_nacks=False)
def nacked() -> Iterator[tuple[batch.Batch, batch.Ack]]:
    for text in ("good", "bad", "better"):
        yield [batch.Message(text.encode())], partial(heard, text)


def heard(text: str, error: str | None) -> None:
    print(f"{text} was told: {error}", flush=True)


@batch.output
def full(message: batch.Message) -> None:
    if message.text == "bad":
        raise OSError("no room for it")


@batch.processor
class Refuse:
    def __init__(self) -> None:
        print("asked once more", flush=True)
        raise ValueError("nothing suits it")

    def process(self, message: batch.Message) -> batch.Message:
        return message


@batch.processor
def noise(message: batch.Message) -> batch.Message:
    for _ in range(2):
        print("x" * LINE, flush=True)
    return message


@batch.processor
class Hold:
    def __init__(self, config: batch.Config) -> None:
        self.until = Path(str(config["until"]))

    def process(self, message: batch.Message) -> batch.Message:
        print("holding", flush=True)
        deadline = time.monotonic() + PATIENCE
        while not self.until.exists():
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.until} is not there")
            time.sleep(0.02)
        return message


@batch.output
class Close:
    def write(self, message: batch.Message) -> None:
        print(message.text, flush=True)

    def close(self) -> None:
        raise OSError("the disk is full")


if __name__ == "__main__":
    batch.serve(
        {
            "connect": Connect,
            "connect_out": ConnectOut,
            "nacked": nacked,
            "full": full,
            "refuse": Refuse,
            "noise": noise,
            "hold": Hold,
            "close": Close,
        }[sys.argv[1]]
    )
