"""What a run has done so far. Threads that share a counter write it under a lock; reads may be a moment apart."""

from dataclasses import dataclass, field


@dataclass(slots=True)
class Traffic:
    """What went through one end of a pipeline.

    Attributes:
        bytes: what was read or written, delimiters included.
        restarts: how often the plugin at this end was started anew.
    """

    messages: int = 0
    batches: int = 0
    bytes: int = 0
    restarts: int = 0


@dataclass(slots=True)
class StageStats:
    """What one processor has done.

    Attributes:
        name: its label, or the name of its plugin.
        batches: those that it has answered.
        taken: the messages in them.
        given: the messages that it made of them.
        filtered: by how many messages its answers were shorter than the batches, summed over those that were.
        failed: messages that it marked with an error.
        first_error: the text of the first of those errors.
        seconds: the time spent waiting for its answers.
        restarts: how often its process was started anew.
    """

    name: str
    batches: int = 0
    taken: int = 0
    given: int = 0
    filtered: int = 0
    failed: int = 0
    first_error: str = ""
    seconds: float = 0.0
    restarts: int = 0


@dataclass(slots=True)
class Stats:
    """What a run has done.

    Attributes:
        read: what the input has given.
        expected: the bytes that the input will give in all, or None where nobody knows.
        unfinished: bytes of a last line that had no end when reading was stopped; they became no message.
        stages: the processors in their order.
        written: what the output has taken.
        unwritable: messages that have no bytes to write, such as a structured payload with NaN.
        first_unwritable: why, for the first of them.
        rejected: messages that the output said it could not deliver, counted each time.
        first_rejection: what it said of the first of them.
        replayed: messages that were given again after their batch had failed; they count as read once more.
        undelivered: messages of batches that were given up. Where the input is a plugin, it was told.
        seconds: from the first read to the last write.
    """

    read: Traffic = field(default_factory=Traffic)
    expected: int | None = None
    unfinished: int = 0
    stages: list[StageStats] = field(default_factory=list[StageStats])
    written: Traffic = field(default_factory=Traffic)
    unwritable: int = 0
    first_unwritable: str = ""
    rejected: int = 0
    first_rejection: str = ""
    replayed: int = 0
    undelivered: int = 0
    seconds: float = 0.0

    @property
    def failed(self) -> int:
        """The messages that a processor failed on or that could not be written."""
        return sum(stage.failed for stage in self.stages) + self.unwritable

    @property
    def lost(self) -> int:
        """The messages that were given by one part of the pipeline and not dealt with by the next.

        Once a run is over: zero, unless it failed.
        """
        given = [self.read.messages, *(stage.given for stage in self.stages)]
        written = self.written.messages + self.unwritable + self.rejected
        taken = [*(stage.taken for stage in self.stages), written]
        return sum(given) - sum(taken)
