"""Looks for everything that is wrong with descriptors and pipeline files, where their parsers name one fault.

Reads files; starts nothing.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import TypeVar

from ..handshake import GoPluginError
from ._components import parse_input, parse_output
from ._descriptor import Descriptor, descriptor_paths, read_descriptor, read_text
from ._document import parse_document
from ._errors import BadFile
from ._interpolation import interpolate
from ._pipeline import parse_processor, parse_threads

_T = TypeVar("_T")


def lint(
    pipelines: Iterable[str], patterns: Iterable[str], environment: Mapping[str, str], *, optional: bool = False
) -> list[GoPluginError]:
    """Return what is wrong, in the order of the files and of their lines; nothing where all is well.

    Each field of a descriptor, of a plugin's configuration and of the settings of a built-in input or output is looked
    at.

    Args:
        pipelines: the paths of pipeline files.
        patterns: paths or globs of descriptors, which the pipelines may use.
        environment: the variables that the pipelines may name.
        optional: whether a pattern may match nothing.
    """
    faults: list[GoPluginError] = []
    descriptors: dict[str, Descriptor] = {}
    for path in _found(patterns, faults, optional=optional):
        described = _tried(faults, partial(read_descriptor, path))
        if described is None:
            continue
        if described.name in descriptors:
            other = descriptors[described.name].file
            got = f"{described.name!r}, the name in {other}"
            faults.append(BadFile(file=path, field="name", got=got, want="another name"))
        descriptors.setdefault(described.name, described)
    for path in pipelines:
        text = _tried(faults, partial(read_text, path, "the pipeline file"))
        if text is not None:
            faults += pipeline_faults(text, path, environment, descriptors)
    return faults


def pipeline_faults(
    text: str, file: str, environment: Mapping[str, str], descriptors: Mapping[str, Descriptor]
) -> list[GoPluginError]:
    """Return what is wrong with ``text``, the content of the pipeline file ``file``."""
    faults: list[GoPluginError] = []
    root = _tried(faults, lambda: parse_document(interpolate(text, environment, file), file))
    top = None if root is None else _tried(faults, root.mapping)
    if root is None or top is None:
        return faults
    _tried(faults, partial(root.entries, ("input", "pipeline", "output"), required=("input", "output")))
    if "input" in top:
        _tried(faults, partial(parse_input, top["input"], descriptors))
    if "pipeline" in top and (inner := _tried(faults, lambda: top["pipeline"].entries(("threads", "processors")))):
        if "threads" in inner:
            _tried(faults, partial(parse_threads, inner["threads"]))
        if "processors" in inner and not inner["processors"].is_null():
            for item in _tried(faults, inner["processors"].items) or ():
                _tried(faults, partial(parse_processor, item, descriptors))
    if "output" in top:
        _tried(faults, partial(parse_output, top["output"], descriptors))
    return sorted(faults, key=_line)


def _line(fault: GoPluginError) -> int:
    return (fault.line or 0) if isinstance(fault, BadFile) else 0


def _tried(faults: list[GoPluginError], work: Callable[[], _T]) -> _T | None:
    try:
        return work()
    except GoPluginError as fault:
        found = (fault, *fault.others) if isinstance(fault, BadFile) else (fault,)
        faults += sorted(found, key=_line)
        return None


def _found(patterns: Iterable[str], faults: list[GoPluginError], *, optional: bool) -> list[str]:
    found: list[str] = []
    for pattern in patterns:
        found += _tried(faults, partial(descriptor_paths, [pattern], optional=optional)) or ()
    return list(dict.fromkeys(found))
