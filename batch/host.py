"""Batch plugins from the host's side: descriptors, processors that run in plugins, and whole pipelines."""

from ._components import Batched as Batched
from ._components import FileInput as FileInput
from ._components import FileOutput as FileOutput
from ._components import Input as Input
from ._components import Lines as Lines
from ._components import Output as Output
from ._components import Policy as Policy
from ._components import StdinInput as StdinInput
from ._components import StdoutOutput as StdoutOutput
from ._descriptor import Descriptor as Descriptor
from ._descriptor import Field as Field
from ._descriptor import FieldKind as FieldKind
from ._descriptor import FieldType as FieldType
from ._descriptor import Kind as Kind
from ._descriptor import load_descriptors as load_descriptors
from ._descriptor import parse_descriptor as parse_descriptor
from ._errors import RunFailed as RunFailed
from ._pipeline import Pipeline as Pipeline
from ._pipeline import Stage as Stage
from ._pipeline import parse_pipeline as parse_pipeline
from ._remote import Processor as Processor
from ._runner import Runner as Runner
from ._stats import StageStats as StageStats
from ._stats import Stats as Stats
from ._stats import Traffic as Traffic

__all__ = [
    "Descriptor",
    "Field",
    "FieldType",
    "FieldKind",
    "Kind",
    "parse_descriptor",
    "load_descriptors",
    "Processor",
    "Pipeline",
    "Stage",
    "parse_pipeline",
    "Input",
    "FileInput",
    "StdinInput",
    "Batched",
    "Policy",
    "Lines",
    "Output",
    "FileOutput",
    "StdoutOutput",
    "Runner",
    "RunFailed",
    "Stats",
    "StageStats",
    "Traffic",
]
