"""The pipeline file: what is read, through which processors, and where it goes. Decides only; opens nothing."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ._component import Config
from ._components import InputSettings, OutputSettings, parse_input, parse_output
from ._descriptor import Descriptor, Kind
from ._document import Located, choose, parse_document
from ._interpolation import interpolate

_THREADS_MAX = 64  # each is a process for each processor; more is a slip of the finger


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A processor of a pipeline, with its checked configuration.

    Attributes:
        name: its label, or the name of its plugin.
    """

    name: str
    descriptor: Descriptor
    config: Config


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """A pipeline file, checked to the last field.

    Attributes:
        threads: how many processes each processor has. With one, messages keep their order.
    """

    file: str
    input: InputSettings
    stages: tuple[Stage, ...]
    output: OutputSettings
    threads: int = 1


def parse_pipeline(
    text: str, file: str, environment: Mapping[str, str], descriptors: Mapping[str, Descriptor]
) -> Pipeline:
    """Return the pipeline that ``text``, the content of ``file``, describes.

    Args:
        environment: the variables that the file may name; see `interpolate`.
        descriptors: the plugins that it may use, by name.

    Raises:
        BadFile: anything in it is missing, unknown or wrong; a plugin's configuration too.
    """
    root = parse_document(interpolate(text, environment, file), file)
    entries = root.entries(("input", "pipeline", "output"), required=("input", "output"))
    source = parse_input(entries["input"], descriptors)
    threads, stages = _stages(entries["pipeline"], descriptors) if "pipeline" in entries else (1, ())
    return Pipeline(
        file=file,
        input=source,
        stages=stages,
        output=parse_output(entries["output"], descriptors),
        threads=threads,
    )


def _stages(found: Located, descriptors: Mapping[str, Descriptor]) -> tuple[int, tuple[Stage, ...]]:
    entries = found.entries(("threads", "processors"))
    threads = parse_threads(entries["threads"]) if "threads" in entries else 1
    if "processors" not in entries or entries["processors"].is_null():
        return threads, ()
    return threads, tuple(parse_processor(item, descriptors) for item in entries["processors"].items())


def parse_processor(found: Located, descriptors: Mapping[str, Descriptor]) -> Stage:
    """Return the processor that a mapping of its name to its configuration describes.

    Raises:
        BadFile: there is none such, or its configuration is wrong.
    """
    table = {name: _settings(one) for name, one in descriptors.items() if one.kind is Kind.PROCESSOR}
    name, (descriptor, config) = choose(found, table, "processor")
    return Stage(name=name, descriptor=descriptor, config=config)


def parse_threads(found: Located) -> int:
    """Return how many processes each processor is to have.

    Raises:
        BadFile: it is no such number.
    """
    want = f"from 1 to {_THREADS_MAX}, or -1 for one for each processor of this machine"
    threads = found.integer(least=-1, want=want)
    if threads == 0 or threads > _THREADS_MAX:
        raise found.wrong(want)
    return threads if threads > 0 else min(os.cpu_count() or 1, _THREADS_MAX)


def _settings(descriptor: Descriptor) -> Callable[[Located], tuple[Descriptor, Config]]:
    return lambda found: (descriptor, descriptor.config(found))
