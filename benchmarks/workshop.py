"""Where contestants run: interpreters with nothing but what a contestant needs, and one folder for all else.

The interpreters live in the cache of the interop tests and are made once; the folder goes when the run ends.
Everybody imports in the same way: packages from the interpreter's site-packages, and from one folder on PYTHONPATH
copies of the generated service, the subjects and our rooms. An editable install would slow every start.
"""

import hashlib
import importlib.metadata
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import provision
import psutil

ROOT = Path(__file__).resolve().parent.parent
SUBJECTS = "benchmarks/subjects"
ROOMS = ("handshake", "proto", "transport", "hostlib", "pluginlib", "batch")
COOKIE = ("BASIC_PLUGIN", "hello")  # that of go-plugin's own example, which takes part

_ALIKE = ("grpcio", "protobuf")  # every contestant gets the versions of these that we have
_GONE_WITHIN = 3.0  # seconds; what is killed leaves at once


@dataclass(frozen=True)
class Interpreter:
    """A virtual environment with the given distributions, as `provision` provides things."""

    label: str
    requirements: tuple[str, ...]
    constraints: tuple[str, ...]

    def key(self) -> str:
        """Return what changes with the Python and with the versions."""
        parts = (sys.version, *self.requirements, "", *self.constraints)
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]

    def fetch(self, into: Path) -> None:
        """Make it. Nothing is compiled: bytecode written before the folder gets its name would name the wrong one.

        Raises:
            provision.Missing: with pip's last word.
        """
        constraints = into / "constraints.txt"
        constraints.write_text("\n".join(self.constraints))
        self._run("-m", "venv", "--without-pip", str(into))
        pip = ("-m", "pip", "--disable-pip-version-check", "--quiet", "--python", str(into / "bin" / "python"))
        self._run(*pip, "install", "--no-compile", "--constraint", str(constraints), *self.requirements)

    def _run(self, *arguments: str) -> None:
        command = (sys.executable, *arguments)
        try:
            subprocess.run(command, check=True, capture_output=True, text=True, timeout=provision.COMMAND_LIMIT)
        except subprocess.CalledProcessError as failure:
            lines = [line for line in str(failure.stderr).splitlines() if line.strip()] or ["no message"]
            raise provision.Missing(self.label, lines[-1].strip()) from failure


def version(distribution: str) -> str:
    """Return the version that we run on."""
    return importlib.metadata.version(distribution)


def own_requirements() -> tuple[str, ...]:
    """Return what goplugin requires, at the versions that we run on."""
    required = (text for text in importlib.metadata.requires("goplugin") or () if "extra ==" not in text)
    names = [found[0] for text in required if (found := re.match(r"[\w.-]+", text))]
    return tuple(f"{name}=={version(name)}" for name in names)


class Workshop:
    """A folder for one run. Closing it removes the folder and ends whatever child process may be left."""

    def __init__(self) -> None:
        with ExitStack() as undo:
            folder = Path(undo.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
            undo.callback(_reap)
            self.library, self.scratch = folder / "library", folder / "scratch"
            self.scratch.mkdir()
            for room in ROOMS:
                shutil.copytree(ROOT / room, self.library / "goplugin" / room, ignore=shutil.ignore_patterns("*.pyc"))
            shutil.copytree(ROOT / SUBJECTS, self.library / SUBJECTS, ignore=shutil.ignore_patterns("*.pyc"))
            for stub in ("kv_pb2.py", "kv_pb2_grpc.py"):
                shutil.copy(ROOT / "interop_tests" / "support" / stub, self.library)
            self._undo = undo.pop_all()

    def __enter__(self) -> "Workshop":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._undo.close()

    @property
    def environment(self) -> dict[str, str]:
        """What a plugin gets from every host here, and nothing of ours that would change how Python starts."""
        key, value = COOKIE
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": os.environ.get("HOME", "/"),
            "TMPDIR": str(self.scratch),
            "PYTHONPATH": str(self.library),
            "PLUGIN_PROTOCOL_VERSIONS": "1",
            key: value,
        }

    def python(self, name: str, requirements: Sequence[str]) -> str:
        """Return an interpreter that has these distributions.

        Raises:
            provision.Missing: they cannot be installed here.
        """
        constraints = tuple(f"{distribution}=={version(distribution)}" for distribution in _ALIKE)
        provision.PROGRAMS[name] = (Interpreter(f"bench-{name}", tuple(requirements), constraints), "bin/python")
        return str(provision.program(name))

    def subject(self, script: str, interpreter: str | None = None) -> list[str]:
        """Return the command of a script of subjects/.

        Its interpreter is one that has what goplugin requires, for ours and for bare grpcio, unless another is given.
        """
        return [interpreter or self.python("own", own_requirements()), str(self.library / SUBJECTS / script)]


def _reap() -> None:
    """Kill the children that an interrupt left between their start and whoever would have stopped them."""
    children = psutil.Process().children(recursive=True)
    for child in children:
        try:
            child.send_signal(signal.SIGKILL)
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(children, timeout=_GONE_WITHIN)
