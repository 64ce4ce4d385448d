"""An input in a plugin process: connected, read, told what became of each batch, and started anew when it was lost."""

import threading
from collections.abc import Callable
from pathlib import Path
from time import monotonic

import psutil
import pytest
from batch_services import notes
from waiting import until

from goplugin.batch import BadFile, Message
from goplugin.batch.host import Delivery, Descriptor, Input, Limits, NoAnswer
from goplugin.handshake import Misuse, PluginFault, PluginLost

Make = Callable[..., Descriptor]
LIMIT = 20.0  # seconds for what takes milliseconds

# Gives the numbers that are not in the file `acked`, one in a batch, whichever life it is in.
NUMBERS = """
class Answering(Answers):
    given, connected = set(), False

    def initialised(self):
        return redpanda.BatchInputInitResponse(auto_replay_nacks=True)

    def connect(self, request):
        self.note("connect")
        response = redpanda.BatchInputConnectResponse()
        if self.refuse_connect(response.error):
            return response
        self.connected = True
        return response

    def refuse_connect(self, error):
        return False

    def read(self, request):
        response = redpanda.BatchInputReadResponse()
        if not self.connected:
            response.error.message = "connect first"
            response.error.not_connected.SetInParent()
            return response
        acked = (self.here / "acked").read_text().split() if (self.here / "acked").exists() else []
        for number in range(1, 5):
            if str(number) not in acked and number not in self.given:
                if self.trouble(number, response.error):
                    return response
                self.given.add(number)
                response.batch_id = number
                response.batch.messages.add().bytes = b"%d" % number
                return response
        response.error.message = "the end"
        response.error.end_of_input.SetInParent()
        return response

    def trouble(self, number, error):
        return False

    def ack(self, request):
        self.note(f"{'nack' if request.error.message else 'ack'} {request.batch_id} {request.error.message}".strip())
        if not request.error.message:
            with (self.here / "acked").open("a") as acked:
                acked.write(f"{request.batch_id}\\n")
        return redpanda.BatchInputAckResponse()

    def close(self, request):
        self.note("close")
        return redpanda.BatchInputCloseResponse()
"""


def payloads(delivery: Delivery | None) -> list[bytes]:
    assert delivery is not None
    return [message.payload for message in delivery.messages]


def opened(descriptor: Descriptor, here: Path, **limits: float) -> Input:
    return Input(descriptor, {"here": str(here)}, limits=Limits(**limits))  # type: ignore[arg-type]


def test_batches_come_in_order_and_the_plugin_hears_of_each_once(answering: Make, tmp_path: Path, launch: str) -> None:
    with opened(answering("input", NUMBERS, launch), tmp_path) as feed:
        assert feed.auto_replay_nacks
        found: list[Message] = []
        for delivery in feed:
            found += delivery.messages
            if delivery.messages[0].payload == b"2":
                delivery.nack("no room")
            else:
                delivery.ack()
            with pytest.raises(Misuse, match="settled once"):
                delivery.ack()
        assert feed.ended
        assert feed.read() is None
    assert found == [Message(b"%d" % number) for number in range(1, 5)]
    assert notes(tmp_path) == ["init", "connect", "ack 1", "nack 2 no room", "ack 3", "ack 4", "close"]
    assert psutil.Process().children() == []


@pytest.mark.parametrize("death", ["exit", "segv", "kill"])
def test_what_was_not_settled_when_the_plugin_died_is_given_again_by_the_next_one(
    answering: Make, tmp_path: Path, launch: str, death: str
) -> None:
    program = (
        NUMBERS
        + f"""
    def trouble(self, number, error):
        if number == 3 and self.first_time("died"):
            die("{death}")
"""
    )
    with opened(answering("input", program, launch), tmp_path) as feed:
        first, second = feed.read(), feed.read()
        assert payloads(first) + payloads(second) == [b"1", b"2"]
        assert first is not None
        first.ack()
        assert payloads(feed.read()) == [b"2"]
        assert feed.restarted == 1
        assert second is not None
        second.ack()
        assert feed.orphaned == 1
        assert [payloads(delivery) for delivery in feed] == [[b"3"], [b"4"]]
    assert notes(tmp_path) == ["init", "connect", "ack 1", "init", "connect", "close"]


def test_a_plugin_that_is_lost_too_often_is_given_up(answering: Make, tmp_path: Path) -> None:
    program = NUMBERS + "\n    def trouble(self, number, error):\n        die('exit')\n"
    with opened(answering("input", program), tmp_path, restarts=2) as feed:
        with pytest.raises(PluginLost) as caught:
            feed.read()
        assert (caught.value.exit_code, feed.restarted) == (1, 2)
    assert psutil.Process().children() == []


def test_connect_is_tried_again_until_it_succeeds_and_before_any_read(answering: Make, tmp_path: Path) -> None:
    program = (
        NUMBERS
        + """
    def refuse_connect(self, error):
        if self.first_time("one") or self.first_time("two"):
            error.message = "nobody there"
            return True
"""
    )
    with opened(answering("input", program), tmp_path) as feed:
        assert payloads(feed.read()) == [b"1"]
    assert notes(tmp_path) == ["init", "connect", "connect", "connect", "close"]


def test_a_read_that_says_not_connected_makes_the_host_connect_again(answering: Make, tmp_path: Path) -> None:
    program = (
        NUMBERS
        + """
    def trouble(self, number, error):
        if number == 2 and self.first_time("lost"):
            error.message = "broken pipe"
            error.not_connected.SetInParent()
            return True
"""
    )
    with opened(answering("input", program), tmp_path) as feed:
        assert [payloads(delivery) for delivery in feed] == [[b"1"], [b"2"], [b"3"], [b"4"]]
    assert notes(tmp_path) == ["init", "connect", "connect", "close"]


def test_a_read_that_fails_otherwise_is_tried_again_on_the_same_connection(answering: Make, tmp_path: Path) -> None:
    program = (
        NUMBERS
        + """
    def trouble(self, number, error):
        if number == 2 and self.first_time("lost"):
            error.message = "try again"
            return True
"""
    )
    with opened(answering("input", program), tmp_path) as feed:
        assert len(list(feed)) == 4
    assert notes(tmp_path) == ["init", "connect", "close"]


def test_a_read_that_is_answered_with_a_status_is_tried_again_on_the_same_connection(
    answering: Make, tmp_path: Path, launch: str
) -> None:
    program = (
        NUMBERS
        + """
    def trouble(self, number, error):
        if number == 2 and self.first_time("failed"):
            raise ValueError("too bad")
"""
    )
    with opened(answering("input", program, launch), tmp_path) as feed:
        assert len(list(feed)) == 4
        assert feed.restarted == 0
    assert notes(tmp_path) == ["init", "connect", "close"]


def test_reads_that_fail_for_ever_are_given_up_however_short_each_is(answering: Make, tmp_path: Path) -> None:
    program = (
        NUMBERS
        + """
    def trouble(self, number, error):
        error.message = "no luck" if number == 2 else ""
        return number == 2
"""
    )
    with opened(answering("input", program), tmp_path, connect_timeout=1.0) as feed:
        first = feed.read()
        assert first is not None
        limit = monotonic() + LIMIT
        with pytest.raises(PluginFault, match="failed at ReadBatch again and again for 1 s, at last with"):
            all(feed.read(0.01) is None for _ in iter(lambda: monotonic() < limit, False))
        first.ack()


def test_a_read_that_fails_after_a_long_wait_is_no_failure_in_a_row(answering: Make, tmp_path: Path) -> None:
    program = (
        NUMBERS
        + """
    tries = 0

    def trouble(self, number, error):
        self.tries += 1
        time.sleep(0.9 if self.tries == 2 else 0)
        error.message = "no luck" if self.tries < 3 else ""
        return self.tries < 3
"""
    )
    with opened(answering("input", program), tmp_path, connect_timeout=0.5) as feed:
        delivery = feed.read(LIMIT)
        assert payloads(delivery) == [b"1"]
        assert delivery is not None
        delivery.ack()


def test_a_plugin_that_asks_for_patience_is_left_alone_for_so_long(answering: Make, tmp_path: Path) -> None:
    program = (
        NUMBERS
        + """
    def refuse_connect(self, error):
        if self.first_time("one"):
            error.message = "later"
            error.backoff.FromMilliseconds(700)
            return True
"""
    )
    with opened(answering("input", program), tmp_path, connect_timeout=0.2) as feed:
        begun = monotonic()
        assert payloads(feed.read()) == [b"1"]
        assert monotonic() - begun >= 0.7


def test_a_connection_that_never_comes_is_given_up_with_the_plugins_own_words(answering: Make, tmp_path: Path) -> None:
    program = (
        NUMBERS
        + """
    def refuse_connect(self, error):
        error.message = "no \\x1b route"
        return True
"""
    )
    message = r'failed at Connect again and again for 0.5 s, at last with "no \\x1b route"'
    with (
        opened(answering("input", program), tmp_path, connect_timeout=0.5) as feed,
        pytest.raises(PluginFault, match=message),
    ):
        feed.read()
    assert notes(tmp_path).count("connect") > 1


def test_a_configuration_that_is_refused_is_refused_for_good(answering: Make, tmp_path: Path, launch: str) -> None:
    program = NUMBERS.replace(
        "return redpanda.BatchInputInitResponse(auto_replay_nacks=True)",
        "return redpanda.BatchInputInitResponse(error=redpanda.Error(message='no such topic'))",
    )
    feed = opened(answering("input", program, launch), tmp_path)
    with pytest.raises(PluginFault, match='the plugin refused its configuration: "no such topic"'):
        feed.start()
    assert notes(tmp_path) == ["init"]
    assert psutil.Process().children() == []


SILENT = (
    NUMBERS
    + """
    def trouble(self, number, error):
        if number == 2 and not (self.here / "go on").exists():
            self.note("waiting")
            while not (self.here / "go on").exists():
                time.sleep(0.01)
"""
)


def test_a_read_that_times_out_loses_nothing(answering: Make, tmp_path: Path) -> None:
    with opened(answering("input", SILENT), tmp_path) as feed:
        assert payloads(feed.read()) == [b"1"]
        assert feed.read(0.05) is None
        assert feed.read(0.05) is None
        assert not feed.ended
        until(lambda: "waiting" in notes(tmp_path), LIMIT)
        (tmp_path / "go on").touch()
        assert payloads(feed.read(LIMIT)) == [b"2"]
    assert notes(tmp_path).count("waiting") == 1


@pytest.mark.parametrize("end", ["interrupt", "kill"])
def test_a_reader_that_waits_can_be_told_to_return(answering: Make, tmp_path: Path, end: str) -> None:
    feed = opened(answering("input", SILENT), tmp_path)
    feed.start()
    assert payloads(feed.read()) == [b"1"]
    results: list[Delivery | PluginLost | None] = []

    def read() -> None:
        try:
            results.append(feed.read())
        except PluginLost as loss:
            results.append(loss)

    thread = threading.Thread(target=read)
    thread.start()
    until(lambda: "waiting" in notes(tmp_path), LIMIT)
    getattr(feed, end)()
    thread.join(LIMIT)
    assert len(results) == 1
    assert (results[0] is None) == (end == "interrupt")
    (tmp_path / "go on").touch()
    feed.close()
    assert psutil.Process().children() == []


@pytest.mark.parametrize("seconds", [3600, 300_000_000_000])
def test_a_reader_that_waits_for_a_connection_can_be_told_to_return(
    answering: Make, tmp_path: Path, seconds: int
) -> None:
    refusal = f"\n    def refuse_connect(self, error):\n        error.backoff.seconds = {seconds}\n        return 1\n"
    program = NUMBERS + refusal
    answers: list[Delivery | None] = []
    with opened(answering("input", program), tmp_path) as feed:
        thread = threading.Thread(target=lambda: answers.append(feed.read()))
        thread.start()
        until(lambda: (tmp_path / "notes").exists() and notes(tmp_path)[-1:] == ["connect"], LIMIT)
        thread.join(0.2)  # it waits, and does not fail at the length of the wait
        assert thread.is_alive()
        feed.interrupt()
        thread.join(LIMIT)
        assert answers == [None]


def test_a_plugin_that_cannot_settle_says_so(answering: Make, tmp_path: Path) -> None:
    program = (
        NUMBERS
        + """
    def ack(self, request):
        return redpanda.BatchInputAckResponse(error=redpanda.Error(message="never heard of it"))
"""
    )
    with opened(answering("input", program), tmp_path) as feed:
        delivery = feed.read()
        assert delivery is not None
        with pytest.raises(PluginFault, match='failed at settling batch 1: "never heard of it"'):
            delivery.ack()


def test_a_close_that_is_never_answered_costs_its_timeout_and_leaves_no_process(
    answering: Make, tmp_path: Path, launch: str
) -> None:
    program = NUMBERS + "\n    def close(self, request):\n        time.sleep(60)\n"
    feed = opened(answering("input", program, launch), tmp_path, close_timeout=0.5)
    feed.start()
    with pytest.raises(NoAnswer, match=r"no answer to Close within 0.5 s"):
        feed.close()
    assert psutil.Process().children() == []
    feed.close()


def test_a_close_with_an_error_is_told_and_leaves_no_process(answering: Make, tmp_path: Path, launch: str) -> None:
    program = (
        NUMBERS
        + """
    def close(self, request):
        return redpanda.BatchInputCloseResponse(error=redpanda.Error(message="not well"))
"""
    )
    feed = opened(answering("input", program, launch), tmp_path)
    feed.start()
    with pytest.raises(PluginFault, match='did not end its work well: "not well"'):
        feed.close()
    assert psutil.Process().children() == []


def test_only_an_input_with_a_fitting_configuration_is_one(answering: Make) -> None:
    descriptor = answering("input", NUMBERS)
    with pytest.raises(BadFile, match="hree: got an unknown key"):
        Input(descriptor, {"hree": "x"})
    with pytest.raises(Misuse, match="describes an output, and this needs an input"):
        Input(answering("output", NUMBERS), {})
