"""An output of lines to a file. Configuration: path."""

from dataclasses import dataclass

from goplugin import batch


@dataclass
class Config:
    path: str


@batch.batch_output
class LinesOut:
    def __init__(self, config: Config) -> None:
        self.file = open(config.path, "ab", buffering=0)  # noqa: SIM115 - closed with the output

    def write(self, messages: batch.Batch) -> None:
        self.file.write(b"".join(message.payload + b"\n" for message in messages))

    def close(self) -> None:
        self.file.close()


if __name__ == "__main__":
    batch.serve(LinesOut)
