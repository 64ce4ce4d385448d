"""The benchmarks. A new one is a new module here with a function ``suite(quick, peers)``; nothing else changes."""

import importlib
import pkgutil
from collections.abc import Callable, Sequence
from typing import Protocol

from benchmarks.figures import Comparison, Contestant, Samples
from benchmarks.workshop import Workshop


class Suite(Protocol):
    """Figures that are measured together, of contestants that take turns in every round."""

    @property
    def comparisons(self) -> Sequence[Comparison]:
        """What becomes rows; each names contestants that `prepare` returns."""
        ...

    def prepare(self, workshop: Workshop) -> Sequence[Contestant]:
        """Make ready what `measure` needs, and run everything once, so that all bytecode is written.

        Raises:
            provision.Missing: one that is no peer cannot be had; a peer is returned with the reason instead.
            Failed: one does not start.
        """
        ...

    def measure(self, order: Sequence[str]) -> Samples:
        """Measure one round of the contestants in this order; those that are missing are not in it."""
        ...


def registered() -> dict[str, Callable[[bool, bool], Suite]]:
    """Return the suites by name; each takes whether to be quick, and whether peers take part."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    return {name: importlib.import_module(f"{__name__}.{name}").suite for name in names}
