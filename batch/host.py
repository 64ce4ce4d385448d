"""Batch plugins from the host's side: descriptors, what runs in plugins, and whole pipelines."""

from ._components import BUILT_IN as BUILT_IN
from ._components import Batched as Batched
from ._components import DropOutput as DropOutput
from ._components import FileInput as FileInput
from ._components import FileOutput as FileOutput
from ._components import GenerateInput as GenerateInput
from ._components import InputSettings as InputSettings
from ._components import Lines as Lines
from ._components import OutputSettings as OutputSettings
from ._components import PluginInput as PluginInput
from ._components import PluginOutput as PluginOutput
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
from ._errors import NoAnswer as NoAnswer
from ._errors import RunFailed as RunFailed
from ._errors import SendFailed as SendFailed
from ._lint import lint as lint
from ._metrics import prometheus as prometheus
from ._pipeline import Pipeline as Pipeline
from ._pipeline import Stage as Stage
from ._pipeline import parse_pipeline as parse_pipeline
from ._remote import Processor as Processor
from ._remote_input import Delivery as Delivery
from ._remote_input import Input as Input
from ._remote_output import Output as Output
from ._runner import Runner as Runner
from ._session import Limits as Limits
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
    "Input",
    "Delivery",
    "Output",
    "Limits",
    "NoAnswer",
    "SendFailed",
    "Pipeline",
    "Stage",
    "parse_pipeline",
    "lint",
    "prometheus",
    "BUILT_IN",
    "InputSettings",
    "FileInput",
    "StdinInput",
    "GenerateInput",
    "PluginInput",
    "Batched",
    "Policy",
    "Lines",
    "OutputSettings",
    "FileOutput",
    "StdoutOutput",
    "DropOutput",
    "PluginOutput",
    "Runner",
    "RunFailed",
    "Stats",
    "StageStats",
    "Traffic",
]
