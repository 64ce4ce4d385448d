"""The samples on our pages are what they claim to be: Python, YAML and commands of today's names and options."""

import ast
import importlib
import inspect
import os
import re
import shlex
import subprocess
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
import typer.main
import yaml

from goplugin import batch, hostlib, pluginlib
from goplugin.cli import _main

ROOT = Path(__file__).parent.parent
PAGES = sorted({ROOT / "README.md", *ROOT.glob("docs/*.md"), *ROOT.glob("examples/**/*.md")})
GOPLUGIN = os.path.join(sysconfig.get_path("scripts"), "goplugin")
MODULES = {"batch": batch, "hostlib": hostlib, "pluginlib": pluginlib}


def samples(language: str) -> Iterator[object]:
    for page in PAGES:
        text = page.read_text()
        for block in re.finditer(r"^```(\w*)\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
            if block[1] == language:
                line = text.count("\n", 0, block.start()) + 1
                yield pytest.param(block[2], id=f"{page.relative_to(ROOT)}:{line}")


def commands() -> Iterator[object]:
    """Every line that starts the command, in a block with a prompt or an indented one."""
    for page in PAGES:
        for number, line in enumerate(page.read_text().replace("\\\n", " ").splitlines(), 1):
            if found := re.match(r"(?:\$ [^#]*?|    (?:[A-Z_]+=\S+ )*)\bgoplugin ([a-z][^#]*)", line):
                yield pytest.param(found[1], id=f"{page.relative_to(ROOT)}:{number}")


def options(call: ast.Call) -> set[str] | None:
    """The keyword arguments of what is called, where that is one of ours with many of them."""
    match ast.unparse(call.func).rsplit(".", 1)[-1], ast.unparse(call.func):
        case "Client", _:
            return {"plugins", "versions", *hostlib.Options.__annotations__}
        case "Supervised", _:
            return set(inspect.signature(hostlib.Supervised).parameters)
        case _, "pluginlib.serve":
            return set(inspect.signature(pluginlib.serve).parameters)
        case _:
            return None


@pytest.mark.parametrize("sample", list(samples("python")))
def test_python_on_a_page_uses_names_and_options_that_exist(sample: str) -> None:
    for node in ast.walk(ast.parse(sample)):
        match node:
            case ast.Attribute(value=ast.Name(id=module), attr=name) if module in MODULES:
                assert name in MODULES[module].__all__, f"{module}.{name}"
            case ast.ImportFrom(module=str(module), names=names) if module.split(".")[0] == "goplugin":
                for alias in names:
                    assert _exists(module, alias.name), f"{module}.{alias.name}"
            case ast.Call() if (known := options(node)) is not None:
                assert {word.arg for word in node.keywords if word.arg} <= known
            case _:
                pass


def _exists(module: str, name: str) -> bool:
    return module == "goplugin" or hasattr(importlib.import_module(module), name)


@pytest.mark.parametrize("sample", list(samples("yaml")))
def test_yaml_on_a_page_has_parts_of_a_pipeline_or_a_descriptor(sample: str) -> None:
    document = yaml.safe_load(sample)
    assert document
    assert set(document) <= {"input", "pipeline", "output"} or {"name", "command", "type"} <= set(document)


@pytest.mark.parametrize("command", list(commands()))
def test_a_command_on_a_page_exists_with_its_options(command: str) -> None:
    ours, _, _ = command.partition(" -- ")
    name, *words = shlex.split(ours.replace("[", " ").replace("]", " "))
    group = typer.main.get_group(_main.app)
    assert name in group.commands
    known = {word for parameter in group.commands[name].params for word in parameter.opts} | {"--help"}
    assert {word for word in words if word.startswith("-")} <= known


def test_the_first_pipeline_on_the_page_of_run_runs_as_it_is_written(tmp_path: Path) -> None:
    console, pipeline = re.findall(r"^```(?:console|yaml)\n(.*?)^```", (ROOT / "docs/run.md").read_text(), re.M | re.S)[
        :2
    ]
    script = "".join(line.removeprefix("$ ") for line in console.splitlines(keepends=True))
    (tmp_path / "mine.yaml").write_text(pipeline)
    subprocess.run(
        ["bash", "-e", "-c", f"{script}goplugin run --plugins plugin.yaml ../mine.yaml"],
        cwd=tmp_path,
        env={**os.environ, "PATH": f"{os.path.dirname(GOPLUGIN)}:{os.environ['PATH']}"},
        check=True,
        capture_output=True,
        timeout=100,
    )
    assert (tmp_path / "shout" / "out.txt").read_text() == "".join(f"{number}?\n" for number in range(1, 1001))


def cells(page: str) -> Iterator[tuple[tuple[str, str, str], str]]:
    """What each table of a page says, by its first heading, the first cell of the row and the heading of the column."""
    head: list[str] = []
    for line in (ROOT / "docs" / page).read_text().splitlines():
        row = [cell.strip() for cell in line.split("|")[1:-1]]
        if row and head:
            yield from (((head[0], row[0], name), cell) for name, cell in zip(head[1:], row[1:], strict=False))
        head = head or row if row else []


def test_what_is_said_of_others_is_what_the_figures_and_the_faults_say() -> None:
    known = {**dict(cells("figures.md")), **dict(cells("faults.md"))}
    said = dict(cells("comparison.md"))
    assert len(said) > 50
    for place, cell in said.items():
        assert cell == known[place] or cell == known[place].partition(" (")[0], f"{place}: see figures.md and faults.md"
    [whole_run] = re.findall(r"takes\s([0-9.]+) of the time", (ROOT / "docs" / "comparison.md").read_text())
    run = ("goplugin run, @batch.processor, ratio to", "a run from start to end (less is better)")
    assert whole_run == known[*run, "Redpanda Connect, @batch.processor 4.100.0"].partition(" (")[0]
