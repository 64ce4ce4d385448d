"""Every row of docs/faults.toml has a test, and a run that docs/faults.md does not agree with fails.

Faults that no plugin can play, because they are in how processes are started, are here as well.
"""

import ast
import contextlib
import os
import subprocess
import sys
import threading
from pathlib import Path
from types import ModuleType
from typing import Any

import fault_record
import psutil
import pytest
from shells import SHELLS, SUPPORT, program

from goplugin.handshake import MachineFault

ROOT = Path(__file__).parent.parent
BAD_PLUGINS = sorted((ROOT / "interop_tests" / "badplugins").iterdir())
ROWS = range(1, 51)


@pytest.fixture
def faults() -> ModuleType:
    return fault_record.faults()


def marked() -> dict[str, list[int]]:
    """Return the tests whose source names rows, with those."""
    found: dict[str, list[int]] = {}
    for file in [*(ROOT / "tests").rglob("test_*.py"), *(ROOT / "interop_tests").glob("test_*.py")]:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                marks = [d for d in node.decorator_list if ast.unparse(d).startswith("pytest.mark.fault(")]
                rows = [ast.literal_eval(row) for mark in marks if isinstance(mark, ast.Call) for row in mark.args]
                if rows:
                    found[f"{file.relative_to(ROOT)}::{node.name}"] = sorted(rows)
    return found


@pytest.mark.parametrize("program", BAD_PLUGINS, ids=lambda program: program.name)
def test_a_bad_program_says_what_it_does_in_ten_lines_at_most(program: Path) -> None:
    text = program.read_text()
    first, _, rest = text.partition("\n")
    assert first.startswith(('"""', "# "))
    assert len([line for line in rest.splitlines() if line.strip()]) <= 10


def test_the_page_names_every_test_of_a_fault_and_no_other(faults: ModuleType) -> None:
    assert faults.tests_on_page() == marked(), "run: python docs/faults.py"


def test_every_fault_has_a_test(faults: ModuleType) -> None:
    assert sorted(faults.rows()) == list(ROWS)
    covered = {row for rows in marked().values() for row in rows}
    assert covered == set(ROWS)


RECORD = {
    "test_one.py::test_one": {"rows": [1], "outcome": "passed", "go_plugin": {"1.8.0": "panics"}},
    "test_two.py::test_two": {"rows": [2], "outcome": "passed", "go_plugin": {"1.8.0": "hangs"}},
}


@pytest.mark.parametrize(
    ("change", "whole", "complaint"),
    [
        ({}, True, None),
        ({"go_plugin": {"1.8.0": "goes on"}}, False, "it does not say: 1.8.0: goes on"),
        ({"rows": [2, 3]}, False, "it does not say: | 3 | [`test_two`](../test_two.py) |"),
        ({"go_plugin": {}}, False, None),
        ({"go_plugin": {}}, True, "it says more than the tests found out"),
        ({"go_plugin": {}, "outcome": "skipped"}, True, None),
        (None, False, None),
        (None, True, "did not run: test_two.py::test_two"),
    ],
)
def test_what_a_run_found_out_is_compared_with_the_page(
    change: dict[str, Any] | None,
    whole: bool,
    complaint: str | None,
    faults: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    page = tmp_path / "page.md"
    page.write_text(faults.page(RECORD))
    monkeypatch.setattr(faults, "PAGE", page)
    one, two = RECORD
    record = {one: RECORD[one]} | ({two: RECORD[two] | change} if change is not None else {})
    assert faults.complaints(record, whole=whole) == ([complaint, "run: python docs/faults.py"] if complaint else [])


SEES = """
import pytest

@pytest.mark.fault(1)
def test_it(go_plugin_did):
    go_plugin_did("1.8.0", "does what no page tells of")
"""


def test_a_run_that_several_processes_share_fails_where_the_page_does_not_agree(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["fault_record"]\n')
    for name in ("one", "two"):
        (tmp_path / f"test_{name}.py").write_text(SEES)
    command = [sys.executable, "-m", "pytest", "--numprocesses=2", "--dist=loadfile", "-c", "/dev/null", "."]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "tests" / "support"), "TMPDIR": str(tmp_path)}
    ran = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=100)
    assert (ran.returncode, ran.stdout.count("it does not say: 1.8.0: does what no page tells of")) == (1, 2)
    assert "2 passed" in ran.stdout


@pytest.mark.fault(41)
@pytest.mark.parametrize("shell", SHELLS)
def test_a_plugin_outlives_the_thread_that_started_it(shell: str) -> None:
    client = SHELLS[shell](program("bare.py"))
    with contextlib.closing(client):
        starter = threading.Thread(target=client.start)
        starter.start()
        starter.join(30)
        # The system sees a thread's end a moment after Python does; only then would its children be signalled.
        while starter.native_id in {thread.id for thread in psutil.Process().threads()}:
            client.ping()
        client.ping()
        assert client.stop().how == "shutdown"


FORKS = """
import os, subprocess, sys
forks = []
os.register_at_fork(before=lambda: forks.append(1))
from shells import SHELLS, program
client = SHELLS[sys.argv[1]](program("bare.py"))
client.start()
client.close()
ours = len(forks)
subprocess.run(["true"], preexec_fn=int)
print(ours, len(forks))
"""


@pytest.mark.fault(42)
@pytest.mark.parametrize("shell", SHELLS)
def test_a_start_forks_nothing(shell: str) -> None:
    """The last start in the program does fork, as a control."""
    environment = os.environ | SUPPORT | {"GRPC_ENABLE_FORK_SUPPORT": "0"}
    command = [sys.executable, "-c", FORKS, shell]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "0 1\n"


@pytest.mark.fault(31)
@pytest.mark.parametrize("shell", SHELLS)
def test_a_link_that_lies_where_the_sockets_should_is_not_followed(
    shell: str, nothing_left: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever could guess the random name would keep the plugin from starting, and no more."""
    monkeypatch.setattr(os, "urandom", bytes)
    elsewhere, link = Path(nothing_left, "elsewhere"), Path(nothing_left, f"goplugin-{bytes(6).hex()}")
    elsewhere.mkdir()
    link.symlink_to(elsewhere)
    client = SHELLS[shell](program("bare.py"))
    with contextlib.closing(client), pytest.raises(MachineFault, match="File exists"):
        client.start()
    assert list(elsewhere.iterdir()) == []
    link.unlink()
    elsewhere.rmdir()
