"""The fixture that sees what a test leaves behind, in a run of its own."""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

# What is started ends with its stdin, a pipe that the test outside holds.
TESTS = """
import os, subprocess, sys, time
from pathlib import Path
import leftovers, psutil
from leftovers import nothing_left, warm_grpc

leftovers.PATIENCE = 1.0
leftovers.SHORT = Path({short!r})
kept = []

def run_and_forget(shell):
    subprocess.run(["sh", "-c", f"exec 3<&0; setsid {{shell}} <&3 >/dev/null 2>&1 &"], check=True)

def runs(command):
    return [one for one in psutil.Process().children(recursive=True)
            if one.status() == psutil.STATUS_SLEEPING and one.cmdline() == [command]]

def test_process():
    run_and_forget("cat")
    while not runs("cat"):
        time.sleep(0.01)

def test_zombie():
    kept.append(subprocess.Popen(["true"]))

def test_directory(monkeypatch):
    monkeypatch.setenv("TMPDIR", "/a/path/too/long")
    (leftovers.SHORT / "goplugin-123").mkdir()

def test_file():
    Path(os.environ["TMPDIR"], "file").touch()

def test_descriptor():
    kept.append(os.open("/", os.O_RDONLY))

def test_nothing():
    leftovers.PATIENCE = 60.0
    run_and_forget("true")
    subprocess.run(["true"])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a process whose parent has ended is out of sight")
def test_whatever_a_test_leaves_fails_it_a_process_that_nobody_waits_for_too(tmp_path: Path) -> None:
    file = tmp_path / "test_leaving.py"
    support = {"PYTHONPATH": str(Path(__file__).parent / "support")}
    command = [sys.executable, "-m", "pytest", "-s", "-rA", "-p", "no:cacheprovider", "-c", "/dev/null", str(file)]
    read, held = os.pipe()
    try:
        with tempfile.TemporaryDirectory(dir="/tmp") as short:
            file.write_text(TESTS.format(short=short))
            env = os.environ | support
            ran = subprocess.run(
                command, cwd=tmp_path, env=env, stdin=read, stdout=subprocess.PIPE, text=True, timeout=100
            )
    finally:
        os.close(held)
        os.close(read)
    failed = re.findall(r"^ERROR test_leaving.py::test_(\w+)", ran.stdout, re.MULTILINE)
    assert sorted(failed) == ["descriptor", "directory", "file", "process", "zombie"], ran.stdout
    assert re.search(r"process [0-9]+ sleeping \['cat'\]", ran.stdout)
