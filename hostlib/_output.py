"""Delivers what a plugin writes: its stderr to logging, copies to the caller's sinks. Never reads a descriptor itself.

A sink that fails is told off once in the log and not called again; the plugin's bytes go on being read.
"""

import io
import logging
from collections.abc import Callable, Iterable
from time import monotonic
from traceback import print_exc
from typing import Protocol

from ..handshake import Misuse
from ._hclog import DEBUG, TRACE, Entry, legible
from ._stderr import LINE_PIECE, LINES_PER_SECOND, StderrLog, Window

CHUNK_SHOWN = 200  # bytes of a piece of stdout that are logged


class BinaryWriter(Protocol):
    """A binary file, or what writes like one."""

    def write(self, data: bytes, /) -> object:
        """Take ``data``."""
        ...


Sink = BinaryWriter | Callable[[bytes], object]
"""Where bytes go: a writable binary file, flushed after each piece, or a callable that takes bytes."""

if logging.getLevelName(TRACE) == f"Level {TRACE}":
    logging.addLevelName(TRACE, "TRACE")


class Tap:
    """One stream of bytes on its way to the caller's sink, or to nowhere."""

    def __init__(self, sink: Sink | None, name: str, logger: logging.Logger) -> None:
        self._write = _writer(sink)
        self._name, self._logger = name, logger

    def __call__(self, data: bytes) -> None:
        """Hand ``data`` over."""
        if self._write is None:
            return
        try:
            self._write(data)
        except Exception:
            self._write = None
            self._logger.exception("%s failed; what the plugin writes there is discarded from now on", self._name)


class Output:
    """The pipes of one plugin: stdout after the line, and stderr."""

    def __init__(
        self,
        name: str,
        logger: logging.Logger | None,
        stderr: Sink | None,
        piece: int = LINE_PIECE,
        stdout: Sink | None = None,
    ) -> None:
        self.logger = (logger if logger is not None else logging.getLogger("goplugin.hostlib")).getChild(name)
        self._stderr = StderrLog(piece)
        self._copy = Tap(stderr, "the sink for stderr", self.logger)
        self._stdout_copy = Tap(stdout, "the sink for stdout", self.logger)
        self._stdout_shown = Window(LINES_PER_SECOND)
        self._stdout_bytes = 0
        self._failed = False  # the log did

    def stdout(self, data: bytes) -> None:
        """The plugin wrote ``data`` to stdout, where nobody listens after the line but the caller's sink."""
        if data:
            self._stdout_copy(data)
        self._stdout_bytes += len(data)
        if data and self.logger.isEnabledFor(DEBUG) and self._stdout_shown.admits(monotonic()):
            self._log([Entry(DEBUG, f"{len(data)} bytes on stdout: {legible(data[:CHUNK_SHOWN])}")])

    def stderr(self, data: bytes) -> None:
        """The plugin wrote ``data`` to stderr."""
        self._copy(data)
        self._log(self._stderr.feed(data, monotonic(), self.logger.getEffectiveLevel()))

    def ended(self) -> None:
        """Nothing more is read."""
        self._log(self._stderr.end(monotonic(), self.logger.getEffectiveLevel()))
        if self._stdout_bytes:
            self._log([Entry(DEBUG, f"{self._stdout_bytes} bytes on stdout after its handshake line, in all")])

    def tail(self) -> tuple[bytes, ...]:
        """Return the last lines of stderr."""
        return self._stderr.tail()

    def _log(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            if not self.logger.isEnabledFor(entry.level):
                continue
            try:
                self.logger.handle(self._record(entry))
            except Exception:  # noqa: BLE001 - of the caller's filter or handler; the reading must go on
                if not self._failed:
                    self._failed = True
                    print_exc()  # where logging itself reports such a thing

    def _record(self, entry: Entry) -> logging.LogRecord:
        fields = dict(entry.fields)
        record = self.logger.makeRecord(
            self.logger.name, entry.level, "(plugin)", 0, entry.message, (), None, extra={"hclog": fields}
        )
        # Where formatters look for a traceback. Each line is indented, so that none passes for a record of its own.
        lines = str(fields.get("@exception", "")).splitlines()
        record.exc_text = "\n".join(f"    {legible(line)}" for line in lines) or None
        return record


def _writer(sink: Sink | None) -> Callable[[bytes], object] | None:
    if sink is None:
        return None
    write: Callable[[bytes], object] | None = getattr(sink, "write", None)
    if write is None:
        if not callable(sink):
            raise Misuse(f"a sink is a writable binary file or a callable that takes bytes, not {sink!r}")
        return sink
    if isinstance(sink, io.TextIOBase):
        raise Misuse(
            f"a sink takes bytes, and this is a text file: give its buffer, as in sys.stdout.buffer, not {sink!r}"
        )
    flush: Callable[[], object] | None = getattr(sink, "flush", None)

    def write_all(data: bytes) -> None:
        while data:
            count = write(data)
            data = data[count:] if isinstance(count, int) else b""  # an unbuffered file may take a part only
        if flush is not None:
            flush()

    return write_all
