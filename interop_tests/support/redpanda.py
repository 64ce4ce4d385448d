"""Runs Redpanda Connect's engine (interop_tests/redpanda/cmd/engine) on a pipeline, with plugins from descriptors.

Never decides what the engine should have done. Nothing outlives an `Engine`, not even the plugins that it orphans.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import provision
import psutil
from lives import command
from waiting import until

ADDRESS = "REDPANDA_CONNECT_PLUGIN_ADDRESS"  # what it names the variable with a plugin's socket
GUARDIAN = "_guardian_process.py"  # beside its plugins, our host has a process that ends them once it is gone
PLUGINS = provision.INTEROP / "plugins"
END_WITHIN = 60.0  # seconds; the engine starts its plugins one after the other, a second or more each

RPCN_FIELDS: dict[str, dict[str, object]] = {  # of cmd/rpcn: each with its default, or its type if it is required
    "input": {"prefix": "m", "count": int, "batch": 10, "auto_replay_nacks": True, "journal": ""},
    "processor": {"suffix": "", "fail_on": "", "exit_on": "", "journal": ""},
    "output": {"path": str, "max_in_flight": 1, "count": 0, "period": "", "fail_on": "", "journal": ""},
}
_TYPES: dict[type, str] = {str: "string", int: "int", float: "float", bool: "bool"}


def describe(folder: Path, name: str, kind: str, command: Sequence[str], fields: Mapping[str, object]) -> Path:
    """Write a descriptor; a field is its default, or the type that it must have. Return its path."""
    described: list[dict[str, object]] = []
    for field, value in fields.items():
        if isinstance(value, type):
            described.append({"name": field, "type": _TYPES[value]})
        else:
            described.append({"name": field, "type": _TYPES[type(value)], "default": value})
    descriptor = {"name": name, "type": kind, "command": list(command), "fields": described}
    return write(folder / f"{name}.plugin.yaml", descriptor)


def describe_rpcn(folder: Path, kind: str) -> Path:
    """Write the descriptor of one of cmd/rpcn's plugins, which is called ``go_`` and its kind. Return its path."""
    return describe(folder, f"go_{kind}", kind, [str(provision.program("rpcn")), kind], RPCN_FIELDS[kind])


def describe_python(folder: Path, script: Path, kind: str, fields: Mapping[str, object]) -> Path:
    """Write the descriptor of a Python plugin, which is called as its file is. Return its path."""
    return describe(folder, script.stem, kind, [sys.executable, str(script)], fields)


def troubled(folder: Path, trouble: str, kind: str, fields: Mapping[str, object] | None = None) -> Path:
    """Write the descriptor of one of plugins/batch_troubled.py, which is called as its trouble is; return its path."""
    command = [sys.executable, str(PLUGINS / "batch_troubled.py"), trouble]
    return describe(folder, trouble, kind, command, fields or {})


def write(path: Path, document: Mapping[str, object]) -> Path:
    """Write a document as JSON, which is YAML too; return its path."""
    path.write_text(json.dumps(document))
    return path


class Engine:
    """The engine, running. A context; at its end nothing of it runs any more.

    Args:
        pipeline: the pipeline file.
        plugins: globs of descriptors.
        env: variables beside the process's own.
    """

    def __init__(self, pipeline: Path, plugins: Sequence[str | Path], env: Mapping[str, str] | None = None) -> None:
        command = [*self._command(), *(word for glob in plugins for word in (self._plugins, str(glob)))]
        self._folder = tempfile.mkdtemp(prefix="rp-", dir="/tmp")  # short: sockets lie in it
        self._log = open(Path(self._folder, "engine.log"), "w+b")  # noqa: SIM115 - closed with the engine
        self.process = subprocess.Popen(
            [*command, str(pipeline)],
            env={**os.environ, **(env or {}), "TMPDIR": self._folder},
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,  # its own process group, which its plugins share
        )

    _plugins = "--rpc-plugins"

    def _command(self) -> list[str]:
        # Its HTTP server would listen on every address.
        return [str(provision.program("engine")), "run", "--set", "http.enabled=false", "--log.level", "debug"]

    @property
    def log(self) -> str:
        """What it and its plugins have printed so far."""
        return Path(self._log.name).read_text(errors="replace")

    @property
    def leftovers(self) -> list[str]:
        """What lies in its TMPDIR beside the log."""
        return [name for name in os.listdir(self._folder) if name != Path(self._log.name).name]

    @property
    def plugins(self) -> list[psutil.Process]:
        """The processes of its plugins, in the order of their start."""
        children = [child for child in psutil.Process(self.process.pid).children() if alive(child)]
        return sorted(
            (child for child in children if GUARDIAN not in command(child)), key=lambda child: child.create_time()
        )

    def plugin(self, name: str) -> psutil.Process:
        """The process of the plugin that has ``name`` in its command line."""
        [found] = [plugin for plugin in self.plugins if name in command(plugin)]
        return found

    def wait(self, timeout: float = END_WITHIN) -> int:
        """Wait for its end; return its exit code."""
        return self.process.wait(timeout)

    def says(self, text: str, timeout: float = END_WITHIN) -> None:
        """Wait until ``text`` is in its log."""
        until(lambda: text in self.log, timeout)

    def stop(self) -> int:
        """Ask it to end, as a service manager would; return its exit code."""
        self.process.terminate()
        return self.wait()

    def kill(self) -> None:
        """Kill the engine itself, without a chance to tell its plugins."""
        self.process.kill()
        self.process.wait(END_WITHIN)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            print(self.log)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(END_WITHIN)
        self._log.close()
        shutil.rmtree(self._folder)


class OurHost(Engine):
    """`goplugin run` on the same files, for comparison."""

    _plugins = "--plugins"

    def _command(self) -> list[str]:
        return [str(Path(sys.executable).with_name("goplugin")), "run", "--verbose"]


def alive(process: psutil.Process) -> bool:
    """Whether a process still runs; one that only waits to be noticed does not."""
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def run(pipeline: Path, plugins: Sequence[str | Path], host: type[Engine] = Engine) -> tuple[int, str]:
    """Run the engine, or our host, until the input ends; return its exit code and its log."""
    with host(pipeline, plugins) as running:
        return running.wait(), running.log


def lines(path: Path) -> list[str]:
    """The lines of a file; none if it is not there yet."""
    return path.read_text().splitlines() if path.exists() else []


def pipeline(path: Path, source: Any, processors: Sequence[Any], sink: Any) -> Path:
    """Write a pipeline file; return its path."""
    return write(path, {"input": source, "pipeline": {"processors": list(processors)}, "output": sink})


def generated(folder: Path, processor: Any, payload: str, count: int = 0) -> Path:
    """Write a pipeline of so many messages, or without end, through a processor to the file ``out``."""
    source = {"count": count, "interval": "10ms", "mapping": f'root = "{payload}"'}
    sink = {"file": {"path": str(folder / "out"), "codec": "lines"}}
    return pipeline(folder / "pipeline.yaml", {"generate": source}, [processor], sink)


def source_of_connect() -> Path:
    """Return the folder with the source that the engine is built from, its tests included."""
    if shutil.which("go") is None:
        raise provision.Missing("engine", "go is not installed")
    command = ["go", "mod", "download", "-json", "github.com/redpanda-data/connect/v4"]
    done = subprocess.run(command, cwd=provision.INTEROP / "redpanda", stdout=subprocess.PIPE, timeout=120, check=True)
    return Path(json.loads(done.stdout)["Dir"])
