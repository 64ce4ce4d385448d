"""A batch processor, against one written by hand on bare grpcio: how many messages a second, and how soon the first."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from time import perf_counter
from typing import Any

from benchmarks.figures import Comparison, Contestant, Figure, Samples
from benchmarks.plugin import CALL_WITHIN
from benchmarks.workshop import Workshop, version
from goplugin import batch, hostlib
from goplugin.proto import redpanda

START = Figure(name="start to first batch", unit="ms")
SMALL = Figure(name="1,000 x 256 B", unit="messages/s", better="higher")
LARGE = Figure(name="1,000 x 1 KiB", unit="messages/s", better="higher")
TAGGED = Figure(name="1,000 x 256 B with 5 metadata entries", unit="messages/s", better="higher")
MESSAGES = 1000
LOADS = {SMALL: (256, 0), LARGE: (1024, 0), TAGGED: (256, 5)}

GOALS = {START: 1.2, SMALL: 0.9, LARGE: 0.9, TAGGED: 1.5}
"""What design.md §8 promises over a hand-written servicer."""

IN_PLACE, ECHO = "in place on bare grpcio", "echo on bare grpcio"
EACH, EACH_ASYNC = "@batch.processor", "@batch.processor async def"
WHOLE, WHOLE_ASYNC = "@batch.batch_processor", "@batch.batch_processor async def"
SUBJECTS = {
    IN_PLACE: ("batch_bare.py", "in-place"),
    ECHO: ("batch_bare.py", "echo"),
    EACH: ("batch_goplugin.py", "each"),
    EACH_ASYNC: ("batch_goplugin.py", "each-async"),
    WHOLE: ("batch_goplugin.py", "whole"),
    WHOLE_ASYNC: ("batch_goplugin.py", "whole-async"),
}


class Stub:
    """Init with a configuration of nothing, and ProcessBatch from bytes to bytes: the client costs next to nothing."""

    def __init__(self, channel: Any) -> None:
        self._init = channel.unary_unary(redpanda.PROCESSOR_INIT.path)
        self._process = channel.unary_unary(redpanda.PROCESSOR_PROCESS_BATCH.path)

    def init(self) -> None:
        self._init(b"", timeout=CALL_WITHIN)

    def process(self, request: bytes) -> bytes:
        response: bytes = self._process(request, timeout=CALL_WITHIN)
        return response


class Batch:
    """Starts every subject afresh in each round, then lets them take turns at batches."""

    def __init__(self, slices: int, batches: int) -> None:
        self._slices, self._batches = slices, batches
        self._clients: dict[str, Callable[[], hostlib.Client[Stub]]] = {}
        self._requests = {figure: request(size, entries) for figure, (size, entries) in LOADS.items()}
        self.comparisons = [
            comparison
            for ours in (EACH, EACH_ASYNC, WHOLE, WHOLE_ASYNC)
            for comparison in (
                Comparison(ours=ours, against=IN_PLACE, goals=GOALS),
                Comparison(ours=ours, against=ECHO),
            )
        ]

    def prepare(self, workshop: Workshop) -> list[Contestant]:
        for name, (script, form) in SUBJECTS.items():
            self._clients[name] = _client([*workshop.subject(script), form], workshop)
            with self._clients[name]() as client:
                stub = client.dispense(batch.PROCESSOR)
                stub.init()
                for sent in self._requests.values():
                    check(name, sent, stub.process(sent))
        ours, bare = version("goplugin"), version("grpcio")
        return [Contestant(name=name, version=bare if "bare" in name else ours) for name in SUBJECTS]

    def measure(self, order: Sequence[str]) -> Samples:
        samples: dict[tuple[str, Figure], float] = {}
        with ExitStack() as running:
            stubs: dict[str, Stub] = {}
            for name in order:
                client = self._clients[name]()
                running.callback(client.stop)
                began = perf_counter()
                client.start()
                stubs[name] = client.dispense(batch.PROCESSOR)
                stubs[name].init()
                stubs[name].process(self._requests[SMALL])
                samples[name, START] = (perf_counter() - began) * 1e3
            for figure, sent in self._requests.items():
                for name, rate in self._rates(stubs, sent).items():
                    samples[name, figure] = rate
        return samples

    def _rates(self, stubs: Mapping[str, Stub], sent: bytes) -> dict[str, float]:
        seconds = dict.fromkeys(stubs, 0.0)
        for stub in stubs.values():
            stub.process(sent)
        for _ in range(self._slices):
            for name, stub in stubs.items():
                began = perf_counter()
                for _ in range(self._batches):
                    stub.process(sent)
                seconds[name] += perf_counter() - began
        return {name: MESSAGES * self._batches * self._slices / total for name, total in seconds.items()}


def request(size: int, entries: int) -> bytes:
    """Return a request of a batch of messages of ``size`` bytes, each with so many entries of metadata."""
    found = redpanda.BatchProcessorProcessBatchRequest()
    for number in range(MESSAGES):
        message = found.batch.messages.add(bytes=b"x" * size)
        for entry in range(entries):
            message.metadata.fields[f"key_{entry}"].string_value = f"value {entry} of {number}"
    return found.SerializeToString()


def check(name: str, sent: bytes, answer: bytes) -> None:
    """See that a subject does what it is measured at."""
    came = redpanda.BatchProcessorProcessBatchRequest.FromString(sent).batch
    if name != ECHO:
        for message in came.messages:
            message.bytes = message.bytes.upper()
    assert list(redpanda.BatchProcessorProcessBatchResponse.FromString(answer).batches) == [came], name


def _client(command: Sequence[str], workshop: Workshop) -> Callable[[], hostlib.Client[Stub]]:
    return lambda: hostlib.Client(
        command,
        batch.HANDSHAKE,
        {batch.PROCESSOR: Stub},
        env=workshop.environment,
        inherit_env=False,
        cwd=str(workshop.scratch),
    )


def suite(quick: bool, peers: bool) -> Batch:
    """Return the suite. Peers have no part in it."""
    return Batch(slices=1, batches=1) if quick else Batch(slices=8, batches=10)
