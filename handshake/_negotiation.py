"""Which protocol version a plugin serves to a host. Decides just as go-plugin does; never refuses."""

from collections.abc import Iterable

from ._errors import Misuse
from ._go import go_int


def parse_versions(text: str) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Return the versions in ``PLUGIN_PROTOCOL_VERSIONS``, and the entries that are none (server.go:150-160)."""
    entries = text.split(",") if text else []
    numbers = [(entry, go_int(entry)) for entry in entries]
    return tuple(n for _, n in numbers if n is not None), tuple(e for e, n in numbers if n is None)


def negotiate(ours: Iterable[int], offered: Iterable[int]) -> int:
    """Return the highest of our versions that the host offers, else our lowest (server.go:185-217).

    The fallback lets a host that offers nothing, or nothing of ours, report the mismatch itself.

    Raises:
        Misuse: we have no version at all.
    """
    mine = sorted(set(ours), reverse=True)
    if not mine:
        raise Misuse("a plugin must serve at least one protocol version")
    theirs = set(offered)
    return next((version for version in mine if version in theirs), mine[-1])
