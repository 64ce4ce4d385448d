"""Fetches, builds and caches the foreign programs that the interop tests run.

Decides where each program comes from and when a cached one is out of date. Never installs anything outside the
cache, which is $GOPLUGIN_CACHE, else $XDG_CACHE_HOME/goplugin, else ~/.cache/goplugin, and may be deleted at any
time. Standard library only: it must run before anything else is there.

    python interop_tests/support/provision.py [--strict] [NAME…]
"""

import argparse
import contextlib
import fcntl
import functools
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

INTEROP = Path(__file__).resolve().parent.parent
GO_PLUGIN = "github.com/hashicorp/go-plugin"
GO_BUILD = ("go", "build", "-trimpath", "-buildvcs=false", "-p=2")

BUILDING = ".building-"  # what the folder of an unfinished build begins with
COMMAND_LIMIT = 500.0  # seconds; the slowest command, a cold `go build` of the engine, takes a minute on two cores
LOCK_LIMIT = 1500.0  # seconds; another process may be provisioning everything


class Missing(Exception):
    """A program cannot be had on this machine: its tool is absent, or its source cannot be reached."""

    def __init__(self, name: str, why: str) -> None:
        super().__init__(f"{name}: {why}")
        self.name = name
        self.why = why


class BuildFailed(Exception):
    """A program's source is at hand but does not build."""


class _Unavailable(Exception):
    """What a source raises where `program` says Missing."""


class _CommandFailed(Exception):
    def __init__(self, command: tuple[str, ...], complaint: str) -> None:
        super().__init__(f"{' '.join(command)}\n{complaint}")
        self.last_line = (complaint.strip() or "no message").splitlines()[-1].strip()


class Source(Protocol):
    """Where a folder of programs comes from."""

    @property
    def label(self) -> str:
        """The readable half of the cache folder's name."""
        ...

    def key(self) -> str:
        """The other half: changes whenever `fetch` would produce something else."""
        ...

    def fetch(self, into: Path) -> None:
        """Fills an empty folder."""
        ...


def _run(*command: str, cwd: Path, environment: Mapping[str, str] | None = None) -> str:
    try:
        done = subprocess.run(
            command,
            cwd=cwd,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=COMMAND_LIMIT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise _CommandFailed(command, f"no end within {COMMAND_LIMIT:.0f} s") from None
    if done.returncode:
        raise _CommandFailed(command, done.stderr)
    return done.stdout


def _reach(*command: str, cwd: Path, environment: Mapping[str, str] | None = None) -> None:
    """Runs a command that fetches; its failure means that the source is out of reach."""
    try:
        _run(*command, cwd=cwd, environment=environment)
    except _CommandFailed as failure:
        raise _Unavailable(f"{' '.join(command[:3])}: {failure.last_line}") from failure


def _build(*command: str, cwd: Path, environment: Mapping[str, str]) -> None:
    try:
        _run(*command, cwd=cwd, environment=environment)
    except _CommandFailed as failure:
        raise BuildFailed(str(failure)) from failure


def _require(*tools: str) -> None:
    for tool in tools:
        if shutil.which(tool) is None:
            raise _Unavailable(f"{tool} is not installed")


def _digest(*parts: str | bytes) -> str:
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.hexdigest()[:16]


@functools.cache
def go_version() -> str:
    """What the installed Go says it is; part of the key of all that it builds."""
    _require("go")
    return _run("go", "version", cwd=Path.home())


def _go_environment(mod: str) -> dict[str, str]:
    return {"CGO_ENABLED": "0", "GOWORK": "off", "GOFLAGS": f"-mod={mod}"}


@dataclass(frozen=True)
class OwnGo:
    """A command of a Go module of ours.

    `version` is that of the foreign code that it is built against, which `modfile` pins.
    """

    command: str
    version: str
    modfile: str = "go.mod"
    module: str = "go"

    @property
    def label(self) -> str:
        return f"{self.command}-{self.version}"

    def key(self) -> str:
        module = INTEROP / self.module
        modfile = module / self.modfile
        files = [modfile, modfile.with_suffix(".sum"), *sorted(module.rglob("*.go"))]
        contents = [part for file in files for part in (str(file.relative_to(module)), file.read_bytes())]
        return _digest(go_version(), *GO_BUILD, *contents)

    def fetch(self, into: Path) -> None:
        module, environment = INTEROP / self.module, _go_environment("readonly")
        modfile, package = f"-modfile={self.modfile}", f"./cmd/{self.command}"
        _reach("go", "list", "-deps", modfile, package, cwd=module, environment=environment)
        _build(*GO_BUILD, modfile, f"-o={into}/program", package, cwd=module, environment=environment)


@dataclass(frozen=True)
class GoPackage:
    """A main package of a published module.

    It is built as a dependency of a scratch module: that way replace directives in its own go.mod do not matter.
    """

    package: str
    version: str

    @property
    def label(self) -> str:
        return f"{self.package.split('/', 2)[-1].replace('/', '-')}-{self.version}"

    def key(self) -> str:
        return _digest(go_version(), *GO_BUILD, self.package, self.version)

    def fetch(self, into: Path) -> None:
        environment = _go_environment("mod")
        with _scratch(into.parent) as scratch:
            _build("go", "mod", "init", "scratch", cwd=scratch, environment=environment)
            _reach("go", "get", f"{self.package}@{self.version}", cwd=scratch, environment=environment)
            _reach("go", "list", "-deps", self.package, cwd=scratch, environment=environment)
            _build(*GO_BUILD, f"-o={into}/program", self.package, cwd=scratch, environment=environment)


@dataclass(frozen=True)
class Wheel:
    """A program that is published as a Python wheel."""

    project: str
    version: str

    @property
    def label(self) -> str:
        return f"{self.project}-{self.version}"

    def key(self) -> str:
        return _digest(self.label)

    def fetch(self, into: Path) -> None:
        pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet")
        options = ("install", "--no-deps", "--no-compile", "--only-binary=:all:", f"--target={into}")
        _reach(*pip, *options, f"{self.project}=={self.version}", cwd=into)


@dataclass(frozen=True)
class DebianPackage:
    """Programs of a Debian package, unpacked and not installed.

    `libraries` are the packages of the shared libraries that the programs need. They are unpacked too if the
    machine lacks them, and `programs` are then wrapped so that they find them.
    """

    package: str
    libraries: tuple[str, ...]
    programs: tuple[str, ...]

    @property
    def label(self) -> str:
        return self.package

    def key(self) -> str:
        return _digest(self.package, *self.libraries, *self.programs)

    def fetch(self, into: Path) -> None:
        _require("apt-get", "dpkg", "ldd")
        self._unpack(self.package, into)
        lacking = [into / program for program in self.programs if _lacking(into / program)]
        if not lacking:
            return
        for library in self.libraries:
            self._unpack(library, into)
        folders = sorted({file.parent for file in into.rglob("lib*.so.*")})
        for program in lacking:
            if lines := _lacking(program, LD_LIBRARY_PATH=os.pathsep.join(map(str, folders))):
                raise _Unavailable(f"{program.name} lacks {lines[0].strip()}")
            _wrap(program, folders)

    def _unpack(self, package: str, into: Path) -> None:
        with _scratch(into.parent) as folder:
            self._download(package, folder)
            for archive in folder.glob("*.deb"):
                _reach("dpkg", "-x", str(archive), str(into), cwd=into)

    def _download(self, package: str, into: Path) -> None:
        as_root = os.geteuid() == 0
        sandbox = ("-o", "APT::Sandbox::User=root") if as_root else ()  # _apt cannot write to our cache
        download = ("apt-get", "download", "--quiet", *sandbox, package)
        try:
            _reach(*download, cwd=into)
        except _Unavailable:
            if not as_root:
                raise
            _reach("apt-get", "update", cwd=into)  # a fresh container has no lists of packages
            _reach(*download, cwd=into)


def _lacking(program: Path, **environment: str) -> list[str]:
    """The shared libraries that the loader does not find, as ldd names them."""
    lines = _run("ldd", str(program), cwd=program.parent, environment=environment).splitlines()
    return [line for line in lines if "not found" in line]


def _wrap(program: Path, folders: list[Path]) -> None:
    """Puts a script in the program's place that starts it with the folders on its library path."""
    path = os.pathsep.join(f"$here/{os.path.relpath(folder, program.parent)}" for folder in folders)
    real = program.rename(program.with_name(f"{program.name}.real"))
    program.write_text(f'#!/bin/sh\nhere=$(dirname "$0")\nLD_LIBRARY_PATH="{path}" exec "$here/{real.name}" "$@"\n')
    program.chmod(0o755)


def _example(path: str) -> tuple[Source, str]:
    return GoPackage(f"{GO_PLUGIN}/examples/{path}", "v1.8.0"), "program"


def _redpanda(command: str) -> tuple[Source, str]:
    return OwnGo(command, "4.100.0", module="redpanda"), "program"


def _own(command: str, go_plugin: str) -> tuple[Source, str]:
    modfile = {"1.7.0": "go-1.7.0.mod", "1.8.0": "go.mod"}[go_plugin]
    return OwnGo(command, go_plugin, modfile), "program"


CROWDSEC = DebianPackage("crowdsec", libraries=("libsqlite3-0",), programs=("usr/bin/crowdsec", "usr/bin/cscli"))

PROGRAMS: dict[str, tuple[Source, str]] = {  # each with its path in what the source brings
    "host-1.7.0": _own("host", "1.7.0"),
    "host-1.8.0": _own("host", "1.8.0"),
    "plugin-1.7.0": _own("plugin", "1.7.0"),
    "plugin-1.8.0": _own("plugin", "1.8.0"),
    "plugintcp-1.8.0": _own("plugintcp", "1.8.0"),
    "counterhost-1.7.0": _own("counterhost", "1.7.0"),
    "counterhost-1.8.0": _own("counterhost", "1.8.0"),
    "batchprocessor-1.8.0": _own("batchprocessor", "1.8.0"),
    "batchhost": _own("batchhost", "1.8.0"),
    "yamux": _own("yamux", "1.8.0"),
    "caller": _own("caller", "1.8.0"),
    "kmshost": (OwnGo("kmshost", "2.0.9", module="kms"), "program"),
    "kms-aead": (GoPackage("github.com/hashicorp/go-kms-wrapping/plugin/v2/testplugins/aead", "v2.0.9"), "program"),
    "engine": _redpanda("engine"),
    "rpcn": _redpanda("rpcn"),
    "nats-server": (GoPackage("github.com/nats-io/nats-server/v2", "v2.15.2"), "program"),
    "example-grpc-host": _example("grpc"),
    "example-kv-plugin": _example("grpc/plugin-go-grpc"),
    "example-kv-plugin-netrpc": _example("grpc/plugin-go-netrpc"),
    "example-streaming-host": _example("streaming"),
    "example-streaming-plugin": _example("streaming/plugin"),
    "example-negotiated-host": _example("negotiated"),
    "example-negotiated-plugin": _example("negotiated/plugin-go"),
    "example-bidirectional-host": _example("bidirectional"),
    "example-bidirectional-plugin": _example("bidirectional/plugin-go-grpc"),
    "tflint": (GoPackage("github.com/terraform-linters/tflint", "v0.50.3"), "program"),  # the last under MPL-2.0 alone
    "protolint": (Wheel("protolint-bin", "0.58.0"), "bin/protolint"),
    "crowdsec": (CROWDSEC, "usr/bin/crowdsec"),
    "cscli": (CROWDSEC, "usr/bin/cscli"),
    "crowdsec-dummy": (CROWDSEC, "usr/lib/crowdsec/plugins/dummy"),
}
NAMES = tuple(PROGRAMS)


def cache() -> Path:
    """The folder that holds everything, made if it is not there."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(os.environ.get("GOPLUGIN_CACHE") or Path(base) / "goplugin").absolute()
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def program(name: str) -> Path:
    """The executable of that name, fetched and built first if the cache lacks it or its sources have changed.

    Raises Missing if this machine cannot have it, BuildFailed if its source does not build.
    """
    source, path = PROGRAMS[name]
    try:
        folder = cache() / f"{source.label}-{source.key()}"
        if not folder.is_dir():
            _provide(source, folder)
    except _Unavailable as unavailable:
        raise Missing(name, str(unavailable)) from unavailable
    return folder / path


def _provide(source: Source, folder: Path) -> None:
    with _lock(folder.parent):
        if folder.is_dir():  # another process was faster
            return
        for leftover in folder.parent.glob(f"{BUILDING}*"):  # of a build that was killed: we hold the lock
            shutil.rmtree(leftover)
        with _scratch(folder.parent) as scratch:
            content = scratch / "content"
            content.mkdir()
            source.fetch(content)
            content.rename(folder)


@contextlib.contextmanager
def _scratch(parent: Path) -> Generator[Path, None, None]:
    with tempfile.TemporaryDirectory(dir=parent, prefix=BUILDING) as folder:
        yield Path(folder)


@contextlib.contextmanager
def _lock(folder: Path) -> Generator[None, None, None]:
    """One process at a time: go build keeps every core busy by itself."""
    deadline = time.monotonic() + LOCK_LIMIT
    with (folder / "lock").open("w") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise TimeoutError(f"another process has held {file.name} for {LOCK_LIMIT:.0f} s") from None
                time.sleep(0.1)
        yield


def main() -> int:
    """Provisions the named programs, or all, one line each; returns the exit status."""
    parser = argparse.ArgumentParser(description="Fetches, builds and caches the programs that the tests run.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="one of: " + ", ".join(NAMES))
    parser.add_argument("--strict", action="store_true", help="fail if a program is missing")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - set(NAMES):
        parser.error(f"no such program: {', '.join(sorted(unknown))}")

    missing = broken = 0
    for name in arguments.names or NAMES:
        began = time.monotonic()
        try:
            program(name)
            outcome = "ok"
        except Missing as absent:
            missing += 1
            outcome = f"missing: {absent.why}"
        except BuildFailed as failure:
            broken += 1
            outcome = f"broken: {failure}"
        print(f"{time.monotonic() - began:6.1f} s  {name:<30} {outcome}", flush=True)
    return 1 if broken or (missing and arguments.strict) else 0


if __name__ == "__main__":
    sys.exit(main())
