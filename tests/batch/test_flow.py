"""Batches flow in order through threads that work at once; what was read is never lost without being counted."""

import itertools
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from time import monotonic

import pytest

from goplugin.batch import Batch, Message
from goplugin.batch._components import Policy
from goplugin.batch._deliveries import Undelivered
from goplugin.batch._ends import ByteOutlet
from goplugin.batch._errors import NoAnswer, SendFailed
from goplugin.batch._flow import Failure, Step
from goplugin.batch._flow import Flow as RealFlow
from goplugin.batch._receipt import Parcel, Receipt
from goplugin.batch._source import Gathered
from goplugin.batch._stats import Stats, Traffic
from goplugin.handshake import MachineFault
from goplugin.proto import lazy, redpanda

LIMIT = 20.0  # seconds for what takes milliseconds


class Source:
    """Gives batches; what is an exception is raised."""

    def __init__(self, answers: Iterable[Batch | Exception], rest: Iterable[Batch] = ()) -> None:
        self._answers, self._rest = iter(answers), list(rest)
        self.consumed = 0
        self.expected: int | None = None
        self.files = ()
        self.interrupted = threading.Event()
        self.given = 0

    def read(self, timeout: float | None) -> list[Parcel] | None:
        for answer in self._answers:
            if isinstance(answer, Exception):
                raise answer
            self.consumed += sum(len(message.payload) for message in answer if not message.is_structured)
            self.given += 1
            return [Parcel(answer, self.owed(answer))]
        return None

    def owed(self, batch: Batch) -> Receipt | None:
        return None

    def rest(self) -> list[Parcel]:
        rest, self._rest = self._rest, []
        return [Parcel(batch) for batch in rest]

    def unfinished(self) -> int:
        return 5

    def interrupt(self) -> None:
        self.interrupted.set()

    def close(self) -> None: ...


class Sink:
    def __init__(self, work: Callable[[], object] = lambda: None) -> None:
        self.written: list[bytes] = []
        self._work = work

    def write(self, payloads: Iterable[bytes]) -> int:
        self._work()
        before = len(self.written)
        self.written += payloads
        return sum(map(len, self.written[before:]))

    def close(self) -> None: ...


class Outlet(ByteOutlet):
    """Does ``work`` before it delivers anything."""

    def __init__(self, work: Callable[[Batch], object], sink: Sink) -> None:
        super().__init__(sink)
        self._work = work

    def deliver(self, batch: Batch, stats: Stats) -> None:
        self._work(batch)
        super().deliver(batch, stats)


class Worker:
    def __init__(self, work: Callable[[Batch], list[Batch]] = lambda batch: [batch]) -> None:
        self._work = work
        self.restarted = 0

    def process(self, batch: Batch) -> list[Batch]:
        return self._work(batch)


class Flow(RealFlow):
    """A flow with one worker for each step, to a sink of bytes."""

    def __init__(self, source: Source | Gathered, steps: Sequence[tuple[str, Step]], sink: Sink) -> None:
        super().__init__(source, [(name, [step]) for name, step in steps], ByteOutlet(sink))


def batch(*payloads: bytes) -> Batch:
    return [Message(payload) for payload in payloads]


def numbered(count: int) -> Iterator[Batch]:
    return (batch(b"%d" % number) for number in range(count))


def run(flow: RealFlow, progress: Callable[[Stats], object] | None = None) -> Stats:
    """Run a flow in a thread, so that one that hangs fails its test."""
    errors: list[BaseException] = []

    def work() -> None:
        try:
            flow.run(progress)
        except BaseException as error:  # noqa: BLE001 - raised below
            errors.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(LIMIT)
    assert not thread.is_alive(), "the flow hangs"
    if errors:
        raise errors[0]
    return flow.stats


def test_without_steps_everything_read_is_written_in_order() -> None:
    sink = Sink()
    stats = run(Flow(Source(numbered(100), rest=[batch(b"x", b"y")]), [], sink))
    assert sink.written == [b"%d" % number for number in range(100)] + [b"x", b"y"]
    assert (stats.read, stats.written) == (Traffic(102, 101, 190), Traffic(102, 101, 192))
    assert (stats.lost, stats.failed, stats.unfinished) == (0, 0, 5)
    assert stats.seconds > 0


def test_the_order_stays_through_steps_that_split_and_drop() -> None:
    def split(batch: Batch) -> list[Batch]:
        return [[message.copy() for message in batch], batch]

    def drop(batch: Batch) -> list[Batch]:
        return [] if batch[0].payload == b"1" else [batch]

    sink = Sink()
    stats = run(Flow(Source(numbered(3)), [("split", Worker(split)), ("drop", Worker(drop))], sink))
    assert sink.written == [b"0", b"0", b"2", b"2"]
    first, second = stats.stages
    assert (first.name, first.batches, first.taken, first.given, first.filtered) == ("split", 3, 3, 6, 0)
    assert (second.name, second.batches, second.taken, second.given, second.filtered) == ("drop", 6, 6, 4, 2)
    assert stats.lost == 0


def test_two_steps_work_at_the_same_time() -> None:
    meeting = threading.Barrier(2, timeout=LIMIT)

    def meet(from_number: int, to_number: int) -> Callable[[Batch], list[Batch]]:
        def work(batch: Batch) -> list[Batch]:
            if from_number <= int(batch[0].payload) < to_number:
                meeting.wait()
            return [batch]

        return work

    sink = Sink()
    # The first is at batch 1 while the second is at batch 0, and so on: neither gets on unless they overlap.
    run(Flow(Source(numbered(5)), [("a", Worker(meet(1, 5))), ("b", Worker(meet(0, 4)))], sink))
    assert len(sink.written) == 5


def test_what_is_slow_holds_back_what_comes_before_it() -> None:
    source = Source(numbered(200))
    behind: list[int] = []
    full = threading.Event()

    def wait_until_full() -> None:
        behind.append(source.given - len(sink.written))
        # A queue of 4 on each side of the step, one batch in each of the three threads.
        limit = monotonic() + LIMIT
        while not full.is_set() and source.given < 11:
            assert monotonic() < limit
            full.wait(0.001)
        full.set()

    sink = Sink(wait_until_full)
    run(Flow(source, [("step", Worker())], sink))
    assert len(sink.written) == 200
    assert max(behind) <= 11


def test_a_stop_ends_the_reading_and_what_was_read_goes_through() -> None:
    flow: Flow

    def step(batch: Batch) -> list[Batch]:
        if batch[0].payload == b"20":
            flow.stop()
            flow.stop()
        return [batch]

    source = Source((batch(b"%d" % number) for number in itertools.count()), rest=[batch(b"rest")])
    sink = Sink()
    flow = Flow(source, [("step", Worker(step))], sink)
    stats = run(flow)
    assert source.interrupted.is_set()
    assert sink.written == [b"%d" % number for number in range(source.given)] + [b"rest"]
    assert (stats.lost, stats.read.messages) == (0, stats.written.messages)


def test_a_stop_before_the_start_reads_nothing() -> None:
    flow = Flow(Source(numbered(9)), [], Sink())
    flow.stop()
    assert run(flow).read.messages == 0


def test_what_is_refused_is_given_again_after_a_stop_too() -> None:
    def refuse_the_first(batch: Batch) -> None:
        if next(sendings) == 0:
            flow.stop()
            raise SendFailed("not yet")

    sendings, sink = itertools.count(), Sink()
    outlet = Outlet(refuse_the_first, sink)
    flow = RealFlow(Source(batch(b"%d" % number) for number in itertools.count()), [], outlet, lambda: True, 3)
    stats = run(flow)
    assert sorted(map(int, sink.written)) == list(range(stats.read.messages - 1))
    assert (stats.replayed, stats.undelivered, stats.lost) == (1, 0, 0)


def test_a_failure_ends_the_wait_for_what_is_to_be_given_again() -> None:
    def refuse_and_fail(_: Batch) -> None:
        if next(sendings) > 2:
            raise MachineFault("broken")
        flow.stop()
        raise SendFailed("not yet")

    sendings = itertools.count()
    flow = RealFlow(Source(numbered(2)), [], Outlet(refuse_and_fail, Sink()), lambda: True, 100)
    with pytest.raises(Failure) as caught:
        run(flow)
    assert (caught.value.part, str(caught.value.cause)) == ("output", "broken")
    assert flow.stats.undelivered > 0


@pytest.mark.parametrize("failing", [0, 1, 2])
def test_what_has_passed_a_step_that_fails_is_written_and_the_rest_is_counted_as_lost(failing: int) -> None:
    def fail(batch: Batch) -> list[Batch]:
        if batch[0].payload == b"7":
            raise MachineFault("broken")
        return [batch]

    source, sink = Source(batch(b"%d" % number, b"and") for number in itertools.count()), Sink()
    steps = [(f"step{index}", Worker(fail) if index == failing else Worker()) for index in range(3)]
    flow = Flow(source, steps, sink)
    with pytest.raises(Failure) as caught:
        run(flow)
    assert caught.value.part == f"step{failing}"
    assert str(caught.value.cause) == "broken"
    assert sink.written == [word for number in range(7) for word in (b"%d" % number, b"and")]
    stats = flow.stats
    assert stats.lost == stats.read.messages - stats.written.messages == 2 * source.given - 14


class Endless(Source):
    """Has nothing for now where another has no more."""

    def read(self, timeout: float | None) -> list[Parcel] | None:
        found = super().read(timeout)
        if found is None:
            self.interrupted.wait(timeout)
        return found or []


class AllAtOnce(Source):
    """Gives all its batches with one read."""

    def read(self, timeout: float | None) -> list[Parcel] | None:
        found: list[Parcel] = []
        while (batches := super().read(timeout)) is not None:
            found += batches
        return found or None


def test_what_was_read_at_once_and_is_not_wanted_any_more_counts_as_lost() -> None:
    def fail(_: Batch) -> list[Batch]:
        raise MachineFault("broken")

    flow = Flow(AllAtOnce(numbered(50)), [("a", Worker(fail))], Sink())
    with pytest.raises(Failure):
        run(flow)
    assert flow.stats.lost == flow.stats.read.messages == 50


def test_a_source_that_fails_lets_through_what_it_gave_before() -> None:
    sink = Sink()
    flow = Flow(Source([batch(b"1"), batch(b"2"), MachineFault("unreadable"), batch(b"3")]), [("a", Worker())], sink)
    with pytest.raises(Failure) as caught:
        run(flow)
    assert (caught.value.part, str(caught.value.cause)) == ("input", "unreadable")
    assert sink.written == [b"1", b"2"]
    assert flow.stats.lost == 0


def test_what_was_gathered_before_a_source_fails_is_written() -> None:
    child, sink = Source([batch(b"1"), batch(b"2"), batch(b"3"), MachineFault("unreadable")], [batch(b"4")]), Sink()
    flow = Flow(Gathered(child, Policy(count=9)), [("a", Worker())], sink)
    with pytest.raises(Failure) as caught:
        run(flow)
    assert (caught.value.part, str(caught.value.cause)) == ("input", "unreadable")
    assert sink.written == [b"1", b"2", b"3", b"4"]
    assert (flow.stats.read.messages, flow.stats.read.batches, flow.stats.lost) == (4, 1, 0)


def test_what_was_gathered_before_a_batch_was_given_up_is_written() -> None:
    def refuse_zeros(batch: Batch) -> None:
        if batch[0].payload == b"0":
            raise SendFailed("never")

    child, sink = Endless(numbered(3)), Sink()
    flow = RealFlow(Gathered(child, Policy(count=2)), [], Outlet(refuse_zeros, sink), lambda: True, 2)
    with pytest.raises(Failure) as caught:
        run(flow)
    assert (caught.value.part, type(caught.value.cause)) == ("output", Undelivered)
    assert sink.written == [b"2"]
    assert (flow.stats.undelivered, flow.stats.lost) == (2, 0)


class Owed(Source):
    """Does something when it is told what became of a batch."""

    told: Callable[[str], object]

    def owed(self, batch: Batch) -> Receipt:
        return Receipt(self.told)


def test_progress_is_told_while_a_source_is_told_of_what_was_abandoned() -> None:
    def fail(_: Batch) -> list[Batch]:
        raise MachineFault("broken")

    def progress(stats: Stats) -> None:
        if stats.undelivered:
            given_up.set()

    given_up = threading.Event()
    source = Owed(numbered(9))
    source.told = lambda _: given_up.wait(2 * LIMIT)
    with pytest.raises(Failure, match="broken"):
        run(Flow(source, [("a", Worker(fail))], Sink()), progress)


def test_a_source_that_does_not_answer_to_what_became_of_its_last_batch_fails_the_run() -> None:
    def silent(_: str) -> None:
        raise NoAnswer("Ack", 60.0)

    source, sink = Owed(numbered(1)), Sink()
    source.told = silent
    with pytest.raises(Failure) as caught:
        run(Flow(source, [], sink))
    assert (caught.value.part, type(caught.value.cause)) == ("input", NoAnswer)
    assert sink.written == [b"0"]


def test_a_sink_that_fails_ends_everything_and_counts_what_it_did_not_take() -> None:
    def fail_at_the_fourth() -> None:
        if len(sink.written) == 3:
            raise MachineFault("full")

    source, sink = Source(batch(b"%d" % number) for number in itertools.count()), Sink(fail_at_the_fourth)
    flow = Flow(source, [("a", Worker()), ("b", Worker())], sink)
    with pytest.raises(Failure) as caught:
        run(flow)
    assert (caught.value.part, str(caught.value.cause)) == ("output", "full")
    assert sink.written == [b"0", b"1", b"2"]
    assert flow.stats.lost == source.given - 3


def test_a_fault_of_ours_is_a_failure_too_and_hangs_nothing() -> None:
    def fail(_: Batch) -> list[Batch]:
        raise ZeroDivisionError

    with pytest.raises(Failure) as caught:
        run(Flow(Source(numbered(100)), [("a", Worker(fail)), ("b", Worker())], Sink()))
    assert isinstance(caught.value.cause, ZeroDivisionError)


def test_messages_that_a_step_marks_are_counted_with_the_first_error_and_flow_on() -> None:
    def mark(batch: Batch) -> list[Batch]:
        for message in batch:
            if message.payload in (b"bad", b"worse"):
                message.error = "is " + message.text
        return [batch]

    sink = Sink()
    source = Source([batch(b"a", b"bad", b"worse"), batch(b"bad"), batch(b"b")])
    stats = run(Flow(source, [("mark", Worker(mark)), ("pass", Worker())], sink))
    assert sink.written == [b"a", b"bad", b"worse", b"bad", b"b"]
    assert [(stage.failed, stage.first_error) for stage in stats.stages] == [(3, "is bad"), (0, "")]
    assert stats.failed == 3


def test_a_mark_from_before_is_not_this_steps_but_another_one_is() -> None:
    def remark(batch: Batch) -> list[Batch]:
        for message in batch:
            message.error = "second" if message.payload == b"b" else message.error
        return [batch]

    source = Source([[Message(b"a", error="first"), Message(b"b", error="first"), Message(b"c")]])
    (stage,) = run(Flow(source, [("remark", Worker(remark))], Sink())).stages
    assert (stage.failed, stage.first_error) == (1, "second")


def test_a_mark_that_a_later_step_drops_stays_counted() -> None:
    def mark(batch: Batch) -> list[Batch]:
        return [[Message(message.payload, error="bad") for message in batch]]

    stats = run(Flow(Source(numbered(2)), [("mark", Worker(mark)), ("drop", Worker(lambda _: []))], Sink()))
    assert (stats.failed, stats.written.messages, stats.lost) == (2, 0, 0)


def test_a_message_without_bytes_to_write_is_counted_and_the_others_are_written() -> None:
    sink = Sink()
    source = Source([[Message(b"a"), Message(structured=float("nan")), Message(structured={"b": 1})]])
    stats = run(Flow(source, [("step", Worker())], sink))
    assert sink.written == [b"a", b'{"b":1}']
    assert (stats.unwritable, stats.failed, stats.written.messages, stats.lost) == (1, 1, 2, 0)
    assert "JSON" in stats.first_unwritable


def test_a_message_with_what_python_cannot_have_is_counted_and_the_others_are_written() -> None:
    wire = redpanda.Value()
    wire.timestamp_value.seconds = 2**40  # which no datetime is
    (far,) = Message.over([lazy.Message(structured=wire.SerializeToString())])
    sink = Sink()
    stats = run(Flow(Source([[Message(b"a"), far, Message(b"b")]]), [], sink))
    assert sink.written == [b"a", b"b"]
    assert (stats.unwritable, stats.written.messages, stats.lost) == (1, 2, 0)
    assert "years 1 to 9999" in stats.first_unwritable


def test_restarts_are_shown_as_they_happen() -> None:
    def work(batch: Batch) -> list[Batch]:
        step.restarted += 1
        return [batch]

    step = Worker(work)
    (stage,) = run(Flow(Source(numbered(3)), [("step", step)], Sink())).stages
    assert stage.restarts == 3


def test_progress_is_told_now_and_then_and_at_the_end() -> None:
    seen: list[int] = []
    source = Source(numbered(10))
    source.expected = 10
    going = threading.Event()

    def wait_for_progress() -> None:
        assert going.wait(LIMIT)

    def progress(stats: Stats) -> None:
        assert stats.expected == 10
        seen.append(stats.written.messages)
        going.set()

    run(Flow(source, [], Sink(wait_for_progress)), progress)
    assert seen[0] == 0
    assert seen[-1] == 10


def test_a_progress_that_raises_leaves_the_flow_and_its_threads_run_on() -> None:
    going = threading.Event()

    def wait() -> None:
        assert going.wait(LIMIT)

    def progress(_: Stats) -> None:
        raise ZeroDivisionError

    flow = Flow(Source(numbered(1)), [], Sink(wait))
    with pytest.raises(ZeroDivisionError):
        run(flow, progress)
    assert flow.running
    going.set()
    limit = monotonic() + LIMIT
    while flow.running:
        assert monotonic() < limit
