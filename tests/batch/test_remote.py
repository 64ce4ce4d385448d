"""A processor in a plugin process: configured, called, started anew when it was lost, and never left behind."""

import logging
import os
import signal
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from time import monotonic

import psutil
import pytest
from batch_services import notes
from waiting import until

from goplugin.batch import BadFile, Config, Message
from goplugin.batch.host import Descriptor, Kind, Limits, Processor
from goplugin.handshake import MachineFault, Misuse, PluginFault, PluginLost

Make = Callable[..., Descriptor]
LIMIT = 20.0  # seconds for what takes milliseconds


@contextmanager
def started(descriptor: Descriptor, here: Path, **limits: float) -> Generator[Processor]:
    with Processor(descriptor, {"here": str(here)}, limits=Limits(**limits)) as processor:  # type: ignore[arg-type]
        yield processor


def sent(processor: Processor, *payloads: bytes) -> list[tuple[bytes, str | None]]:
    batches = processor.process([Message(payload) for payload in payloads])
    return [(message.payload, message.error) for batch in batches for message in batch]


def starts(here: Path) -> list[int]:
    return [int(line) for line in (here / "starts").read_text().splitlines()]


def test_a_batch_goes_to_the_plugin_and_comes_back(plugin: Make, tmp_path: Path) -> None:
    with started(plugin(), tmp_path) as processor:
        message = Message(b"a", metadata={"k": [1]}, error="before")
        assert processor.process([message]) == [[Message(b"A", metadata={"k": [1]}, error="before")]]
        assert sent(processor, b"split", b"drop", b"b") == [(b"split", None), (b"split", None), (b"B", None)]
        assert processor.process([Message(b"drop")]) == []
    assert (tmp_path / "closed").exists()


def test_one_bad_message_is_marked_and_the_others_are_not(plugin: Make, tmp_path: Path) -> None:
    with started(plugin(), tmp_path) as processor:
        assert sent(processor, b"a", b"fail", b"b") == [
            (b"A", None),
            (b"fail", "ValueError: too bad"),
            (b"B", None),
        ]


def test_it_runs_in_the_descriptors_directory_with_the_variables_given(plugin: Make, tmp_path: Path) -> None:
    program = """
import os
from goplugin import batch
@batch.processor
def where(message):
    return batch.Message(f"{os.getcwd()} {os.environ['GIVEN']}".encode())
if __name__ == "__main__":
    batch.serve(where)
"""
    with Processor(plugin(program, "where"), {}, env={"GIVEN": "x"}) as processor:
        assert sent(processor, b"") == [(f"{tmp_path} x".encode(), None)]


def test_it_inherits_the_variables_that_it_may(variables: Descriptor) -> None:
    for inherit_env, inherited in ((True, b"OURS_PUBLIC OURS_SECRET"), (["PATH", "OURS_P*"], b"OURS_PUBLIC")):
        with Processor(variables, {}, inherit_env=inherit_env) as processor:
            assert sent(processor, b"") == [(inherited, None)]


@pytest.mark.parametrize("death", [b"exit-once 0", b"exit-once 7", b"segv-once"])
@pytest.mark.fault(21)
def test_a_lost_plugin_is_started_and_configured_anew_and_gets_the_batch_again(
    plugin: Make, tmp_path: Path, death: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with started(plugin(), tmp_path) as processor:
        assert sent(processor, b"a", death, b"b") == [(b"A", None), (death.upper(), None), (b"B", None)]
        assert processor.restarted == 1
        assert sent(processor, b"c") == [(b"C", None)]
    first, second = starts(tmp_path)
    assert first != second
    (warning,) = (record for record in caplog.records if "starting it again" in record.getMessage())
    assert "(1 of 3)" in warning.getMessage()
    assert warning.name == "goplugin.batch.actor"


def test_a_plugin_that_dies_between_two_batches_is_started_anew(plugin: Make, tmp_path: Path) -> None:
    with started(plugin(), tmp_path) as processor:
        sent(processor, b"a")
        (pid,) = starts(tmp_path)
        os.kill(pid, signal.SIGKILL)
        until(lambda: not psutil.pid_exists(pid), LIMIT)
        assert sent(processor, b"b") == [(b"B", None)]
        assert processor.restarted == 1


@pytest.mark.fault(21)
def test_a_batch_that_kills_twice_is_not_sent_a_third_time(plugin: Make, tmp_path: Path) -> None:
    with started(plugin(), tmp_path) as processor:
        with pytest.raises(PluginLost) as caught:
            sent(processor, b"exit 9")
        assert (caught.value.exit_code, processor.restarted) == (9, 1)
        # The next one is another matter.
        assert sent(processor, b"a") == [(b"A", None)]
        assert processor.restarted == 2


@pytest.mark.fault(21)
def test_with_no_retry_the_first_loss_is_the_last(plugin: Make, tmp_path: Path) -> None:
    with started(plugin(), tmp_path, retries=0) as processor:
        with pytest.raises(PluginLost) as caught:
            sent(processor, b"signal 11")
        assert (caught.value.signal, processor.restarted) == ("SIGSEGV", 0)
    assert len(starts(tmp_path)) == 1


@pytest.mark.fault(21)
def test_a_plugin_that_leaves_in_the_middle_of_a_batch_is_lost_and_no_failure(plugin: Make, tmp_path: Path) -> None:
    """It cancels the call, which must not be taken for its answer."""
    with started(plugin(), tmp_path, retries=0) as processor:
        with pytest.raises(PluginLost):
            sent(processor, b"leave 20")
        assert processor.restarted == 0
        assert sent(processor, b"a") == [(b"A", None)]


def test_the_restarts_have_a_limit_in_all(plugin: Make, tmp_path: Path) -> None:
    with started(plugin(), tmp_path, retries=9, restarts=2) as processor:
        with pytest.raises(PluginLost):
            sent(processor, b"exit 1")
        assert processor.restarted == 2
        with pytest.raises(PluginLost):
            sent(processor, b"a")
    assert len(starts(tmp_path)) == 3


def test_a_plugin_that_cannot_start_again_uses_up_its_restarts(plugin: Make, tmp_path: Path) -> None:
    with started(plugin(), tmp_path) as processor:
        (tmp_path / "die at init").touch()
        with pytest.raises(PluginLost) as caught:
            sent(processor, b"exit 1")
        assert (caught.value.exit_code, processor.restarted) == (3, 3)
    assert len(starts(tmp_path)) == 4


def test_a_configuration_that_is_refused_leaves_no_process(plugin: Make, tmp_path: Path) -> None:
    processor = Processor(plugin(), {"here": str(tmp_path), "refuse": True})
    with pytest.raises(PluginFault, match='the plugin refused its configuration: "ValueError: not with me"'):
        processor.start()
    assert psutil.Process().children() == []


def test_a_plugin_that_dies_at_init_is_lost_with_its_exit_code(plugin: Make, tmp_path: Path) -> None:
    (tmp_path / "die at init").touch()
    processor = Processor(plugin(), {"here": str(tmp_path)})
    with pytest.raises(PluginLost) as caught:
        processor.start()
    assert caught.value.exit_code == 3


def test_a_program_that_is_not_there_is_a_fault_of_the_machine(plugin: Make) -> None:
    with pytest.raises(MachineFault, match="absent"):
        Processor(replace(plugin(), command=("./absent",)), {}).start()


def test_a_program_that_is_no_plugin_is_lost_with_what_it_said(plugin: Make) -> None:
    with pytest.raises(PluginLost, match="no plugin at all"):
        Processor(plugin("import sys\nsys.exit('no plugin at all')", "other"), {}).start()


SILENT = """
from goplugin import pluginlib
from goplugin.batch import HANDSHAKE
if __name__ == "__main__":
    pluginlib.serve(HANDSHAKE, plugins={"processor": lambda server, broker: None})
"""


def test_a_plugin_without_the_service_is_told_so(plugin: Make) -> None:
    with pytest.raises(PluginFault, match=r"is no processor, although its plugin\.yaml says so: it does not"):
        Processor(plugin(SILENT, "silent"), {}).start()
    assert psutil.Process().children() == []


def test_an_answer_that_does_not_come_in_time_is_a_fault(plugin: Make, tmp_path: Path) -> None:
    with started(plugin(), tmp_path, call_timeout=10.0) as processor:  # of Init, too
        begun = monotonic()
        with pytest.raises(PluginFault, match="the plugin gave no answer to ProcessBatch within 10 s"):
            sent(processor, b"sleep 60")
        assert monotonic() - begun < 60
    assert psutil.Process().children() == []


WHOLE = """
import grpc, time
from goplugin import pluginlib
from goplugin.batch import HANDSHAKE
from goplugin.proto import redpanda

def process(request, context):
    response = redpanda.BatchProcessorProcessBatchResponse()
    if request.batch.messages[0].bytes == b"split":
        for message in request.batch.messages:
            response.batches.add().messages.append(message)
        response.batches.add()
    elif request.batch.messages[0].bytes == b"textless":
        response.error.not_connected.SetInParent()
    else:
        response.error.message = "the whole batch"
    return response

def close(request, context):
    return redpanda.BatchProcessorCloseResponse()

def register(server, broker):
    answers = {"Init": lambda request, context: redpanda.BatchProcessorInitResponse(), "ProcessBatch": process}
    handlers = {
        method.name: grpc.unary_unary_rpc_method_handler(
            (answers | {"Close": close})[method.name], method.request_from, method.response_bytes
        )
        for method in redpanda.BATCH_PROCESSOR.methods
    }
    name = redpanda.BATCH_PROCESSOR.name
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, handlers),))

if __name__ == "__main__":
    pluginlib.serve(HANDSHAKE, plugins={"processor": register})
"""


def test_an_error_for_the_whole_batch_marks_each_message(plugin: Make) -> None:
    with Processor(plugin(WHOLE, "whole"), {}) as processor:
        assert sent(processor, b"a", b"b") == [(b"a", "the whole batch"), (b"b", "the whole batch")]
        assert sent(processor, b"textless") == [(b"textless", "not_connected")]


STATUS = """
class Answering(Answers):
    def initialised(self):
        return redpanda.BatchProcessorInitResponse()

    def process(self, request):
        if request.batch.messages[0].bytes == b"fail":
            raise ValueError("too bad")
        return redpanda.BatchProcessorProcessBatchResponse(batches=[request.batch])

    def close(self, request):
        self.note("close")
        return redpanda.BatchProcessorCloseResponse()
"""


def test_a_status_for_an_answer_marks_each_message_and_the_plugin_is_called_and_closed_as_ever(
    answering: Make, tmp_path: Path, launch: str
) -> None:
    answer = 'the plugin answered ProcessBatch with UNKNOWN: "Exception calling application: too bad"'
    with started(answering("processor", STATUS, launch), tmp_path) as processor:
        assert sent(processor, b"fail", b"a") == [(b"fail", answer), (b"a", answer)]
        assert sent(processor, b"b") == [(b"b", None)]
        assert sent(processor, b"fail") == [(b"fail", answer)]
        assert processor.restarted == 0
    assert notes(tmp_path) == ["init", "close"]


def test_a_batch_that_the_plugins_grpc_does_not_take_is_marked(answering: Make, tmp_path: Path) -> None:
    """As plugins on Redpanda's SDK take no more than gRPC's own 4 MiB; those that pluginlib serves take 256."""
    with started(answering("processor", STATUS, "redpanda"), tmp_path) as processor:
        [(_, error)] = sent(processor, b"x" * (5 << 20))
        assert "with RESOURCE_EXHAUSTED" in str(error)
        assert sent(processor, b"b") == [(b"b", None)]


def test_several_batches_come_back_as_several_and_an_empty_one_as_none(plugin: Make) -> None:
    with Processor(plugin(WHOLE, "whole"), {}) as processor:
        batches = processor.process([Message(b"split"), Message(b"b")])
        assert batches == [[Message(b"split")], [Message(b"b")]]


def test_what_close_raises_is_told_after_the_process_was_stopped(plugin: Make, tmp_path: Path) -> None:
    (tmp_path / "fail to close").touch()
    processor = Processor(plugin(), {"here": str(tmp_path)})
    processor.start()
    with pytest.raises(PluginFault, match='the plugin did not end its work well: "OSError: will not close"'):
        processor.close()
    assert psutil.Process().children() == []
    processor.close()


def test_a_plugin_that_dies_at_close_is_lost_with_its_exit_code(plugin: Make, tmp_path: Path) -> None:
    (tmp_path / "die at close").touch()
    processor = Processor(plugin(), {"here": str(tmp_path)})
    processor.start()
    with pytest.raises(PluginLost) as caught:
        processor.close()
    assert caught.value.exit_code == 4


def test_a_close_that_is_not_answered_in_time_is_told_after_the_process_was_stopped(
    plugin: Make, tmp_path: Path
) -> None:
    program = WHOLE.replace("    return redpanda.BatchProcessorCloseResponse()", "    time.sleep(60)")
    processor = Processor(plugin(program, "slow"), {}, limits=Limits(close_timeout=1.0))
    processor.start()
    with pytest.raises(PluginFault, match="the plugin gave no answer to Close within 1 s"):
        processor.close()
    assert psutil.Process().children() == []


def test_a_line_without_end_is_logged_in_pieces(plugin: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def pieces() -> list[str]:
        return [record.getMessage() for record in caplog.records if record.name == "goplugin.batch.actor"]

    with caplog.at_level(logging.INFO, "goplugin.batch"), started(plugin(), tmp_path) as processor:
        sent(processor, b"print-much")
        until(lambda: sum(map(len, pieces())) >= 10_000, LIMIT)  # a plugin that is stopped has but moments for it
    assert max(map(len, pieces())) == 4096
    assert "".join(pieces()) == "y" * 10_000


def test_a_plugin_whose_host_goes_without_close_ends_its_work_all_the_same(plugin: Make, tmp_path: Path) -> None:
    processor = Processor(plugin(), {"here": str(tmp_path)})
    processor.start()
    processor.kill()
    assert (tmp_path / "closed").exists()
    assert psutil.Process().children() == []


def test_kill_ends_a_call_in_another_thread_and_nothing_is_started_anew(plugin: Make, tmp_path: Path) -> None:
    processor = Processor(plugin(), {"here": str(tmp_path)})
    processor.start()
    errors: list[Exception] = []

    def call() -> None:
        try:
            processor.process([Message(b"sleep 60")])
        except (PluginLost, Misuse, PluginFault) as error:
            errors.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    processor.kill()
    thread.join(LIMIT)
    assert len(errors) == 1
    assert processor.restarted == 0
    assert len(starts(tmp_path)) == 1
    assert psutil.Process().children() == []
    processor.close()


def test_a_processor_that_was_killed_does_not_start(plugin: Make, tmp_path: Path) -> None:
    processor = Processor(plugin(), {"here": str(tmp_path)})
    processor.kill()
    with pytest.raises(Misuse, match="was killed"):
        processor.start()


def test_what_the_plugin_prints_and_logs_is_logged_under_its_name_as_harmless_text(
    plugin: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    wanted = {
        ("goplugin.batch.mine", "INFO", r"said \x1b[31maloud"),
        ("goplugin.batch.mine", "WARNING", "an error"),
        ("goplugin.batch.mine.actor", "WARNING", "logged"),
    }
    with (
        caplog.at_level(logging.INFO, "goplugin.batch"),
        Processor(plugin(), {"here": str(tmp_path)}, name="mine") as processor,
    ):
        sent(processor, b"print")
        until(lambda: wanted <= {(one.name, one.levelname, one.getMessage()) for one in caplog.records}, LIMIT)


def test_it_is_used_in_the_right_order_or_not_at_all(plugin: Make, tmp_path: Path) -> None:
    processor = Processor(plugin(), {"here": str(tmp_path)})
    with pytest.raises(Misuse, match="not running"):
        processor.process([])
    with processor, pytest.raises(Misuse, match="started before"):
        processor.start()
    with pytest.raises(Misuse, match="not running"):
        processor.process([])
    Processor(plugin(), {}).close()


def test_what_makes_no_sense_is_refused_before_anything_starts(plugin: Make) -> None:
    with pytest.raises(Misuse, match="describes an input"):
        Processor(replace(plugin(), kind=Kind.INPUT), {})
    with pytest.raises(Misuse, match="restarts and retries are not negative"):
        Limits(restarts=-1)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"her": "x"}, "her: got an unknown key, want 'here'? Known: here, refuse"),
        ({"here": 1}, "here: got int 1, want a string"),
        ({"refuse": "yes"}, "refuse: got string 'yes', want true or false"),
    ],
)
def test_a_configuration_that_does_not_fit_the_descriptor_is_refused_before_anything_starts(
    plugin: Make, tmp_path: Path, config: Config, message: str
) -> None:
    with pytest.raises(BadFile) as caught:
        Processor(plugin(), config)
    assert str(caught.value) == f"the configuration of actor (see {tmp_path}/actor.plugin.yaml): {message}"


def test_a_configuration_gets_the_descriptors_defaults(plugin: Make) -> None:
    program = """
from goplugin import batch
@batch.processor
def show(message, config):
    return batch.Message(structured=config)
if __name__ == "__main__":
    batch.serve(show)
"""
    with Processor(plugin(program, "show"), {"here": "x"}) as processor:
        assert processor.process([Message(b"")]) == [[Message(structured={"here": "x", "refuse": False})]]


def test_nothing_is_left_open(plugin: Make, tmp_path: Path) -> None:
    with started(plugin(), tmp_path) as processor:  # what is opened once for all
        sent(processor, b"a")
    before = len(os.listdir("/dev/fd"))
    for _ in range(3):
        with started(plugin(), tmp_path) as processor:
            sent(processor, b"a")
    until(lambda: len(os.listdir("/dev/fd")) <= before, LIMIT)  # grpc lets go of its pollers a moment later
