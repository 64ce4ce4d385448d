"""An output in a plugin process: a batch is delivered once `send` returns, whatever happened to the plugin."""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import psutil
import pytest
from batch_services import notes

from goplugin.batch import Message
from goplugin.batch.host import Descriptor, Limits, NoAnswer, Output, Policy, SendFailed
from goplugin.handshake import Misuse, PluginFault, PluginLost

Make = Callable[..., Descriptor]
LIMIT = 20.0  # seconds for what takes milliseconds

STORE = """
class Answering(Answers):
    connected = False

    def initialised(self):
        policy = redpanda.BatchPolicy(count=10, byte_size=1000, period="1m30s")
        return redpanda.BatchOutputInitResponse(max_in_flight=4, batch_policy=policy)

    def connect(self, request):
        self.note("connect")
        self.connected = True
        return redpanda.BatchOutputConnectResponse()

    def send(self, request):
        response = redpanda.BatchOutputSendResponse()
        words = [message.bytes.decode() for message in request.batch.messages]
        if not self.connected:
            response.error.message = "connect first"
            response.error.not_connected.SetInParent()
        elif not self.trouble(words, response.error):
            self.note("send " + " ".join(words))
        return response

    def trouble(self, words, error):
        return False

    def close(self, request):
        self.note("close")
        return redpanda.BatchOutputCloseResponse()
"""


def opened(descriptor: Descriptor, here: Path, **limits: float) -> Output:
    return Output(descriptor, {"here": str(here)}, limits=Limits(**limits))  # type: ignore[arg-type]


def send(output: Output, *words: str) -> None:
    output.send([Message(word.encode()) for word in words])


def test_a_batch_is_sent_over_a_connection_and_the_plugin_says_how_it_wants_them(
    answering: Make, tmp_path: Path, launch: str
) -> None:
    with opened(answering("output", STORE, launch), tmp_path) as store:
        assert (store.max_in_flight, store.policy) == (4, Policy(count=10, byte_size=1000, period=90.0))
        send(store, "a", "b")
        send(store, "c")
    assert notes(tmp_path) == ["init", "connect", "send a b", "send c", "close"]
    assert psutil.Process().children() == []


def test_an_output_that_wants_nothing_special_gets_one_batch_at_a_time_as_it_comes(
    answering: Make, tmp_path: Path
) -> None:
    program = STORE.replace("max_in_flight=4, batch_policy=policy", "batch_policy=redpanda.BatchPolicy()")
    with opened(answering("output", program), tmp_path) as store:
        assert (store.max_in_flight, store.policy) == (1, None)


@pytest.mark.parametrize("death", ["exit", "segv", "kill"])
def test_a_batch_in_the_hands_of_a_plugin_that_dies_is_sent_again_to_the_next_one(
    answering: Make, tmp_path: Path, launch: str, death: str
) -> None:
    program = (
        STORE
        + f"""
    def trouble(self, words, error):
        if words == ["b"] and self.first_time("died"):
            die("{death}")
"""
    )
    with opened(answering("output", program, launch), tmp_path) as store:
        for word in "abc":
            send(store, word)
        assert store.restarted == 1
    assert notes(tmp_path) == ["init", "connect", "send a", "init", "connect", "send b", "send c", "close"]


def test_a_batch_that_kills_more_often_than_it_may_be_sent_again_is_an_error_and_the_next_one_is_another_matter(
    answering: Make, tmp_path: Path
) -> None:
    program = STORE + "\n    def trouble(self, words, error):\n        words == ['b'] and die('exit')\n"
    with opened(answering("output", program), tmp_path, restarts=9, retries=2) as store:
        with pytest.raises(PluginLost) as caught:
            send(store, "b")
        assert (caught.value.exit_code, store.restarted) == (1, 2)
        send(store, "c")
    assert notes(tmp_path)[-2:] == ["send c", "close"]


def test_many_threads_that_lose_one_plugin_start_one(answering: Make, tmp_path: Path) -> None:
    program = (
        STORE
        + """
    met = threading.Barrier(4)
    def trouble(self, words, error):
        if not (self.here / "died").exists():
            self.met.wait()
            if self.first_time("died"):
                die("kill")
            time.sleep(60)
"""
    )
    with opened(answering("output", program), tmp_path) as store, ThreadPoolExecutor(4) as pool:
        list(pool.map(partial(send, store), "abcd"))
        assert store.restarted == 1
    found = notes(tmp_path)
    assert sorted(found[-5:-1]) == ["send a", "send b", "send c", "send d"]
    assert found.count("init") == found.count("connect") == 2


@pytest.mark.parametrize("detail", ["not_connected.SetInParent()", "backoff.FromMilliseconds(10)"])
def test_a_batch_that_finds_no_connection_is_sent_over_the_next_one(
    answering: Make, tmp_path: Path, detail: str
) -> None:
    program = (
        STORE
        + f"""
    def trouble(self, words, error):
        if words == ["b"] and self.first_time("lost"):
            error.message = "gone"
            error.{detail}
            return True
"""
    )
    with opened(answering("output", program), tmp_path) as store:
        for word in "abc":
            send(store, word)
    assert notes(tmp_path) == ["init", "connect", "send a", "connect", "send b", "send c", "close"]


def test_a_connection_that_is_lost_with_every_batch_is_given_up(answering: Make, tmp_path: Path) -> None:
    program = (
        STORE + "\n    def trouble(self, words, error):\n        error.not_connected.SetInParent()\n        return 1\n"
    )
    with (
        opened(answering("output", program), tmp_path, connect_timeout=0.5) as store,
        pytest.raises(PluginFault, match=r'failed at Send again and again for 0.5 s, at last with "not_connected"'),
    ):
        send(store, "a")
    assert notes(tmp_path).count("connect") > 1


def test_a_batch_that_cannot_be_delivered_is_an_error_with_the_plugins_words_and_the_next_one_is_sent(
    answering: Make, tmp_path: Path
) -> None:
    program = (
        STORE
        + """
    def trouble(self, words, error):
        if words == ["b"]:
            error.message = "too \\x1b big"
            return True
"""
    )
    with opened(answering("output", program), tmp_path) as store:
        with pytest.raises(SendFailed) as caught:
            send(store, "b")
        assert caught.value.text == r'"too \x1b big"'
        send(store, "c")
    assert notes(tmp_path) == ["init", "connect", "send c", "close"]


def test_a_status_for_an_answer_fails_its_batch_and_the_plugin_is_called_and_closed_as_ever(
    answering: Make, tmp_path: Path, launch: str
) -> None:
    program = (
        STORE
        + """
    def trouble(self, words, error):
        if words == ["b"]:
            raise ValueError("too bad")
"""
    )
    with opened(answering("output", program, launch), tmp_path) as store:
        for word, fails in (("a", False), ("b", True), ("c", False), ("b", True)):
            if fails:
                with pytest.raises(SendFailed) as caught:
                    send(store, word)
                assert caught.value.text == '"UNKNOWN: Exception calling application: too bad"'
            else:
                send(store, word)
        assert store.restarted == 0
    assert notes(tmp_path) == ["init", "connect", "send a", "send c", "close"]


def test_a_status_for_an_answer_to_connect_is_no_connection(answering: Make, tmp_path: Path) -> None:
    trouble = "        if self.first_time('tried'):\n            raise ValueError('too bad')\n"
    program = STORE.replace("        self.connected = True\n", trouble + "        self.connected = True\n")
    with opened(answering("output", program), tmp_path) as store:
        send(store, "a")
    assert notes(tmp_path) == ["init", "connect", "connect", "send a", "close"]


def test_an_answer_that_does_not_come_in_time_is_a_fault(answering: Make, tmp_path: Path) -> None:
    program = STORE + "\n    def trouble(self, words, error):\n        time.sleep(60)\n"
    with (
        opened(answering("output", program), tmp_path, call_timeout=10.0) as store,  # of Init and Connect, too
        pytest.raises(NoAnswer, match=r"no answer to Send within 10 s"),
    ):
        send(store, "a")
    assert psutil.Process().children() == []


@pytest.mark.parametrize(
    ("policy", "message"),
    [('period="soon"', 'by the period "soon", which is no duration'), ('check="this"', "by a query in Bloblang")],
)
def test_a_policy_that_no_host_here_can_follow_is_refused(
    answering: Make, tmp_path: Path, policy: str, message: str
) -> None:
    program = STORE.replace('count=10, byte_size=1000, period="1m30s"', policy)
    with pytest.raises(PluginFault, match=message):
        opened(answering("output", program), tmp_path).start()
    assert psutil.Process().children() == []


def test_a_close_that_is_never_answered_as_redpandas_python_sdk_does_leaves_no_process(
    answering: Make, tmp_path: Path, launch: str
) -> None:
    program = STORE + "\n    def close(self, request):\n        time.sleep(60)\n"
    store = opened(answering("output", program, launch), tmp_path, close_timeout=0.5)
    store.start()
    send(store, "a")
    with pytest.raises(NoAnswer, match="Close"):
        store.close()
    assert psutil.Process().children() == []


class Heard(logging.Handler):
    """Notes when all of some words were logged."""

    def __init__(self, *words: str) -> None:
        super().__init__()
        self.missing, self.all = set(words), threading.Event()

    def emit(self, record: logging.LogRecord) -> None:
        self.missing.discard(record.getMessage())
        if not self.missing:
            self.all.set()


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_plugin_that_prints_without_end_is_never_blocked_and_every_line_is_logged(
    answering: Make, tmp_path: Path, launch: str, stream: str
) -> None:
    program = (
        STORE
        + f"""
    def trouble(self, words, error):
        print("x" * 200_000 + "\\nlast words of", words[0], file=sys.{stream}, flush=True)
"""
    )
    log, heard = logging.getLogger("test.printing"), Heard("last words of a", "last words of b")
    log.setLevel(logging.DEBUG)
    log.addHandler(heard)
    try:
        with Output(answering("output", program, launch), {"here": str(tmp_path)}, logger=log) as it:
            send(it, "a")
            send(it, "b")
            # A plugin that is stopped has moments only for what it has yet to say, too few on a busy machine.
            assert heard.all.wait(LIMIT), heard.missing
    finally:
        log.removeHandler(heard)


def test_the_last_words_of_a_plugin_that_dies_are_in_its_error(answering: Make, tmp_path: Path, launch: str) -> None:
    program = (
        STORE
        + """
    def trouble(self, words, error):
        os.write(2, b"the reason is this\\n" * 3)
        os._exit(5)
"""
    )
    with opened(answering("output", program, launch), tmp_path, retries=0) as store:
        with pytest.raises(PluginLost) as caught:
            send(store, "a")
        assert caught.value.exit_code == 5
        assert caught.value.stderr.count(b"the reason is this") == 3


def test_only_an_output_is_one(answering: Make) -> None:
    with pytest.raises(Misuse, match="describes an input, and this needs an output"):
        Output(answering("input", STORE), {})
