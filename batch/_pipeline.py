"""The pipeline file: what is read, through which processors, and where it goes. Decides only; opens nothing."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ._components import Input, Output, parse_input, parse_output
from ._descriptor import Descriptor, Kind
from ._document import Located, choose, parse_document
from ._interpolation import interpolate
from ._processor import Config


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
    """A pipeline file, checked to the last field."""

    file: str
    input: Input
    stages: tuple[Stage, ...]
    output: Output


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
    return Pipeline(
        file=file,
        input=parse_input(entries["input"]),
        stages=_stages(entries["pipeline"], descriptors) if "pipeline" in entries else (),
        output=parse_output(entries["output"]),
    )


def _stages(found: Located, descriptors: Mapping[str, Descriptor]) -> tuple[Stage, ...]:
    entries = found.entries(("threads", "processors"))
    want = "1 or -1: each processor has one process, and messages keep their order"
    if "threads" in entries and entries["threads"].integer(want=want) not in (-1, 1):
        raise entries["threads"].wrong(want)
    if "processors" not in entries or entries["processors"].is_null():
        return ()
    table = {name: _settings(one) for name, one in descriptors.items() if one.kind is Kind.PROCESSOR}
    stages: list[Stage] = []
    for item in entries["processors"].items():
        name, (descriptor, config) = choose(item, table, "processor")
        stages.append(Stage(name=name, descriptor=descriptor, config=config))
    return tuple(stages)


def _settings(descriptor: Descriptor) -> Callable[[Located], tuple[Descriptor, Config]]:
    return lambda found: (descriptor, descriptor.config(found))
