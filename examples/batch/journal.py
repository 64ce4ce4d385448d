"""An output: a file with a line for each message, which is on the disk when its batch is acknowledged."""

import os
from dataclasses import dataclass

from goplugin import batch


@dataclass
class Config:
    path: str


@batch.batch_output(batch_policy=batch.BatchPolicy(count=1000, period="100ms"))
class Journal:
    """Append messages to a file."""

    def __init__(self, config: Config) -> None:
        self.path = config.path

    def connect(self) -> None:
        try:
            self.file = open(self.path, "ab")  # noqa: SIM115 - it stays open until close
        except OSError as error:
            raise batch.NotConnected(f"cannot open {self.path}: {error.strerror}") from error

    def write(self, messages: batch.Batch) -> None:
        self.file.write(b"".join(message.payload + b"\n" for message in messages))
        self.file.flush()
        os.fsync(self.file.fileno())

    def close(self) -> None:
        if hasattr(self, "file"):
            self.file.close()


if __name__ == "__main__":
    batch.serve(Journal)
