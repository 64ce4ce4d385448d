"""The inputs and outputs that are built in, as their settings describe them: tables from name to parser.

Names and meanings are Redpanda Connect's, so that a pipeline file runs there too (benthos, internal/impl/io, scanner
`lines`, input `batched`). Decides what settings say; opens nothing.
"""

from collections.abc import Callable
from collections.abc import Mapping as AnyMapping
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

from ._component import Config
from ._descriptor import Descriptor, Kind
from ._document import Gathering, Located, choose
from ._duration import parse_duration
from ._mapping import Mapping, parse_mapping

Descriptors: TypeAlias = AnyMapping[str, Descriptor]
LINE_MAX = 65_536
"""Bytes in one line with its delimiter, unless max_buffer_size says otherwise: Redpanda Connect's own default."""

_BATCHED_MAX = 10  # inputs within each other: more are a slip, and hundreds exhaust the stack


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
        replays: whether a batch that failed is tried again.
    """

    paths: tuple[str, ...]
    lines: Lines = Lines()
    where: str = "paths"
    replays: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class StdinInput:
    """What arrives on standard input.

    Attributes:
        replays: whether a batch that failed is tried again.
    """

    lines: Lines = Lines()
    replays: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerateInput:
    """Messages that a mapping makes.

    Attributes:
        mapping: what each message is.
        interval: seconds between two batches, or 0 for as fast as they go.
        count: messages in all, or 0 for no end.
        batch_size: messages in a batch.
        replays: whether a batch that failed is tried again.
    """

    mapping: Mapping
    interval: float = 1.0
    count: int = 0
    batch_size: int = 1
    replays: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginInput:
    """A plugin that gives batches, with its checked configuration.

    Attributes:
        name: its label, or the name of the plugin.
    """

    name: str
    descriptor: Descriptor
    config: Config


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

    child: "InputSettings"
    policy: Policy


InputSettings: TypeAlias = FileInput | StdinInput | GenerateInput | PluginInput | Batched


@dataclass(frozen=True, slots=True, kw_only=True)
class FileOutput:
    """A file that messages are appended to, each ended by ``suffix`` unless it ends so already."""

    path: str
    suffix: bytes = b"\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class StdoutOutput:
    """Standard output; ``suffix`` as in `FileOutput`."""

    suffix: bytes = b"\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class DropOutput:
    """Nowhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginOutput:
    """A plugin that takes batches, with its checked configuration; ``name`` as in `PluginInput`."""

    name: str
    descriptor: Descriptor
    config: Config


OutputSettings: TypeAlias = FileOutput | StdoutOutput | DropOutput | PluginOutput


def parse_input(found: Located, descriptors: Descriptors) -> InputSettings:
    """Return the input that a mapping of its name to its settings describes; a built-in one or a plugin.

    Raises:
        BadFile: there is none such, or its settings are wrong; its ``others`` are the other faults.
    """
    table: dict[str, Callable[[Located], InputSettings | tuple[Descriptor, Config]]] = {
        **_built_in_inputs(descriptors),
        # Last, so that a plugin wins: Redpanda Connect's tables overwrite (benthos, internal/bundle/inputs.go, Add).
        **_plugins(descriptors, Kind.INPUT),
    }
    name, settings = choose(found, table, "input")
    if isinstance(settings, tuple):
        return PluginInput(name=name, descriptor=settings[0], config=settings[1])
    return settings


def parse_output(found: Located, descriptors: Descriptors) -> OutputSettings:
    """Return the output that a mapping of its name to its settings describes; a built-in one or a plugin.

    Raises:
        BadFile: there is none such, or its settings are wrong; its ``others`` are the other faults.
    """
    table: dict[str, Callable[[Located], OutputSettings | tuple[Descriptor, Config]]] = {
        **_built_in_outputs(),
        **_plugins(descriptors, Kind.OUTPUT),  # last, as above
    }
    name, settings = choose(found, table, "output")
    if isinstance(settings, tuple):
        return PluginOutput(name=name, descriptor=settings[0], config=settings[1])
    return settings


def _built_in_inputs(descriptors: Descriptors) -> dict[str, Callable[[Located], InputSettings]]:
    return {
        "file": _file_input,
        "stdin": _stdin_input,
        "generate": _generate,
        "batched": lambda settings: _batched(settings, descriptors),
    }


def _built_in_outputs() -> dict[str, Callable[[Located], OutputSettings]]:
    return {"file": _file_output, "stdout": _stdout_output, "drop": _drop}


def _plugins(descriptors: Descriptors, kind: Kind) -> dict[str, Callable[[Located], tuple[Descriptor, Config]]]:
    return {name: _configured(one) for name, one in descriptors.items() if one.kind is kind}


def _configured(descriptor: Descriptor) -> Callable[[Located], tuple[Descriptor, Config]]:
    return lambda found: (descriptor, descriptor.config(found))


def _file_input(found: Located) -> InputSettings:
    with Gathering() as faults:
        entries = found.entries(("paths", "scanner", "auto_replay_nacks"), required=("paths",), faults=faults)
        return FileInput(
            paths=faults.read(entries, "paths", _paths, ()),
            lines=faults.read(entries, "scanner", _scanner, Lines()),
            where=faults.read(entries, "paths", lambda paths: f"{paths.file}:{paths.line}: {paths.spelled()}", ""),
            replays=_replays(entries, faults),
        )


def _paths(found: Located) -> tuple[str, ...]:
    paths = found.items(want="a list of paths")
    if not paths:
        raise found.error(got="an empty list", want="a list of paths")
    with Gathering() as faults:
        return tuple(faults.tried(partial(_path, path), "") for path in paths)


def _stdin_input(found: Located) -> InputSettings:
    with Gathering() as faults:
        entries = found.entries(("scanner", "auto_replay_nacks"), faults=faults)
        lines = faults.read(entries, "scanner", _scanner, Lines())
        return StdinInput(lines=lines, replays=_replays(entries, faults))


def _generate(found: Located) -> InputSettings:
    known = ("mapping", "interval", "count", "batch_size", "auto_replay_nacks")
    with Gathering() as faults:
        entries = found.entries(known, required=("mapping",), faults=faults)
        return GenerateInput(
            mapping=faults.read(entries, "mapping", parse_mapping, Mapping(())),
            interval=faults.read(entries, "interval", _period, 1.0),
            count=faults.read(entries, "count", _limit("messages, or 0 for no end"), 0),
            batch_size=faults.read(entries, "batch_size", _limit("messages over 0", least=1), 1),
            replays=_replays(entries, faults),
        )


def _limit(what: str, least: int = 0) -> Callable[[Located], int]:
    return lambda found: found.integer(least=least, want=f"a number of {what}")


def _replays(entries: dict[str, Located], faults: Gathering) -> bool:
    return faults.read(entries, "auto_replay_nacks", Located.boolean, True)


def _batched(found: Located, descriptors: Descriptors) -> InputSettings:
    if found.path.count("batched") > _BATCHED_MAX:
        raise found.error(got=f"a batched input within {_BATCHED_MAX} others", want=f"at most {_BATCHED_MAX} levels")
    with Gathering() as faults:
        entries = found.entries(("child", "policy"), required=("child", "policy"), faults=faults)
        return Batched(
            child=faults.read(entries, "child", lambda child: parse_input(child, descriptors), StdinInput()),
            policy=faults.read(entries, "policy", _policy, Policy()),
        )


def _policy(found: Located) -> Policy:
    with Gathering() as faults:
        entries = found.entries(("count", "byte_size", "period"), faults=faults)
        policy = Policy(
            count=faults.read(entries, "count", _limit("messages, or 0 for no limit"), 0),
            byte_size=faults.read(entries, "byte_size", _limit("bytes, or 0 for no limit"), 0),
            period=faults.read(entries, "period", _period, 0.0),
        )
    if policy == Policy():
        raise found.error(got="no limit", want="at least one of count, byte_size and period over zero")
    return policy


def _period(found: Located) -> float:
    text = found.string('a duration such as "500ms"')
    seconds = parse_duration(text or "0")
    if seconds is None:
        raise found.wrong('a duration such as "1s" or "500ms"')
    return seconds


def _scanner(found: Located) -> Lines:
    return choose(found, {"lines": _lines}, "scanner")[1]


def _lines(found: Located) -> Lines:
    with Gathering() as faults:
        entries = found.entries(("custom_delimiter", "max_buffer_size", "omit_empty"), faults=faults)
        return Lines(
            delimiter=faults.read(entries, "custom_delimiter", Located.string, "").encode() or None,
            max_size=faults.read(entries, "max_buffer_size", _limit("bytes over 0", least=1), LINE_MAX),
            omit_empty=faults.read(entries, "omit_empty", Located.boolean, False),
        )


def _file_output(found: Located) -> OutputSettings:
    with Gathering() as faults:
        entries = found.entries(("path", "codec"), required=("path",), faults=faults)
        path = faults.read(entries, "path", _path, "")
        return FileOutput(path=path, suffix=faults.read(entries, "codec", _codec, b"\n"))


def _stdout_output(found: Located) -> OutputSettings:
    with Gathering() as faults:
        return StdoutOutput(suffix=faults.read(found.entries(("codec",), faults=faults), "codec", _codec, b"\n"))


def _drop(found: Located) -> OutputSettings:
    found.entries(())
    return DropOutput()


def _codec(found: Located) -> bytes:
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


BUILT_IN: AnyMapping[Kind, frozenset[str]] = {
    Kind.INPUT: frozenset(_built_in_inputs({})),
    Kind.PROCESSOR: frozenset(),
    Kind.OUTPUT: frozenset(_built_in_outputs()),
}
"""What no plugin is needed for. A plugin that has such a name takes its place."""
