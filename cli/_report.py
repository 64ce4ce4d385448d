"""What `goplugin inspect` found out about a plugin, as one document for programs and as tables for people.

Never asks a plugin anything. All text of a plugin's passes through `quoted` before it is shown.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import asdict, dataclass

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from ..handshake import CORE_PROTOCOL, HandshakeRefused, go_int, parse_address, quoted
from ..hostlib import MethodInfo, ServiceInfo, StartTimes, Stopped

DOCUMENT = "goplugin inspect 1"
"""What the document calls itself. Keys may be added to it; a change that could break a reader changes this."""

FIELDS = (
    "core_protocol",
    "protocol_version",
    "network",
    "address",
    "protocol",
    "server_certificate",
    "multiplexing",
)
"""The fields of the handshake line, in its order."""

_FIELDS_MIN = 4  # with fewer it is no handshake line (client.go:839)
_CERT_TEXT_MIN = 50  # a sixth field up to here is no certificate (client.go:911)
_FIELD_SHOWN = 110  # characters: the longest path of a socket; only a certificate is longer
_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """What the plugin's process and its descendants take, soon after the start.

    Attributes:
        processes: how many they are.
        rss: resident bytes, counting what several of them share once for each.
        pss: resident bytes, counting shared ones by their share; None where the system does not tell.
        threads: how many they have.
    """

    processes: int
    rss: int
    pss: int | None
    threads: int


@dataclass(slots=True, kw_only=True)
class Report:
    """What was found out, filled in bit by bit; what was not is None.

    Attributes:
        command: what was started.
        offered: the protocol versions that the plugin was offered.
        pid: its process.
        line: its first line on stdout, acceptable or not.
        version: the protocol version that it serves, once its line was accepted.
        times: how long the start took.
        healthy: whether it says that it is serving.
        health_fault: why it is not known to be healthy.
        reflection: whether it serves reflection.
        services: what it serves, where it said so.
        memory: what it takes.
        stopped: how it was stopped.
        stderr: its last lines there, as harmless text.
        error: what went wrong first, as the class of the error and its message.
    """

    command: tuple[str, ...]
    offered: tuple[int, ...]
    pid: int | None = None
    line: bytes | None = None
    version: int | None = None
    times: StartTimes | None = None
    healthy: bool | None = None
    health_fault: str | None = None
    reflection: bool | None = None
    services: tuple[ServiceInfo, ...] | None = None
    memory: Memory | None = None
    stopped: Stopped | None = None
    stderr: tuple[str, ...] = ()
    error: tuple[str, str] | None = None


def document(report: Report) -> dict[str, object]:
    """Return the report as a document of numbers, texts, lists and objects. Every key is always there."""
    return {
        "document": DOCUMENT,
        "command": report.command,
        "pid": report.pid,
        "handshake": None if report.line is None else {"line": _text(report.line), "sent": sent(report.line)},
        "versions": {
            "offered": report.offered,
            "negotiated": report.version,
            "matched": None if report.version is None else report.version in report.offered,
        },
        "tls": None,  # a plugin uses it when it is asked to, and it was not
        "seconds": None
        if report.times is None
        else {"line": report.times.line, "first_answer": report.times.connected},
        "health": None if report.healthy is None else {"serving": report.healthy, "message": report.health_fault},
        "reflection": report.reflection,
        "services": None if report.services is None else [_service(service) for service in report.services],
        "memory": None if report.memory is None else asdict(report.memory),
        "stopped": None if report.stopped is None else asdict(report.stopped),
        "stderr": report.stderr,
        "error": None if report.error is None else {"kind": report.error[0], "message": report.error[1]},
    }


def sent(line: bytes) -> dict[str, str | None] | None:
    """Return the fields of a handshake line as they came, None for those that did not; None for any other line."""
    parts = _text(line).strip().split("|")
    if len(parts) < _FIELDS_MIN:
        return None
    absent = [None] * (len(FIELDS) - len(parts))
    return dict(zip(FIELDS, [*parts, *absent], strict=False))


def meaning(fields: Mapping[str, str | None], offered: Collection[int]) -> Iterator[tuple[str, str, bool]]:
    """Yield for each field its name, what it means to a host, and whether a host that offered these takes it."""
    judges: dict[str, Callable[[], tuple[str, bool]]] = {
        "core_protocol": lambda: _core(fields["core_protocol"] or ""),
        "protocol_version": lambda: _version(fields["protocol_version"] or "", offered),
        "network": lambda: _network(fields["network"] or ""),
        "address": lambda: _address(fields["network"] or "", fields["address"] or ""),
        "protocol": lambda: _protocol(fields["protocol"]),
        "server_certificate": lambda: _certificate(fields["server_certificate"]),
        "multiplexing": lambda: _multiplexing(fields["multiplexing"]),
    }
    for name, judge in judges.items():
        yield name, *judge()


def spans(versions: Collection[int]) -> str:
    """Return the numbers in short: ``1, 5-7``."""
    runs: list[list[int]] = []
    for version in sorted(set(versions)):
        if runs and runs[-1][-1] == version - 1:
            runs[-1][1:] = [version]
        else:
            runs.append([version])
    return ", ".join("-".join(map(str, run)) for run in runs)


def show(report: Report, console: Console) -> None:
    """Print the report for people; nothing where the plugin printed no line."""
    with console.capture() as capture:
        for part in _parts(report):
            console.print(part)
    for line in capture.get().splitlines():
        console.out(line.rstrip(), highlight=False)


def _parts(report: Report) -> Iterator[RenderableType]:
    if report.line is not None:
        yield from _handshake(report.line, report.offered)
    facts = Table.grid(padding=(0, 2))
    if report.times is not None:
        start = f"line after {_duration(report.times.line)}, first answer after {_duration(report.times.connected)}"
        facts.add_row(_title("Start"), start)
        facts.add_row(_title("TLS"), "none, for none was asked for")
    if report.healthy is not None:
        health = Text("serving") if report.healthy else Text(report.health_fault or "", "red")
        facts.add_row(_title("Health"), health)
    if report.memory is not None:
        facts.add_row(_title("Memory"), _memory(report.memory))
    if report.line is not None and report.stopped is not None:
        facts.add_row(_title("Stopped"), _end(report.stopped))
    if facts.row_count:
        yield facts
    if report.services is not None:
        yield Text()
        yield Group(_title("Services"), *map(_methods, report.services))
    elif report.reflection is False:
        yield Text()
        yield Group(_title("Services"), _indented(Text("the plugin does not serve reflection, so they are not known")))


def _handshake(line: bytes, offered: Collection[int]) -> Iterator[RenderableType]:
    yield Text.assemble(_title("Handshake"), "  ", _shown(_text(line).strip(), 1000))
    fields = sent(line)
    if fields is None:
        yield _indented(Text("no handshake line: it has fewer than four fields", "red"))
        return
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    table.add_column()
    for name, means, accepted in meaning(fields, offered):
        raw = fields[name]
        came = Text("absent" if raw is None else "empty", "dim") if not raw else Text(_shown(raw, _FIELD_SHOWN))
        table.add_row(name.replace("_", " "), came, Text(means, "" if accepted else "red"))
    yield _indented(table)
    yield Text()


def _methods(service: ServiceInfo) -> RenderableType:
    name = Text(service.name, "cyan")
    if service.methods is None:
        return _indented(Text.assemble(name, "  ", ("the plugin does not know its definition", "dim")))
    table = Table.grid(padding=(0, 2))
    for method in service.methods:
        table.add_row(method.name, Text(method.kind, "dim"), _signature(method, service.name.rpartition(".")[0]))
    return _indented(Group(name, _indented(table)))


def _signature(method: MethodInfo, package: str) -> str:
    request, response = (
        ("stream " if streaming else "") + name.removeprefix(f"{package}.")
        for name, streaming in (
            (method.request, method.client_streaming),
            (method.response, method.server_streaming),
        )
    )
    return f"{request} -> {response}"


def _memory(memory: Memory) -> str:
    parts = [f"{memory.rss / _MIB:.1f} MiB resident"]
    if memory.pss is not None:
        parts.append(f"{memory.pss / _MIB:.1f} MiB proportional")
    parts.append(f"{memory.threads} threads")
    if memory.processes > 1:
        parts.append(f"{memory.processes} processes")
    return ", ".join(parts)


def _end(stopped: Stopped) -> Text:
    how, implied = {
        "shutdown": ("by its Shutdown call", None),
        "terminated": ("by SIGTERM", "SIGTERM"),
        "killed": ("by SIGKILL", "SIGKILL"),
        "exited already": ("it had ended of itself", None),
    }[stopped.how]
    parts = [how, f"after {_duration(stopped.seconds)}"]
    if stopped.signal is None:
        parts.append(f"exit code {stopped.exit_code}")
    elif stopped.signal != implied:
        parts.append(stopped.signal)
    return Text(", ".join(parts), "" if stopped.how == "shutdown" and stopped.exit_code == 0 else "yellow")


def _core(raw: str) -> tuple[str, bool]:
    good = go_int(raw) == CORE_PROTOCOL
    return ("go-plugin's handshake", True) if good else (f"must be {CORE_PROTOCOL}", False)


def _version(raw: str, offered: Collection[int]) -> tuple[str, bool]:
    number = go_int(raw)
    if number is None or number < 0:
        return "must be a number", False
    if number not in offered:
        return f"not among {spans(offered)}", False
    return f"chosen from {spans(offered)}" if len(offered) > 1 else "as offered", True


def _network(raw: str) -> tuple[str, bool]:
    known = {"unix": "a Unix socket", "tcp": "a TCP port"}.get(raw)
    return (known, True) if known is not None else ("must be unix or tcp", False)


def _address(network: str, raw: str) -> tuple[str, bool]:
    try:
        parse_address(network, raw)
    except HandshakeRefused as refusal:
        return f"must be {refusal.want}" if refusal.field == "address" else "of an unknown network", False
    return "where the plugin listens", True


def _protocol(raw: str | None) -> tuple[str, bool]:
    match raw:
        case "grpc":
            return "gRPC", True
        case "netrpc" | None:
            return "net/rpc, which only Go speaks", False
        case _:
            return "must be grpc or netrpc", False


def _certificate(raw: str | None) -> tuple[str, bool]:
    if raw is None:
        return "an old plugin, which knows of none", True
    if not raw:
        return "no TLS was asked for", True
    if len(raw) <= _CERT_TEXT_MIN:
        return "ignored, for it is too short for a certificate", True
    return "a certificate, but none was asked for", False


def _multiplexing(raw: str | None) -> tuple[str, bool]:
    return ("not asked for" if raw is None else "ignored, for it was not asked for"), True


def _service(service: ServiceInfo) -> dict[str, object]:
    methods = None if service.methods is None else [_method(method) for method in service.methods]
    return {"name": service.name, "methods": methods}


def _method(method: MethodInfo) -> dict[str, object]:
    return {**asdict(method), "kind": method.kind}


def _title(text: str) -> Text:
    return Text(text, "bold")


def _indented(content: RenderableType) -> RenderableType:
    return Padding(content, (0, 0, 0, 2))


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "backslashreplace")


def _shown(text: str, limit: int) -> str:
    safe = quoted(text, len(text))[1:-1]
    return safe if len(safe) <= limit else safe[: limit - 3] + "..."


def _duration(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.2f} s"
