"""Pipelines whose ends are plugins: at least once from ack to ack, whatever is killed, and in order where promised."""

import random
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from batch_services import notes
from lives import command

from goplugin.batch import _runner
from goplugin.batch.host import Descriptor, Limits, RunFailed, Runner, Stats, parse_pipeline
from goplugin.handshake import PluginFault

Make = Callable[..., Descriptor]
LIMIT = 30.0  # seconds for what takes milliseconds

# Gives 1 to COUNT that are not in the file `acked`; what was nacked it gives again.
FEED = """
COUNT = {count}

class Answering(Answers):
    lock = threading.Lock()
    left = None

    def initialised(self):
        return redpanda.BatchInputInitResponse(auto_replay_nacks={replays})

    def read(self, request):
        response = redpanda.BatchInputReadResponse()
        with self.lock:
            if self.left is None:
                acked = (self.here / "acked").read_text().split() if (self.here / "acked").exists() else []
                self.left = [number for number in range(1, COUNT + 1) if str(number) not in set(acked)]
            if not self.left:
                response.error.message = "the end"
                response.error.end_of_input.SetInParent()
                return response
            number = self.left.pop(0)
        response.batch_id = number
        response.batch.messages.add().bytes = b"%d" % number
        return response

    def ack(self, request):
        with self.lock:
            if request.error.message:
                self.note(f"nack {{request.batch_id}} {{request.error.message}}")
            else:
                with (self.here / "acked").open("a") as acked:
                    acked.write(f"{{request.batch_id}}\\n")
        return redpanda.BatchInputAckResponse()
"""
STORE = """
class Answering(Answers):
    lock = threading.Lock()

    def initialised(self):
        return redpanda.BatchOutputInitResponse(max_in_flight={in_flight}, batch_policy=redpanda.BatchPolicy({policy}))

    def send(self, request):
        response = redpanda.BatchOutputSendResponse()
        words = [message.bytes.decode() for message in request.batch.messages]
        with self.lock:
            if not self.trouble(words, response.error):
                with (self.here / "sent").open("a") as sent:
                    sent.write(" ".join(words) + "\\n")
        return response

    def trouble(self, words, error):
        return False
"""
PASS = """
class Answering(Answers):
    def initialised(self):
        return redpanda.BatchProcessorInitResponse()

    def process(self, request):
        response = redpanda.BatchProcessorProcessBatchResponse()
        if request.batch.messages[0].bytes != b"13":
            response.batches.add().CopyFrom(request.batch)
        return response
"""


class Place:
    """Three plugins, and the pipelines of them."""

    def __init__(self, here: Path, answering: Make) -> None:
        self.here, self._answering = here, answering
        self._count = 0
        for name in ("input", "processor", "output"):
            (here / name).mkdir()

    def runner(
        self,
        count: int = 20,
        replays: bool = True,
        in_flight: int = 1,
        policy: str = "",
        trouble: str = "",
        deafness: str = "",
        threads: int = 1,
        limits: Limits = Limits(restarts=1000, retries=1000),  # noqa: B008 - frozen
        batched: bool = False,
    ) -> Runner:
        self._count = count
        descriptors = [
            self._answering("input", FEED.format(count=count, replays=replays) + deafness),
            self._answering("processor", PASS),
            self._answering("output", STORE.format(in_flight=in_flight, policy=policy) + trouble),
        ]
        child = f"its_input: {{here: {self.here}/input}}"
        source = f"batched: {{child: {{{child}}}, policy: {{count: 3}}}}" if batched else child
        text = f"""
input: {{{source}}}
pipeline: {{threads: {threads}, processors: [its_processor: {{here: {self.here}/processor}}]}}
output: {{its_output: {{here: {self.here}/output}}}}
"""
        pipeline = parse_pipeline(text, "p.yaml", {}, {one.name: one for one in descriptors})
        return Runner(pipeline, limits=limits)

    @property
    def sent(self) -> list[list[int]]:
        path = self.here / "output" / "sent"
        return [[int(word) for word in line.split()] for line in path.read_text().splitlines()] if path.exists() else []

    @property
    def acked(self) -> list[int]:
        return [int(line) for line in (self.here / "input" / "acked").read_text().splitlines()]

    @property
    def wanted(self) -> list[int]:
        return [number for number in range(1, self._count + 1) if number != 13]  # which the processor drops


@pytest.fixture
def place(tmp_path: Path, answering: Make) -> Place:
    return Place(tmp_path, answering)


def test_batches_flow_from_plugin_to_plugin_and_each_is_acked_once(place: Place) -> None:
    stats = place.runner().run()
    assert place.sent == [[number] for number in place.wanted]
    assert sorted(place.acked) == list(range(1, 21))
    assert (stats.read.messages, stats.written.messages, stats.lost, stats.undelivered) == (20, 19, 0, 0)
    assert psutil.Process().children() == []


@pytest.mark.parametrize("batched", [False, True])
def test_batches_are_gathered_as_the_output_wants_them_and_acked_when_sent(place: Place, batched: bool) -> None:
    place.runner(policy="count=4", batched=batched).run()
    # The processor looks at the first of a batch alone.
    wanted = place.wanted if not batched else [number for number in range(1, 21) if number not in (13, 14, 15)]
    assert [number for batch in place.sent for number in batch] == wanted
    assert {len(batch) for batch in place.sent[:-1]} == {4}
    assert sorted(place.acked) == list(range(1, 21))


def test_a_period_sends_what_there_is(place: Place) -> None:
    place.runner(policy="count=1000, period='20ms'").run()
    assert [number for batch in place.sent for number in batch] == place.wanted


REFUSES = """
    def trouble(self, words, error):
        if words == ["5"] and {when}:
            error.message = "no room for five"
            return True
"""


def test_a_batch_that_is_refused_goes_through_again_where_the_input_wants_that(place: Place) -> None:
    stats = place.runner(trouble=REFUSES.format(when='self.first_time("refused")')).run()
    assert sorted(place.sent) == [[number] for number in place.wanted]
    assert sorted(place.acked) == list(range(1, 21))
    assert "nack" not in " ".join(notes(place.here / "input"))
    assert (stats.rejected, stats.replayed, stats.undelivered, stats.lost) == (1, 1, 0, 0)


def test_a_batch_that_is_refused_for_good_fails_the_run_and_is_the_inputs_again(place: Place) -> None:
    runner = place.runner(trouble=REFUSES.format(when="True"))
    with pytest.raises(RunFailed, match=r'failed 3 times, at last with: .*"no room for five"') as caught:
        runner.run()
    assert caught.value.part == "output"
    assert runner.stats.undelivered >= 1
    assert 5 not in place.acked
    assert any(note.startswith("nack 5 ") for note in notes(place.here / "input"))
    assert {number for (number,) in place.sent} == set(place.acked) - {13}


def test_an_input_that_wants_to_hear_of_a_failure_does_and_the_run_goes_on(place: Place) -> None:
    stats = place.runner(replays=False, trouble=REFUSES.format(when="True")).run()
    assert sorted(place.acked) == [number for number in range(1, 21) if number != 5]
    (nack,) = (note for note in notes(place.here / "input") if note.startswith("nack"))
    assert nack.startswith("nack 5 ")
    assert "no room for five" in nack
    assert stats.undelivered == 1


def test_many_batches_are_in_flight_where_the_output_takes_many(place: Place) -> None:
    trouble = """
    store, met = send, threading.Barrier(3)

    def send(self, request):
        if int(request.batch.messages[0].bytes) <= 3:
            self.met.wait(20)
        return self.store(request)
"""
    place.runner(in_flight=3, threads=2, trouble=trouble).run()
    assert sorted(place.sent) == [[number] for number in place.wanted]


def test_no_more_threads_are_started_than_make_sense_whatever_the_output_takes(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    trouble = """
    def trouble(self, words, error):
        while not (self.here / "go").exists():
            time.sleep(0.01)
"""
    counts: list[int] = []

    def progress(_: Stats) -> None:
        counts.append(threading.active_count())
        (place.here / "output" / "go").touch()

    place.runner(count=3, in_flight=3_000, trouble=trouble).run(progress)
    assert sorted(place.sent) == [[1], [2], [3]]
    assert 1_024 < counts[0] < 2_000
    assert "it takes 3000 batches at once, and gets at most 1024" in caplog.text


def test_stop_ends_the_reading_and_everything_read_is_settled(place: Place) -> None:
    runner = place.runner(count=100_000)

    def progress(stats: Stats) -> None:
        if stats.written.messages > 50:
            runner.stop()

    runner.run(progress)
    sent = [number for (number,) in place.sent]
    assert 50 < len(sent) < 100_000
    assert set(sent) == set(place.acked) - {13}


def test_an_output_that_is_lost_for_good_fails_the_run_and_what_it_did_not_take_is_not_acked(place: Place) -> None:
    trouble = "\n    def trouble(self, words, error):\n        words == ['7'] and die('exit')\n"
    runner = place.runner(trouble=trouble, limits=Limits(retries=1))
    with pytest.raises(RunFailed) as caught:
        runner.run()
    assert caught.value.part == "output"
    assert place.sent == [[number] for number in range(1, 7)]
    assert sorted(place.acked) == list(range(1, 7))
    assert psutil.Process().children() == []


# Hangs when it is told what became of a batch, though for no longer than its host may live.
DEAF = """
    def ack(self, request):
        self.note(f"deaf {request.batch_id}")
        time.sleep(600)
"""


def test_an_input_that_does_not_answer_what_became_of_its_batches_costs_one_timeout_and_ends_the_run(
    place: Place,
) -> None:
    runner = place.runner(count=100_000, deafness=DEAF, limits=Limits(call_timeout=10.0))
    with pytest.raises(RunFailed, match=r"^input: the plugin gave no answer to Ack within 10 s") as caught:
        runner.run()
    assert caught.value.part == "input"
    assert [note for note in notes(place.here / "input") if "deaf" in note] == ["deaf 1"]
    assert len(place.sent) > 1  # what was read went through
    assert psutil.Process().children() == []


def test_what_an_input_does_not_want_to_hear_can_be_given_up(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_runner, "_GIVE_UP_AFTER", LIMIT)  # for its threads to end by themselves
    trouble = "\n    def trouble(self, words, error):\n        die('exit')\n"
    runner = place.runner(trouble=trouble, deafness=DEAF, limits=Limits(restarts=0, call_timeout=LIMIT))
    killed = threading.Event()

    def progress(stats: Stats) -> None:
        if stats.undelivered and any("deaf" in note for note in notes(place.here / "input")) and not killed.is_set():
            killed.set()
            runner.kill()

    with pytest.raises(RunFailed, match=r"^output: "):
        runner.run(progress)
    assert killed.is_set()
    assert psutil.Process().children() == []


def test_an_output_that_never_answers_close_costs_its_timeout_and_no_error(place: Place) -> None:
    trouble = "\n    def close(self, request):\n        time.sleep(60)\n"
    place.runner(trouble=trouble, limits=Limits(close_timeout=0.5)).run()
    assert len(place.sent) == 19
    assert psutil.Process().children() == []


def test_a_batch_to_which_the_output_answers_with_a_status_goes_through_again(place: Place) -> None:
    trouble = """
    def trouble(self, words, error):
        if words == ["5"] and self.first_time("failed"):
            raise ValueError("too bad")
"""
    stats = place.runner(trouble=trouble).run()
    assert sorted(place.sent) == [[number] for number in range(1, 21) if number != 13]
    assert (stats.rejected, stats.replayed, stats.lost) == (1, 1, 0)


def test_an_input_that_fails_at_settling_is_warned_of(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    runner = place.runner(count=1)
    program = (place.here / "input.py").read_text()
    (place.here / "input.py").write_text(
        program.replace("return redpanda.BatchInputAckResponse()", "raise ValueError('disk')")
    )
    runner.run()
    assert "the plugin answered Ack with UNKNOWN" in caplog.text


@pytest.mark.parametrize("threads", [1, 3])
def test_plugins_that_are_killed_at_any_moment_cost_no_number_and_invent_none(place: Place, threads: int) -> None:
    # It does not get past its half before the first of them was killed.
    trouble = """
    def trouble(self, words, error):
        while int(words[0]) > 1500 and not (self.here / "killed").exists():
            time.sleep(0.01)
"""
    runner = place.runner(count=3000, in_flight=1 if threads == 1 else 4, threads=threads, trouble=trouble)
    over = threading.Event()
    chance = random.Random(threads)

    def kill() -> None:
        kills = 0
        while not over.wait(0.3) and kills < 12:
            children = [one for one in psutil.Process().children() if "_guardian_process" not in command(one)]
            plugins = [one for one in children if sys.executable in command(one)]
            if plugins and runner.stats.read.messages:
                chance.choice(plugins).send_signal(signal.SIGKILL)
                (place.here / "output" / "killed").touch()
                kills += 1

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        stats = runner.run(lambda stats: over.set() if stats.written.messages > 2500 else None)
    finally:
        over.set()
        killer.join()
    numbers = [number for batch in place.sent for number in batch]
    assert set(numbers) == set(place.wanted)
    assert set(place.acked) == set(range(1, 3001))
    assert stats.read.restarts + stats.written.restarts + sum(stage.restarts for stage in stats.stages) > 0
    if threads == 1:
        # In order but for what is given again: a number is never followed by one that was not given before it.
        firsts = list(dict.fromkeys(numbers))
        assert firsts == sorted(firsts)


def test_a_configuration_that_an_end_refuses_names_the_end(place: Place) -> None:
    runner = place.runner()
    program = (place.here / "output.py").read_text()
    (place.here / "output.py").write_text(
        program.replace("BatchOutputInitResponse(", "BatchOutputInitResponse(error=redpanda.Error(message='no'), ")
    )
    with pytest.raises(RunFailed) as caught:
        runner.run()
    assert caught.value.part == "output"
    assert type(caught.value.cause) is PluginFault
    assert psutil.Process().children() == []
