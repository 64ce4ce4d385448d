"""An input of the lines of a file that forgets none: what is not acked when it ends is read again by the next.

Configuration: path, the file; done, a file that keeps how many lines are settled; batch, how many lines to a batch.
"""

import threading
from dataclasses import dataclass
from pathlib import Path

from goplugin import batch


@dataclass
class Config:
    path: str
    done: str
    batch: int


@batch.batch_input
class LinesIn:
    def __init__(self, config: Config) -> None:
        self.size, self.done = config.batch, Path(config.done)
        self.lines = Path(config.path).read_bytes().splitlines()
        self.next = self.settled = int(self.done.read_text()) if self.done.exists() else 0
        self.acked: set[int] = set()  # the first lines of batches that are settled before an earlier one
        self.lock = threading.Lock()

    def read(self) -> tuple[batch.Batch, batch.Ack]:
        first, self.next = self.next, self.next + self.size
        if first >= len(self.lines):
            raise batch.EndOfInput
        numbered = enumerate(self.lines[first : self.next], first)
        messages = [batch.Message(line, metadata={"line": number}) for number, line in numbered]
        return messages, lambda error: self.settle(first) if error is None else None

    def settle(self, first: int) -> None:
        with self.lock:
            self.acked.add(first)
            while self.settled in self.acked:
                self.acked.remove(self.settled)
                self.settled += self.size
            news = self.done.with_suffix(".new")
            news.write_text(str(self.settled))
            news.replace(self.done)  # in one step: this plugin is killed at any moment


if __name__ == "__main__":
    batch.serve(LinesIn)
