"""A plugin serves Redpanda Connect as its dynamic plugins do, and does not outlive it."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from leftovers import nothing_left as nothing_left
from leftovers import warm_grpc as warm_grpc
from waiting import until

from goplugin.batch._redpanda import ADDRESS, VERSION, asked
from goplugin.handshake import HostFault, Unix
from goplugin.proto import redpanda as rp
from goplugin.transport import CHANNEL_OPTIONS

LIMIT = 20.0  # seconds for one step

PROGRAM = """
import logging, os, sys, threading
from goplugin import batch
from goplugin.batch import _redpanda
_redpanda.LINGER = float(os.environ.get("LINGER", _redpanda.LINGER))

@batch.processor
class Shout:
    def __init__(self):
        print("opened", os.environ.get("REDPANDA_CONNECT_PLUGIN_ADDRESS"))
        logging.getLogger("shout").info("ready\\nfor %s", "work")
        logging.getLogger("shout").info("y" * 100_000)

    def process(self, message):
        if message.payload == b"fail":
            raise ValueError("not with me")
        if message.payload == b"timers":
            timers = [one for one in threading.enumerate() if isinstance(one, threading.Timer)]
            message.payload = b"%d" % len(timers)
        message.payload = message.payload.upper()
        return message

    def close(self):
        print("closed")
        if "FAIL" in os.environ:
            raise OSError("will not close")

if __name__ == "__main__":
    batch.serve(Shout)
"""


class Started:
    """The plugin as Redpanda Connect starts it: an address in the environment, what it prints read by the host."""

    def __init__(self, directory: Path, program: str, address: str, parent: list[str], **environment: str) -> None:
        (directory / "plugin.py").write_text(program)
        self.path = str(directory / "plugin.sock")
        self.stderr = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed with the rest; a pipe would fill up with nobody who reads it
        self.process = subprocess.Popen(
            [*parent, sys.executable, str(directory / "plugin.py")],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self.stderr,
            text=True,
            env={**os.environ, ADDRESS: address.format(self.path), **environment},
        )
        self.channel = grpc.insecure_channel(f"unix:{self.path}", CHANNEL_OPTIONS)

    def call(self, method: Any, **fields: Any) -> Any:
        limit = time.monotonic() + LIMIT
        while not os.path.exists(self.path) and self.process.poll() is None and time.monotonic() < limit:
            time.sleep(0.005)  # grpcio's own wait begins with a second
        caller: Any = self.channel.unary_unary(method.path, method.request_bytes, method.response_from)
        return caller(method.request(**fields), timeout=LIMIT, wait_for_ready=True)

    def terminated(self) -> tuple[int, str, str]:
        """Send SIGTERM, and return how it ended."""
        self.process.terminate()
        return self.end()

    def end(self) -> tuple[int, str, str]:
        out, _ = self.process.communicate(timeout=LIMIT)
        self.stderr.seek(0)
        return self.process.returncode, out, self.stderr.read()

    def close(self) -> None:
        self.channel.close()
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate(timeout=LIMIT)
        self.stderr.close()


@pytest.fixture
def start(nothing_left: str) -> Iterator[Any]:
    """Start the plugin; the socket lies where sockets' paths are short enough."""
    started: list[Started] = []

    def begin(
        address: str = "unix:{}", parent: tuple[str, ...] = (), program: str = PROGRAM, **environment: str
    ) -> Started:
        started.append(Started(Path(nothing_left), program, address, list(parent), **environment))
        return started[-1]

    yield begin
    for one in started:
        one.close()
    (Path(nothing_left) / "plugin.py").unlink(missing_ok=True)


@pytest.mark.parametrize("address", ["unix:{}", "unix://{}"])
@pytest.mark.parametrize("environment", [{}, {VERSION: "1"}])
def test_it_binds_exactly_that_path_and_ends_on_sigterm(start: Any, address: str, environment: dict[str, str]) -> None:
    plugin = start(address, **environment)
    assert plugin.call(rp.PROCESSOR_INIT).error.message == ""
    batch = rp.MessageBatch(messages=[rp.Message(bytes=b"a"), rp.Message(bytes=b"x" * 5_000_000)])
    (done,) = plugin.call(rp.PROCESSOR_PROCESS_BATCH, batch=batch).batches
    assert [len(message.bytes) for message in done.messages] == [1, 5_000_000]
    assert plugin.call(rp.PROCESSOR_CLOSE).error.message == ""
    plugin.process.send_signal(signal.SIGTERM)
    code, out, err = plugin.end()
    assert code == 0
    assert out == "opened None\nclosed\n"  # what it starts is not to bind the same path
    first, second, third = err.splitlines()
    assert (first, second) == ("INFO shout: ready", "for work")
    assert third.startswith("INFO shout: yyy")
    assert len(third) < 70_000
    assert not os.path.exists(plugin.path)


def test_a_socket_left_by_a_killed_process_is_replaced(start: Any) -> None:
    first = start()
    assert first.call(rp.PROCESSOR_INIT).error.message == ""
    first.process.kill()
    first.process.wait(LIMIT)
    assert os.path.exists(first.path)
    second = start()
    assert second.call(rp.PROCESSOR_INIT).error.message == ""
    assert second.terminated()[0] == 0


def test_sigint_is_left_to_the_host(start: Any) -> None:
    plugin = start()
    plugin.call(rp.PROCESSOR_INIT)
    plugin.process.send_signal(signal.SIGINT)
    assert len(plugin.call(rp.PROCESSOR_PROCESS_BATCH, batch=rp.MessageBatch(messages=[rp.Message()])).batches) == 1
    assert plugin.terminated()[:2] == (0, "opened None\nclosed\n")


@pytest.mark.parametrize("environment", [{}, {"FAIL": "1"}])
def test_after_close_it_leaves_by_itself_where_no_sigterm_comes(start: Any, environment: dict[str, str]) -> None:
    plugin = start(LINGER="2", **environment)  # the answer to Close must be out by then
    plugin.call(rp.PROCESSOR_INIT)
    assert bool(plugin.call(rp.PROCESSOR_CLOSE).error.message) == bool(environment)
    code, out, _ = plugin.end()
    assert (code, out) == (0, "opened None\nclosed\n")


def test_init_after_close_keeps_it(start: Any) -> None:
    plugin = start(LINGER="3600")
    plugin.call(rp.PROCESSOR_INIT)
    plugin.call(rp.PROCESSOR_CLOSE)
    plugin.call(rp.PROCESSOR_INIT)

    def timers() -> bytes:
        asked = rp.MessageBatch(messages=[rp.Message(bytes=b"timers")])
        (batch,) = plugin.call(rp.PROCESSOR_PROCESS_BATCH, batch=asked).batches
        return bytes(batch.messages[0].bytes)

    until(lambda: timers() == b"0", LIMIT)  # that of Close has an hour left, unless Init has stopped it
    assert plugin.terminated()[0] == 0


def test_the_loss_of_marks_is_told_once(start: Any) -> None:
    plugin = start()
    for _ in range(2):  # an Init anew is no new process
        plugin.call(rp.PROCESSOR_INIT)
        for text in (b"good", b"fail", b"fail"):
            plugin.call(rp.PROCESSOR_PROCESS_BATCH, batch=rp.MessageBatch(messages=[rp.Message(bytes=text)]))
    code, _, errors = plugin.terminated()
    assert code == 0
    assert errors.count("Redpanda Connect drops the mark of a single message") == 1


MARKER = """
from goplugin import batch

@batch.batch_input
def give():
    while True:
        yield [batch.Message(b"well"), batch.Message(b"badly read", error="no checksum")]

if __name__ == "__main__":
    batch.serve(give)
"""


def test_an_input_that_marks_messages_tells_of_their_loss_once_too(start: Any) -> None:
    plugin = start(program=MARKER)
    plugin.call(rp.INPUT_INIT)
    plugin.call(rp.INPUT_CONNECT)
    for _ in range(3):
        assert plugin.call(rp.INPUT_READ_BATCH).batch.messages[1].error.message == "no checksum"
    code, _, errors = plugin.terminated()
    assert code == 0
    assert errors.count("give marked a message as failed, and Redpanda Connect drops the mark") == 1


LARGE = """
import sys
from goplugin import batch

@batch.batch_input
class Give:
    def read(self):
        print("yaml" in sys.modules)
        return [batch.Message(b"x" * (3 << 20)), batch.Message(b"y" * (3 << 20))]

if __name__ == "__main__":
    batch.serve(Give)
"""


def test_an_input_gives_no_answer_that_is_too_long_for_redpanda_connect(start: Any) -> None:
    plugin = start(program=LARGE)
    plugin.call(rp.INPUT_INIT)
    plugin.call(rp.INPUT_CONNECT)
    for text in (b"x", b"y"):
        answer = plugin.call(rp.INPUT_READ_BATCH)
        assert [message.bytes for message in answer.batch.messages] == [text * (3 << 20)]
    assert plugin.terminated()[:2] == (0, "False\n")  # a plugin starts without what pipelines are written in


def test_it_does_not_outlive_the_process_that_started_it(start: Any) -> None:
    program = "import subprocess, sys, time; subprocess.Popen(sys.argv[1:]); time.sleep(3600)"
    plugin = start(parent=(sys.executable, "-c", program))
    plugin.call(rp.PROCESSOR_INIT)
    plugin.process.kill()
    code, out, _ = plugin.end()  # the pipes close when the plugin is gone, too
    assert (code, out) == (-signal.SIGKILL, "opened None\nclosed\n")


@pytest.mark.parametrize(
    ("environment", "text"),
    [
        ({VERSION: "2"}, 'REDPANDA_CONNECT_PLUGIN_VERSION is "2", and this plugin speaks version 1'),
        ({ADDRESS: "tcp:127.0.0.1:1"}, 'ADDRESS is "tcp:127.0.0.1:1", and this plugin serves at unix:PATH'),
        ({ADDRESS: "unix:"}, "a Unix socket path has 1 to 107 bytes"),
        ({ADDRESS: "unix:/nowhere/at/all.sock"}, "cannot listen at '/nowhere/at/all.sock'"),
    ],
)
def test_what_it_cannot_serve_is_refused_with_one_line(start: Any, environment: dict[str, str], text: str) -> None:
    code, out, err = start(**environment).end()
    assert (code, out) == (1, "")
    assert text in err.splitlines()[-1]


@pytest.mark.parametrize(
    ("given", "path"),
    [("unix:/a/b", "/a/b"), ("unix:///a/b", "/a/b"), ("unix:b c", "b c"), ("unix:/a:b", "/a:b"), ("unix:/é", "/é")],
)
def test_the_address_is_a_path_after_unix(given: str, path: str) -> None:
    assert asked({ADDRESS: given}) == Unix(path)


@pytest.mark.parametrize("given", ["", "/a", "unix", "tcp://a:1", "UNIX:/a", "unix:/" + 107 * "a"])
def test_other_addresses_are_refused(given: str) -> None:
    with pytest.raises(HostFault):
        asked({ADDRESS: given})
