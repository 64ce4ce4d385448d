"""A plugin's process as its host has it: the line, a channel, what it prints. For the tests of pluginlib."""

import json
import os
import queue
import select
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Any

import grpc

from goplugin.handshake import Line, Unix
from goplugin.proto import plugin
from goplugin.proto.rpc import Method
from goplugin.transport import CHANNEL_OPTIONS, target

PROGRAMS = Path(__file__).parents[1] / "pluginlib" / "programs"
PATIENCE = 30.0  # seconds for what should take none; a loaded machine is slow, a broken plugin is slower
COOKIE = {"TEST_COOKIE": "yes"}


def command(*arguments: str, program: str = "plugin.py") -> list[str]:
    """Return the command line of a test program."""
    return [sys.executable, str(PROGRAMS / program), *arguments]


def environment(more: Mapping[str, str] | None = None, *, cookie: bool = True) -> dict[str, str]:
    """Return this process's environment without what a host would set, with the cookie and with ``more``."""
    paths = [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
    support = {"PYTHONPATH": os.pathsep.join(filter(None, paths))}
    own = {name: value for name, value in os.environ.items() if not name.startswith(("PLUGIN_", "TEST_COOKIE"))}
    return own | support | (COOKIE if cookie else {}) | dict(more or {})


def call(channel: grpc.Channel, method: Method[Any, Any]) -> Any:
    """Return the callable of a method."""
    make = {
        (False, False): channel.unary_unary,
        (False, True): channel.unary_stream,
        (True, True): channel.stream_stream,
    }[method.client_streaming, method.server_streaming]
    return make(method.path, request_serializer=method.request_bytes, response_deserializer=method.response_from)


def do(channel: grpc.Channel, action: str, /, method: str = "Do", **arguments: Any) -> Any:
    """Let the plugin perform an action, and return its result."""
    return json.loads(begin(channel, action, method, **arguments).result())


def begin(channel: grpc.Channel, action: str, /, method: str = "Do", **arguments: Any) -> Any:
    """Let the plugin perform an action, and return the call's future."""
    make: Any = channel.unary_unary
    return make(f"/test.Program/{method}").future(json.dumps({"do": action, **arguments}).encode(), timeout=PATIENCE)


def open_broker(channel: grpc.Channel) -> Any:
    """Open the broker stream, as every host does; it stays open until the call is cancelled."""
    over = threading.Event()

    def requests() -> Iterator[plugin.ConnInfo]:
        yield plugin.ConnInfo(service_id=1, network="unix", address="/tmp/a")
        over.wait()

    stream = call(channel, plugin.START_STREAM)(requests())
    if not stream.add_callback(over.set):
        over.set()
    return stream


class Stdio:
    """A reader of StreamStdio, on a thread."""

    def __init__(self, channel: grpc.Channel) -> None:
        self._arrived: queue.SimpleQueue[tuple[int, bytes] | None] = queue.SimpleQueue()
        self.out, self.err = bytearray(), bytearray()
        self.largest = 0
        self.status: grpc.StatusCode | None = None
        self._call = call(channel, plugin.STREAM_STDIO)(plugin.GoogleEmpty())
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        try:
            for data in self._call:
                self._arrived.put((data.channel, data.data))
            self.status = grpc.StatusCode.OK
        except grpc.RpcError:
            self.status = self._call.code()
        self._arrived.put(None)

    def until(self, text: bytes) -> None:
        """Read until the text has arrived on either channel, or the stream ended."""
        looked_at = {id(self.out): 0, id(self.err): 0}
        while True:
            for arrived in (self.out, self.err):
                if text in arrived[looked_at[id(arrived)] :]:
                    return
                looked_at[id(arrived)] = max(0, len(arrived) - len(text))
            if not self._take():
                raise AssertionError(f"the stream ended without {text!r}: {self.out[-500:]!r} {self.err[-500:]!r}")

    def all(self) -> None:
        """Read to the end of the stream."""
        while self._take():
            pass

    def cancel(self) -> None:
        """Go away, as a host that dies."""
        self._call.cancel()
        self._thread.join(PATIENCE)

    def _take(self) -> bool:
        arrived = self._arrived.get(timeout=PATIENCE)
        if arrived is None:
            return False
        channel, data = arrived
        self.largest = max(self.largest, len(data))
        if channel == plugin.StdioData.STDOUT:
            self.out += data
        else:
            assert channel == plugin.StdioData.STDERR
            self.err += data
        return True


class PluginProcess(AbstractContextManager["PluginProcess"]):
    """A started plugin. Leaving the context ends it if it still runs."""

    def __init__(
        self,
        *arguments: str,
        program: str = "plugin.py",
        env: Mapping[str, str] | None = None,
        cookie: bool = True,
        wrapper: tuple[str, ...] = (),
        **popen: Any,
    ) -> None:
        self.process = subprocess.Popen(
            [*wrapper, *command(*arguments, program=program)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(env, cookie=cookie),
            **popen,
        )
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self._stdout, self._stderr = self.process.stdout, self.process.stderr
        self._said = bytearray()
        self._speaking = threading.Thread(target=self._listen, daemon=True)
        self._speaking.start()
        self._channel: grpc.Channel | None = None

    def _listen(self) -> None:
        while data := os.read(self._stderr.fileno(), 64 * 1024):
            self._said += data

    def raw_line(self) -> bytes:
        """Return the first line of stdout; empty if the plugin ended instead."""
        assert select.select([self._stdout], [], [], PATIENCE)[0], "no line"
        line: bytes = self._stdout.readline()
        return line

    def ready(self) -> "PluginProcess":
        """Read the handshake line and open the channel."""
        raw = self.raw_line()
        assert raw, f"no handshake line; stderr: {self.stderr()!r}"
        self.line = Line.parse(raw)
        self.channel = grpc.insecure_channel(target(self.line.address), options=CHANNEL_OPTIONS)
        self._channel = self.channel
        return self

    @property
    def socket(self) -> Path:
        """Return the path at which it listens."""
        assert isinstance(self.line.address, Unix)
        return Path(self.line.address.path)

    def do(self, action: str, /, **arguments: Any) -> Any:
        """Let it perform an action."""
        return do(self.channel, action, **arguments)

    def begin(self, action: str, /, **arguments: Any) -> Any:
        """Let it begin an action, and return the call's future."""
        return begin(self.channel, action, **arguments)

    def shut_down(self) -> plugin.Empty:
        """Call Shutdown."""
        answer: plugin.Empty = call(self.channel, plugin.SHUTDOWN)(plugin.Empty(), timeout=PATIENCE)
        return answer

    def wait(self, within: float = PATIENCE) -> int:
        """Return the exit code, negative for a signal."""
        return self.process.wait(within)

    def stdout(self) -> bytes:
        """Return what is left on stdout, once the process ended."""
        self.wait()
        rest: bytes = self._stdout.read()
        return rest

    def stderr(self) -> bytes:
        """Return all that it wrote to descriptor 2, once the process ended."""
        self.wait()
        self._speaking.join(PATIENCE)
        return bytes(self._said)

    def records(self) -> list[dict[str, Any]]:
        """Return the hclog records on stderr, once the process ended."""
        return [json.loads(line) for line in self.stderr().splitlines() if line.startswith(b"{")]

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        if self._channel is not None:
            self._channel.close()
        self.process.terminate()  # it removes what is its own
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(PATIENCE)
            raise
        self._speaking.join(PATIENCE)
        self._stdout.close()
        self._stderr.close()
