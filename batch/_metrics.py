"""What a run has done, as Prometheus reads it: the text format 0.0.4. Formats only; never writes or serves it."""

from collections.abc import Iterable

from ._stats import Stats


def prometheus(stats: Stats) -> str:
    """Return the counters of a run; those of a processor have the label ``processor``."""
    ends = [(_label("end", "input"), stats.read), (_label("end", "output"), stats.written)]
    families: list[tuple[str, str, Iterable[tuple[str, float]]]] = [
        ("messages", "Messages read and written.", [(label, end.messages) for label, end in ends]),
        ("batches", "Batches read and written.", [(label, end.batches) for label, end in ends]),
        ("bytes", "Bytes read and written.", [(label, end.bytes) for label, end in ends]),
        ("plugin_restarts", "Plugins at the ends that were started anew.", [(at, end.restarts) for at, end in ends]),
        ("rejected_messages", "Messages that the output could not deliver.", [("", stats.rejected)]),
        ("replayed_messages", "Messages that were tried again.", [("", stats.replayed)]),
        ("undelivered_messages", "Messages that were given up.", [("", stats.undelivered)]),
        ("unwritable_messages", "Messages without bytes to write.", [("", stats.unwritable)]),
        ("run_seconds", "Time since the first read.", [("", stats.seconds)]),
    ]
    for name, text, field in (
        ("messages", "Messages that a processor has answered for.", "taken"),
        ("given_messages", "Messages that a processor made of them.", "given"),
        ("failed_messages", "Messages that a processor failed on.", "failed"),
        ("filtered_messages", "Messages that a processor dropped.", "filtered"),
        ("seconds", "Time spent waiting for a processor.", "seconds"),
        ("restarts", "How often a processor was started anew.", "restarts"),
    ):
        # Two processors may share a name, and a series may not appear twice.
        found: dict[str, float] = {}
        for stage in stats.stages:
            label = _label("processor", stage.name)
            found[label] = found.get(label, 0) + getattr(stage, field)
        families.append((f"processor_{name}", text, found.items()))
    lines: list[str] = []
    for name, text, samples in families:
        full = f"goplugin_{name}_total"
        lines += [f"# HELP {full} {text}", f"# TYPE {full} counter"]
        lines += [f"{full}{label} {value:.17g}" for label, value in samples]
    return "\n".join(lines) + "\n"


def _label(name: str, value: str) -> str:
    escaped = value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
    return f'{{{name}="{escaped}"}}'
