"""Serves a plugin to a go-plugin host: `serve` with threads, `aio.serve` with asyncio.

Importing it imports neither grpc nor asyncio, so that a plugin that no host started can say so at once.
"""

import importlib
from types import ModuleType
from typing import TYPE_CHECKING

from ..transport import Broker as Broker
from ..transport import BrokeredServer as BrokeredServer
from ..transport import TlsConfig as TlsConfig
from ._options import DRAIN as DRAIN
from ._options import WORKERS as WORKERS
from ._options import TestMode as TestMode
from ._serve import PluginSet as PluginSet
from ._serve import serve as serve
from ._serve_at import serve_at as serve_at

if TYPE_CHECKING:
    from . import aio as aio
    from . import hclog as hclog
    from . import testing as testing

__all__ = [
    "serve",
    "serve_at",
    "PluginSet",
    "Broker",
    "BrokeredServer",
    "TlsConfig",
    "TestMode",
    "DRAIN",
    "WORKERS",
    "aio",
    "hclog",
    "testing",
]

_LATER = frozenset({"aio", "hclog", "testing"})


def __getattr__(name: str) -> ModuleType:
    if name in _LATER:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
