"""Python's logging, as a go-plugin host reads it: one JSON object a line on stderr, in the format of hclog.

`serve` installs the handler on the root logger where logging is not configured. By hand:

    logging.getLogger("my.plugin").addHandler(hclog.Handler())

The host filters by level, as it does for a Go plugin. Fields given as `extra=` arrive as key-value pairs.
"""

import logging
import math
import os
import sys
import threading
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime
from types import TracebackType

__all__ = ["LINE_MAX", "TRACE", "Handler", "install", "line"]

TRACE = 5
"""hclog's lowest level, which logging lacks: ``logger.log(hclog.TRACE, …)``."""

LINE_MAX = 64 * 1024
"""Bytes in one line with its end: the Go host's buffer. A longer line arrives in fragments at level debug."""

STDERR = 2

_LEVELS = ((logging.ERROR, "error"), (logging.WARNING, "warn"), (logging.INFO, "info"), (logging.DEBUG, "debug"))
_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}
_CHATTY = ("grpc", "asyncio")
_INT_BITS = 1024
# What a value may take when the line is too long, tried in turn: a few long values, or ever more of them.
_CLIPS = (24 * 1024, 4 * 1024, 512, 64)


def line(level: str, message: str, fields: Mapping[str, object] | None = None, created: float | None = None) -> bytes:
    """Return one record as a line of at most LINE_MAX bytes; ``created`` is seconds since the epoch, now if None."""
    when = datetime.now(UTC) if created is None else datetime.fromtimestamp(created, UTC)
    # The host takes exactly six decimals (log_entry.go:60); a line that it cannot parse loses its level.
    stamp = when.strftime("%Y-%m-%dT%H:%M:%S.%f") + "Z"
    head: dict[str, object] = {"@level": level, "@message": message, "@timestamp": stamp}
    body = {key: _plain(value) for key, value in (fields or {}).items()}
    raw = _line(head | body)
    for limit in _CLIPS:
        if len(raw) <= LINE_MAX:
            return raw
        clipped = {key: _clip(value, limit) for key, value in body.items()}
        raw = _line(head | {"@message": _clip(message, limit)} | clipped)
    if len(raw) > LINE_MAX:  # thousands of fields
        raw = _line(head | {"@message": _clip(message, _CLIPS[0]), "@fields_dropped": len(body)})
    return raw


def _line(record: dict[str, object]) -> bytes:
    return _encode(record).encode("ascii") + b"\n"


def _encode(value: object) -> str:
    import json  # the first record pays for it, and not the start of every plugin

    # ASCII only: lone surrogates and line separators cannot break the line.
    return json.dumps(value, allow_nan=False, default=_text)


def _plain(value: object) -> object:
    """Return the value if JSON has it, else its text."""
    match value:
        case None | bool() | str():
            return value
        case int() if value.bit_length() <= _INT_BITS:  # more digits than CPython converts would raise
            return value
        case float() if math.isfinite(value):
            return value
        case _ if isinstance(value, dict | list | tuple):
            import json

            try:
                # Through text and back: another thread of the program may change the value at any time.
                return json.loads(_encode(value))
            except (TypeError, ValueError, RuntimeError):
                return _text(value)
        case _:
            return _text(value)


def _text(value: object) -> str:
    try:
        return str(value)
    except Exception as error:  # noqa: BLE001 - a value of the program must not keep its message from the log
        return f"<{type(value).__name__} without text: {type(error).__name__}>"


def _clip(value: object, limit: int) -> object:
    encoded = _encode(value)
    if len(encoded) <= limit:
        return value
    text = value if isinstance(value, str) else encoded
    kept = text[:limit]
    while (size := len(_encode(kept))) > limit:
        kept = kept[: len(kept) * limit // size]
    return f"{kept}… (+{len(text) - len(kept)} characters)"


def _level(number: int) -> str:
    return next((name for least, name in _LEVELS if number >= least), "trace")


class Handler(logging.Handler):
    """Writes each record as one line to a descriptor, the process's stderr by default.

    Nothing that a record holds can make it fail, and neither can a host that no longer listens.
    """

    def __init__(self, descriptor: int = STDERR, level: int = logging.NOTSET) -> None:
        super().__init__(level)
        self._descriptor = descriptor

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record."""
        write(format_record(record), self._descriptor)


def format_record(record: logging.LogRecord) -> bytes:
    """Return the line for a record."""
    fields: dict[str, object] = {"@module": record.name} if record.name != "root" else {}
    try:
        message = record.getMessage()
    except Exception as error:  # noqa: BLE001 - arguments that do not fit the message are the program's mistake
        message = _text(record.msg)
        fields |= {"@args": _text(record.args), "@format_error": f"{type(error).__name__}: {_text(error)}"}
    if record.exc_info and record.exc_info[0] is not None:
        fields["@exception"] = _traceback(*record.exc_info)
    elif record.exc_text:
        fields["@exception"] = record.exc_text
    if record.stack_info:
        fields["@stack"] = record.stack_info
    for key, value in record.__dict__.items():
        if key not in _STANDARD:
            name = _text(key)  # logging takes any dict for `extra`
            fields[f"extra.{name}" if name.startswith("@") else name] = value
    return line(_level(record.levelno), message, fields, record.created)


def _traceback(kind: type[BaseException], error: BaseException | None, where: TracebackType | None) -> str:
    try:
        return "".join(traceback.format_exception(kind, error, where)).rstrip("\n")
    except Exception as failure:  # noqa: BLE001 - an exception whose own text raises
        return f"{kind.__name__} (its traceback cannot be shown: {type(failure).__name__})"


_writing = threading.RLock()


def _forget_writers() -> None:
    """In a forked child: a thread that was writing exists in the parent only, and would never be done."""
    global _writing
    _writing = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_writers)


def write(data: bytes, descriptor: int = STDERR) -> None:
    """Write a line as a whole, and never fail: without a host there is nobody to tell."""
    if descriptor == STDERR and sys.__stderr__ is None:
        return  # closed before the interpreter started: by now the number may be some other file's
    with _writing:
        rest = memoryview(data)
        try:
            # A line over PIPE_BUF may be taken in pieces, between which only other processes could write.
            while rest:
                rest = rest[os.write(descriptor, rest) :]
        except OSError:
            return  # the reader of stderr is gone (EPIPE), or it was closed


def report(kind: type[BaseException], error: BaseException | None, where: TracebackType | None, message: str) -> None:
    """Write an exception that nobody caught, at level error."""
    write(line("error", message, {"@exception": _traceback(kind, error, where)}))


def install() -> bool:
    """Send the root logger's records to the host, unless logging is configured already; return whether it did.

    The root logger then lets everything pass, for the host filters by level as it does for a Go plugin. Only the
    loggers of what goplugin itself stands on start at info: at debug, grpcio has several records for each call.
    """
    root = logging.getLogger()
    if root.handlers:
        return False
    logging.addLevelName(TRACE, "TRACE")
    root.addHandler(Handler())
    if root.level == logging.WARNING:  # Python's default, which would hide info from a host that wants it
        root.setLevel(TRACE)
        for name in _CHATTY:
            logger = logging.getLogger(name)
            if logger.level == logging.NOTSET:
                logger.setLevel(logging.INFO)
    return True
