"""Inputs and an output that write down what they are told: ``batch_told.py input|replayed|output``.

Configuration: journal, the file; of an input, batches, lists of texts. The output fails on the message ``bad``, the
first time also on ``once``, and loses its connection the first time at ``lost``.
"""

import sys
from dataclasses import dataclass, field
from pathlib import Path

from goplugin import batch


@dataclass
class Config:
    journal: str
    batches: list[list[str]] = field(default_factory=list[list[str]])


class Journal:
    def __init__(self, config: Config) -> None:
        self.path = Path(config.journal)

    def note(self, line: str) -> None:
        with self.path.open("a") as file:
            file.write(f"{line}\n")


@batch.batch_input(auto_replay_nacks=False)
class Told(Journal):
    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.batches = iter(config.batches)

    def connect(self) -> None:
        self.note("connect")

    def read(self) -> tuple[batch.Batch, batch.Ack]:
        texts = next(self.batches, None)
        if texts is None:
            raise batch.EndOfInput
        return [batch.Message(text.encode()) for text in texts], lambda error: self.note(f"{' '.join(texts)}: {error}")

    def close(self) -> None:
        self.note("close")


@batch.batch_input
class Replayed(Told):
    pass


@batch.output(max_in_flight=4, batch_policy=batch.BatchPolicy(count=10, period="500ms"))
class Picky(Journal):
    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.failed: set[str] = set()

    def connect(self) -> None:
        self.note("connect")

    def write(self, message: batch.Message) -> None:
        text = message.text
        if text == "bad" or (text in ("once", "lost") and text not in self.failed):
            self.failed.add(text)
            raise batch.NotConnected(text) if text == "lost" else ValueError(f"{text} is not written")
        self.note(f"{text} {message.error}")

    def close(self) -> None:
        self.note("close")


if __name__ == "__main__":
    batch.serve({"input": Told, "replayed": Replayed, "output": Picky}[sys.argv[1]])
