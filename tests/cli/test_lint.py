"""`goplugin lint`: a line for each fault, and an exit code."""

import os
import subprocess
import sysconfig
from pathlib import Path

import pytest

GOPLUGIN = os.path.join(sysconfig.get_path("scripts"), "goplugin")


def lint(here: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([GOPLUGIN, "lint", *arguments], cwd=here, capture_output=True, text=True, timeout=60)


def test_all_faults_are_shown_with_their_places(tmp_path: Path) -> None:
    (tmp_path / "plugin.yaml").write_text("name: a\ncommand: []\ntype: input\n")
    (tmp_path / "p.yaml").write_text("input: {stdin: {}, file: {}}\noutput:\n  nowhere: {}\n")
    done = lint(tmp_path, "p.yaml")
    assert done.returncode == 2
    assert [line.partition(": got")[0] for line in done.stderr.splitlines()] == [
        "plugin.yaml:2: command",
        "p.yaml:1: input",
        "p.yaml:3: output.nowhere",
    ]


def test_where_all_is_well_nothing_is_said(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text("input: {stdin: {}}\noutput: {stdout: {}}\n")
    done = lint(tmp_path, "p.yaml")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_descriptors_alone_can_be_looked_at_where_they_are(tmp_path: Path) -> None:
    assert lint(tmp_path).returncode == 0
    done = lint(tmp_path, "--plugins", "there/*.yaml")
    assert (done.returncode, done.stderr) == (2, "no plugin descriptor matches there/*.yaml\n")


@pytest.mark.parametrize("name", ["plugin.yaml", "my.plugin.yaml", "there/plugin.yaml", "there/far/plugin.yaml"])
def test_a_descriptor_that_is_named_is_looked_at_as_one_and_once(tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_text("name: a\ncommand: []\ntype: input\n")
    done = lint(tmp_path, name)
    assert [line.partition(": got")[0] for line in done.stderr.splitlines()] == [f"{name}:2: command"]


def test_a_descriptor_that_is_not_there_is_told(tmp_path: Path) -> None:
    assert "cannot read the pipeline file absent.plugin.yaml" in lint(tmp_path, "absent.plugin.yaml").stderr
