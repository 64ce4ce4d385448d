"""The inputs and outputs that are built in, as their settings describe them: tables from name to parser.

Names and meanings are Redpanda Connect's, so that a pipeline file runs there too (benthos, internal/impl/io, scanner
`lines`, input `batched`). Decides what settings say; opens nothing.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from ._document import Located, choose

LINE_MAX = 65_536
"""Bytes in one line with its delimiter, unless max_buffer_size says otherwise: Redpanda Connect's own default."""

_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Lines:
    """The scanner that makes a message of each line.

    Attributes:
        delimiter: what ends a line; None is a line feed, and a carriage return before it goes too.
        max_size: the most bytes that a line may have, its delimiter included.
        omit_empty: whether empty lines make no message.
    """

    delimiter: bytes | None = None
    max_size: int = LINE_MAX
    omit_empty: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FileInput:
    """The files that ``paths``, which may be globs, name, one after the other.

    Attributes:
        where: where the paths are written, for errors.
    """

    paths: tuple[str, ...]
    lines: Lines = Lines()
    where: str = "paths"


@dataclass(frozen=True, slots=True, kw_only=True)
class StdinInput:
    """What arrives on standard input."""

    lines: Lines = Lines()


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """When a batch is full: each limit counts if it is over zero, and at least one is.

    Attributes:
        count: messages.
        byte_size: bytes of payload.
        period: seconds since the last batch.
    """

    count: int = 0
    byte_size: int = 0
    period: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Batched:
    """Another input, its messages gathered into batches."""

    child: "Input"
    policy: Policy


Input: TypeAlias = FileInput | StdinInput | Batched


@dataclass(frozen=True, slots=True, kw_only=True)
class FileOutput:
    """A file that messages are appended to, each ended by ``suffix`` unless it ends so already."""

    path: str
    suffix: bytes = b"\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class StdoutOutput:
    """Standard output; ``suffix`` as in `FileOutput`."""

    suffix: bytes = b"\n"


Output: TypeAlias = FileOutput | StdoutOutput


def parse_input(found: Located) -> Input:
    """Return the input that a mapping of its name to its settings describes.

    Raises:
        BadFile: there is none such, or its settings are wrong.
    """
    return choose(found, _INPUTS, "input")[1]


def parse_output(found: Located) -> Output:
    """Return the output that a mapping of its name to its settings describes.

    Raises:
        BadFile: there is none such, or its settings are wrong.
    """
    return choose(found, _OUTPUTS, "output")[1]


def parse_duration(text: str) -> float | None:
    """Return the seconds of a duration as Go writes it, such as ``1m30s`` or ``500ms``, or None if it is none.

    Negative durations are none: nothing here waits that long.
    """
    rest = text.removeprefix("+")
    if rest == "0":
        return 0.0
    total, end = 0.0, 0
    for part in _PART.finditer(rest):
        if part.start() != end:
            return None
        total, end = total + float(part.group(1)) * _UNITS[part.group(2)], part.end()
    return total if end and end == len(rest) else None


def _file_input(found: Located) -> Input:
    entries = found.entries(("paths", "scanner"), required=("paths",))
    paths = entries["paths"].items(want="a list of paths")
    if not paths:
        raise entries["paths"].error(got="an empty list", want="a list of paths")
    where = f"{found.file}:{entries['paths'].line}: {entries['paths'].spelled()}"
    return FileInput(paths=tuple(_path(path) for path in paths), lines=_scanner(entries.get("scanner")), where=where)


def _stdin_input(found: Located) -> Input:
    return StdinInput(lines=_scanner(found.entries(("scanner",)).get("scanner")))


def _batched(found: Located) -> Input:
    entries = found.entries(("child", "policy"), required=("child", "policy"))
    return Batched(child=parse_input(entries["child"]), policy=_policy(entries["policy"]))


def _policy(found: Located) -> Policy:
    entries = found.entries(("count", "byte_size", "period"))
    count, byte_size = (
        entries[name].integer(least=0, want=f"a number of {what}, or 0 for no limit") if name in entries else 0
        for name, what in (("count", "messages"), ("byte_size", "bytes"))
    )
    period = _period(entries["period"]) if "period" in entries else 0.0
    if not (count or byte_size or period):
        raise found.error(got="no limit", want="at least one of count, byte_size and period over zero")
    return Policy(count=count, byte_size=byte_size, period=period)


def _period(found: Located) -> float:
    text = found.string('a duration such as "500ms"')
    seconds = parse_duration(text or "0")
    if seconds is None:
        raise found.wrong('a duration such as "1s" or "500ms"')
    return seconds


def _scanner(found: Located | None) -> Lines:
    return Lines() if found is None else choose(found, {"lines": _lines}, "scanner")[1]


def _lines(found: Located) -> Lines:
    entries = found.entries(("custom_delimiter", "max_buffer_size", "omit_empty"))
    delimiter = entries["custom_delimiter"].string() if "custom_delimiter" in entries else ""
    return Lines(
        delimiter=delimiter.encode() or None,
        max_size=entries["max_buffer_size"].integer(least=1, want="a number of bytes over 0")
        if "max_buffer_size" in entries
        else LINE_MAX,
        omit_empty=entries["omit_empty"].boolean() if "omit_empty" in entries else False,
    )


def _file_output(found: Located) -> Output:
    entries = found.entries(("path", "codec"), required=("path",))
    return FileOutput(path=_path(entries["path"]), suffix=_codec(entries.get("codec")))


def _stdout_output(found: Located) -> Output:
    return StdoutOutput(suffix=_codec(found.entries(("codec",)).get("codec")))


def _codec(found: Located | None) -> bytes:
    if found is None:
        return b"\n"
    codec = found.string()
    if codec.startswith("delim:") and codec != "delim:":
        return codec.removeprefix("delim:").encode()
    if codec not in ("lines", "append"):
        raise found.wrong("lines, append, or delim: and a delimiter")
    return b"\n" if codec == "lines" else b""


def _path(found: Located) -> str:
    path = found.string(want="a path")
    if not path or "\0" in path:
        raise found.wrong("a path")
    if "${!" in path:
        raise found.wrong("a path without interpolation functions, which only Redpanda Connect has")
    return path


_INPUTS: dict[str, Callable[[Located], Input]] = {"file": _file_input, "stdin": _stdin_input, "batched": _batched}
_OUTPUTS: dict[str, Callable[[Located], Output]] = {"file": _file_output, "stdout": _stdout_output}
