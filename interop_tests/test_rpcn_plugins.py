"""Plugins on Redpanda's own SDK for Go, one of each kind, under our host: from the same descriptors, unchanged."""

import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from leftovers import nothing_left as nothing_left
from lives import command
from redpanda import GUARDIAN, describe_rpcn, lines

from goplugin import batch
from goplugin.batch import Message
from goplugin.batch.host import Descriptor, Input, Limits, Output, Policy, Processor, SendFailed, load_descriptors
from goplugin.handshake import PluginFault, PluginLost

KINDS = ["input", "processor", "output"]


@pytest.fixture
def descriptors(tmp_path: Path) -> dict[str, Descriptor]:
    return load_descriptors([str(describe_rpcn(tmp_path, kind)) for kind in KINDS])


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "journal"


@pytest.fixture
def upper(descriptors: dict[str, Descriptor], journal: Path) -> Iterator[Processor]:
    config: batch.Config = {"suffix": "!", "fail_on": "bad", "exit_on": "boom", "journal": str(journal)}
    with Processor(descriptors["go_processor"], config, limits=Limits(restarts=2)) as processor:
        yield processor


def plugin() -> psutil.Process:
    [child] = (child for child in psutil.Process().children() if GUARDIAN not in command(child))
    return child


def test_a_processor_is_given_its_configuration_and_closed(upper: Processor, journal: Path) -> None:
    [[first, second]] = upper.process([Message(b"a", metadata={"k": 1}), Message(b""), Message(b"b")])
    assert (first.payload, first.metadata, second.payload) == (b"A!", {"k": 1}, b"B!")
    assert upper.process([Message(b"")]) == []
    upper.close()
    assert lines(journal) == ["init", "close"]


def test_an_error_of_a_processor_is_on_every_message_of_the_batch(upper: Processor) -> None:
    [[first, second]] = upper.process([Message(b"a"), Message(b"bad")])
    assert (first.payload, second.payload) == (b"a", b"bad")
    assert first.error == second.error == 'no upper case for "bad"'


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_processor_that_is_gone_is_started_anew_as_redpanda_connect_does_not(
    upper: Processor, how: signal.Signals
) -> None:
    """There, an exit is a panic, and a death by signal is never noticed: see test_engine.py."""
    process = plugin()
    process.send_signal(how)
    psutil.wait_procs([process], timeout=10)
    [[message]] = upper.process([Message(b"a")])
    assert (message.payload, upper.restarted) == (b"A!", 1)


def test_a_processor_that_exits_again_with_the_same_batch_is_given_up_with_its_exit_code(upper: Processor) -> None:
    with pytest.raises(PluginLost, match="exit code 3"):
        upper.process([Message(b"boom")])
    assert upper.restarted == 1


def test_an_input_is_read_to_its_end(descriptors: dict[str, Descriptor], journal: Path) -> None:
    with Input(descriptors["go_input"], {"count": 25, "journal": str(journal)}) as source:
        assert source.auto_replay_nacks
        read: list[list[str]] = []
        for delivery in source:
            read.append([message.text for message in delivery.messages])
            assert delivery.messages[0].metadata == {"first": len(read) * 10 - 10}
            delivery.ack()
        assert source.ended
    assert read == [[f"m{number}" for number in range(first, min(first + 10, 25))] for first in (0, 10, 20)]
    # Its SDK takes each Ack for Close: under no host does the plugin's own function for it run.
    assert Counter(line.split()[0] for line in lines(journal)) == {"init": 1, "connect": 1, "read": 3, "close": 4}


def test_an_input_that_was_killed_begins_anew(descriptors: dict[str, Descriptor]) -> None:
    with Input(descriptors["go_input"], {"count": 25}) as source:
        first = source.read()
        assert first is not None
        process = plugin()
        process.kill()
        psutil.wait_procs([process], timeout=10)
        first.ack()
        assert sum(len(delivery.messages) for delivery in source) == 25
        assert (source.restarted, source.orphaned) == (1, 1)


def test_a_configuration_that_an_input_refuses_is_not_tried_again(descriptors: dict[str, Descriptor]) -> None:
    with pytest.raises(PluginFault, match="batch is 0, and a batch has at least one message"):
        Input(descriptors["go_input"], {"count": 1, "batch": 0}).start()


def test_an_output_says_what_it_wants_and_gets_it(
    descriptors: dict[str, Descriptor], tmp_path: Path, journal: Path
) -> None:
    out = tmp_path / "out"
    config: batch.Config = {"path": str(out), "max_in_flight": 3, "count": 5, "period": "1s", "fail_on": "bad"}
    config["journal"] = str(journal)
    with Output(descriptors["go_output"], config) as sink:
        assert (sink.max_in_flight, sink.policy) == (3, Policy(count=5, period=1.0))
        sink.send([Message(b"a"), Message(b"b")])
        with pytest.raises(SendFailed, match="is not written"):
            sink.send([Message(b"c"), Message(b"bad")])
        process = plugin()
        process.kill()
        psutil.wait_procs([process], timeout=10)
        sink.send([Message(b"d")])
    assert lines(out) == ["a", "b", "d"]
    assert lines(journal) == ["init", "connect", "send 2", "init", "connect", "send 1", "close"]
