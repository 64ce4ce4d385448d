"""`goplugin new`: what it writes runs, passes its own test and has nothing that `goplugin lint` objects to."""

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
import typer

from goplugin.cli._new import Kind, new

GOPLUGIN = os.path.join(sysconfig.get_path("scripts"), "goplugin")
SOON = 60.0  # seconds for what takes one


def goplugin(here: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([GOPLUGIN, *arguments], cwd=here, capture_output=True, text=True, timeout=SOON)


@pytest.mark.parametrize(
    ("kind", "written"), [("processor", "HELLO!\n" * 3), ("input", "1\n2\n3\n"), ("output", "hello\n" * 3)]
)
def test_what_is_written_runs_at_once_and_passes_its_own_test(tmp_path: Path, kind: str, written: str) -> None:
    done = goplugin(tmp_path, "new", kind, "My-Plugin")
    assert (done.returncode, done.stderr) == (0, "")
    project = tmp_path / "My-Plugin"
    assert f" has {'a' if kind == 'processor' else 'an'} {kind} named my_plugin" in done.stdout
    lint = goplugin(project, "lint", "pipeline.yaml")
    assert (lint.returncode, lint.stderr) == (0, "")
    ran = goplugin(project, "run", "pipeline.yaml")
    assert ran.returncode == 0, ran.stderr
    assert ((project / "out.txt").read_text() if kind == "output" else ran.stdout) == written
    tested = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--basetemp={tmp_path / 'temp'}"],
        cwd=project,
        capture_output=True,
        text=True,
        timeout=SOON,
    )
    assert tested.returncode == 0, tested.stdout
    assert "1 passed" in tested.stdout
    names = {"my_plugin.py", "plugin.yaml", "pipeline.yaml", "test_my_plugin.py", "README.md"}
    assert names <= set(os.listdir(project))


def test_what_is_there_is_never_touched(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "README.md").write_text("mine")
    done = goplugin(tmp_path, "new", "input", "mine")
    assert (done.returncode, done.stderr) == (2, "error: mine has these already: README.md\n")
    assert os.listdir(tmp_path / "mine") == ["README.md"]


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("123", "want a letter first"),
        ("---", "want a letter first"),
        *((name, "Python has a word, a function or a module that is called so") for name in (
            "class", "json", "str", "open", "range", "bytes", "int", "print", "Type")),
        *((name, "a module of that name is installed, and the plugin would hide it") for name in (
            "grpc", "google", "yaml", "typing-extensions", "cryptography")),
        *((name, "what is written uses that name for something else") for name in (
            "goplugin", "batch", "pytest", "tmp-path")),
        *((name, "pytest would take it for a test") for name in ("test-it", "tester", "tests")),
    ],
)  # fmt: skip
def test_a_directory_whose_name_is_no_plugins_name_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, why: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(typer.Exit) as end:
        new(Kind.OUTPUT, f"./{name}")
    assert end.value.exit_code == 2
    assert capsys.readouterr().err == f"error: {name.lower()!r} is no name for a plugin: {why}\n"
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("kind", "name"), [("input", "stdin"), ("input", "generate"), ("output", "drop"), ("output", "stdout")]
)
def test_a_name_that_is_built_in_is_refused(tmp_path: Path, kind: str, name: str) -> None:
    done = goplugin(tmp_path, "new", kind, name)
    assert done.returncode == 2
    assert done.stderr == f"error: '{name}' is no name for a plugin: an {kind} of that name is built in\n"
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    "name", ["message", "config", "match", "lines", "number", "batches", "plugin", "conftest", "process", "drop"]
)
def test_a_name_that_does_no_harm_is_taken(tmp_path: Path, name: str) -> None:
    new(Kind.PROCESSOR, str(tmp_path / name))
    assert (tmp_path / name / f"{name}.py").exists()


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = goplugin(tmp_path, "new", "processor", "file/mine")
    assert done.returncode == 1
    assert done.stderr.startswith("error: cannot write file/mine: ")
