"""Whatever standard output and standard error are, no command ends in a traceback, nor in 0 if its result is lost."""

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

GOPLUGIN = os.path.join(sysconfig.get_path("scripts"), "goplugin")
SOON = 60.0  # seconds for what takes one
FULL = "No space left on device"
CLOSED = "Bad file descriptor"

pytestmark = pytest.mark.skipif(not os.path.exists("/dev/full"), reason="only Linux has /dev/full")


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """Give the directory of a plugin, with pipelines."""
    done = subprocess.run([GOPLUGIN, "new", "processor", "shout"], cwd=tmp_path, capture_output=True, timeout=SOON)
    assert done.returncode == 0
    project = tmp_path / "shout"
    text = (project / "pipeline.yaml").read_text()
    (project / "file.yaml").write_text(text.replace("stdout: {}", "file: {path: out}"))
    (project / "wrong.yaml").write_text("input: {}\n")
    return project


def shell(here: Path, line: str) -> "subprocess.CompletedProcess[str]":
    """Run a line of sh in which goplugin is "goplugin" and this Python "python"."""
    script = f'goplugin() {{ "{GOPLUGIN}" "$@"; }}\npython="{sys.executable}"\n{line}'
    return subprocess.run(["sh", "-c", script], cwd=here, capture_output=True, text=True, timeout=SOON)


@pytest.mark.parametrize(("redirection", "why"), [(">&-", CLOSED), (">/dev/full", FULL)])
def test_a_summary_that_cannot_be_printed_is_a_warning(here: Path, redirection: str, why: str) -> None:
    done = shell(here, f"goplugin run file.yaml {redirection}")
    assert (done.returncode, done.stderr) == (0, f"warning: cannot write the summary: {why}\n")
    assert (here / "out").read_text() == "HELLO!\n" * 3


def test_the_summary_of_a_run_that_failed_leaves_its_exit_code_alone(here: Path) -> None:
    (here / "shout.py").write_text((here / "shout.py").read_text().replace("message.text.upper()", "1 / 0"))
    done = shell(here, "goplugin run file.yaml >/dev/full")
    assert done.returncode == 1
    assert f"\nwarning: cannot write the summary: {FULL}\n" in done.stderr
    assert "Traceback" not in done.stderr
    assert shell(here, "goplugin run --allow-failed file.yaml >/dev/full").returncode == 0


@pytest.mark.parametrize(("redirection", "why"), [(">&-", "it is closed"), (">/dev/full", FULL)])
def test_messages_that_cannot_be_written_to_standard_output_are_an_error(
    here: Path, redirection: str, why: str
) -> None:
    done = shell(here, f"goplugin run pipeline.yaml {redirection}")
    assert (done.returncode, done.stderr) == (1, f"error: cannot write to standard output: {why}\n")


@pytest.mark.parametrize(("redirection", "why"), [(">&-", CLOSED), (">/dev/full", FULL)])
@pytest.mark.parametrize(
    "command", ['inspect -- "$python" shout.py', 'inspect --json -- "$python" shout.py', "--version", "run --help"]
)
def test_a_result_that_cannot_be_printed_is_an_error(here: Path, command: str, redirection: str, why: str) -> None:
    done = shell(here, f"goplugin {command} {redirection}")
    assert (done.returncode, done.stderr) == (1, f"error: cannot write to standard output: {why}\n")


def test_a_reader_that_has_read_enough_is_not_told(here: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    command = [GOPLUGIN, "inspect", "--", sys.executable, "shout.py"]
    done = subprocess.run(command, cwd=here, stdout=write, stderr=subprocess.PIPE, text=True, timeout=SOON)
    os.close(write)
    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.parametrize(("redirection", "why"), [(">&-", CLOSED), (">/dev/full", FULL)])
def test_a_plugin_is_written_although_that_cannot_be_told(here: Path, redirection: str, why: str) -> None:
    done = shell(here, f"goplugin new input ticks {redirection}")
    assert (done.returncode, done.stderr) == (0, f"warning: cannot write to standard output: {why}\n")
    assert (here / "ticks" / "ticks.py").exists()


@pytest.mark.parametrize("redirection", ["2>/dev/full", "2>&- >&-"])
@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("run file.yaml", 0),
        ("run wrong.yaml", 2),
        ("run absent.yaml", 1),
        ("lint file.yaml", 0),
        ("lint wrong.yaml", 2),
        ("new input 123", 2),
        ("new input ticks", 0),
        ("no-such-command", 2),
    ],
)
def test_words_that_cannot_be_written_leave_the_exit_code_alone(
    here: Path, command: str, code: int, redirection: str
) -> None:
    done = shell(here, f"goplugin {command} {redirection}")
    assert (done.returncode, done.stderr) == (code, "")
    assert (here / "out").exists() == (command == "run file.yaml")


def test_what_is_opened_later_never_gets_the_number_of_a_closed_stream(here: Path) -> None:
    program = (
        "import os, sys\n"
        "from goplugin.cli._standard import guard\n"
        "guard()\n"
        "file = os.open('later', os.O_WRONLY | os.O_CREAT)\n"
        "print('lost'); print('lost', file=sys.stderr); os.write(file, b'%d' % file)\n"
    )
    (here / "program.py").write_text(program)
    assert shell(here, '"$python" program.py >&- 2>&-').returncode == 0
    assert int((here / "later").read_text()) > 2
    assert shell(here, '"$python" program.py <&- >&- 2>&-').returncode == 0
    assert (here / "later").read_text()[0] == "0", "standard input stays closed, so that reading it is an error"


def test_a_stream_that_is_well_stays_as_it_was(here: Path) -> None:
    program = (
        "import sys\n"
        "from goplugin.cli._standard import guard, lost\n"
        "before = [(one.encoding, one.errors, one.line_buffering, one.fileno()) for one in (sys.stdout, sys.stderr)]\n"
        "guard()\n"
        "after = [(one.encoding, one.errors, one.line_buffering, one.fileno()) for one in (sys.stdout, sys.stderr)]\n"
        "print('é', before == after, lost())\n"
    )
    (here / "program.py").write_text(program)
    assert shell(here, 'PYTHONUTF8=1 "$python" program.py').stdout == "é True None\n"
