"""A NATS server with JetStream on loopback, and as much of a client as a test needs: subjects, requests, streams.

The client speaks NATS's own text protocol. Nothing outlives a `NatsServer`, its stored messages included.
"""

import base64
import json
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import provision
from waiting import until

PATIENCE = 20.0  # seconds for the server to start, and for each answer


class NatsServer:
    """nats-server, running on a port of its own choice. A context."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="nats-", dir="/tmp"))
        command = [str(provision.program("nats-server")), "--addr=127.0.0.1", "--port=-1", "--jetstream"]
        command += [f"--store_dir={self._folder}/store", f"--ports_file_dir={self._folder}"]
        self._log = open(self._folder / "log", "wb")  # noqa: SIM115 - closed with the server
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log)

    @property
    def url(self) -> str:
        """The address that clients connect to."""
        [ports] = self._folder.glob("*.ports")
        [url] = json.loads(ports.read_text())["nats"]
        return str(url)

    def __enter__(self) -> Self:
        try:
            # The file is there a moment before what is in it.
            until(lambda: any(ports.stat().st_size for ports in self._folder.glob("*.ports")), PATIENCE)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait(PATIENCE)
        self._log.close()
        shutil.rmtree(self._folder)


class Client:
    """A connection to the server. A context."""

    def __init__(self, url: str) -> None:
        host, port = url.removeprefix("nats://").split(":")
        self._socket = socket.create_connection((host, int(port)), timeout=PATIENCE)
        self._reader = self._socket.makefile("rb")
        self._read_line(b"INFO")
        self._send(b'CONNECT {"verbose":false,"pedantic":false}')
        self._send(b"SUB answers 1")

    def ask(self, subject: str, payload: bytes) -> dict[str, Any]:
        """Send a request; return its answer, which is JSON."""
        self._send(b"PUB %s answers %d" % (subject.encode(), len(payload)), payload)
        header = self._read_line(b"MSG")
        answer: dict[str, Any] = json.loads(self._reader.read(int(header.split()[-1])))
        self._reader.readline()
        assert "error" not in answer, answer
        return answer

    def api(self, subject: str, request: dict[str, object] | None = None) -> dict[str, Any]:
        """Ask JetStream's own interface."""
        return self.ask(f"$JS.API.{subject}", json.dumps(request).encode() if request is not None else b"")

    def publish(self, subject: str, payloads: list[bytes]) -> None:
        """Store messages in the stream of that subject, the last of them confirmed and so all."""
        for payload in payloads[:-1]:
            self._send(b"PUB %s %d" % (subject.encode(), len(payload)), payload)
        self.ask(subject, payloads[-1])

    def stored(self, stream: str) -> int:
        """How many messages a stream holds."""
        return int(self.api(f"STREAM.INFO.{stream}")["state"]["messages"])

    def everything(self, stream: str) -> list[bytes]:
        """The messages that a stream holds."""
        numbers = range(1, self.stored(stream) + 1)
        stored = (self.api(f"STREAM.MSG.GET.{stream}", {"seq": number}) for number in numbers)
        return [base64.b64decode(one["message"]["data"]) for one in stored]

    def _send(self, *lines: bytes) -> None:
        self._socket.sendall(b"\r\n".join([*lines, b""]))

    def _read_line(self, kind: bytes) -> bytes:
        while line := self._reader.readline():
            if line.startswith(kind):
                return line
            assert not line.startswith(b"-ERR"), line
            if line.startswith(b"PING"):
                self._send(b"PONG")
        raise ConnectionResetError("the NATS server closed the connection")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._reader.close()
        self._socket.close()
