"""`goplugin run` in a process of its own: what it shows, how it ends, and that it leaves nothing behind."""

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import sysconfig
import tempfile
import termios
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from time import monotonic, sleep

import psutil
import pytest
from waiting import until

GOPLUGIN = os.path.join(sysconfig.get_path("scripts"), "goplugin")
ROOT = Path(__file__).parent.parent.parent
SOON = 60.0  # seconds for what takes one

ACTOR = """
import logging, os, sys, time
from goplugin import batch

@batch.processor
def act(message, config):
    match message.payload.split():
        case [b"fail", *_]:
            raise ValueError("too \\x1b[31mbad")
        case [b"drop"]:
            return None
        case [b"nan"]:
            return batch.Message(structured=float("nan"))
        case [b"exit-once", code] if not os.path.exists("died"):
            open("died", "w").close()
            os._exit(int(code))
        case [b"exit", code]:
            os._exit(int(code))
        case [b"sleep", seconds]:
            open("asleep", "w").close()
            time.sleep(float(seconds))
        case [b"print"]:
            print("said aloud", flush=True)
        case [b"warn"]:
            logging.getLogger("actor").warning("take care", extra={"of": "it"})
    message.payload = message.payload.upper() + str(config["suffix"]).encode()
    return message

if __name__ == "__main__":
    batch.serve(act)
"""
DESCRIPTOR = """
name: actor
command: [python3, actor.py]
type: processor
fields: [{name: suffix, type: string, default: "!"}]
"""


def pipeline(
    source: str = "{file: {paths: [in]}}", sink: str = "{file: {path: out}}", processors: str = "", period: str = ""
) -> str:
    return f"""
input: {{batched: {{child: {source}, policy: {{count: 2, period: "{period}"}}}}}}
pipeline: {{processors: [{processors or "actor: {}"}]}}
output: {sink}
"""


@dataclass
class Place:
    """A directory with a pipeline in it, and what `goplugin` is run with there."""

    path: Path
    environment: dict[str, str]
    started: list["subprocess.Popen[bytes]"] = field(default_factory=list["subprocess.Popen[bytes]"])

    def write(self, name: str, text: str) -> None:
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def run(self, *arguments: str, data: bytes | None = None) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [GOPLUGIN, "run", *arguments],
            cwd=self.path,
            env=self.environment,
            input=data,
            stdin=None if data is not None else subprocess.DEVNULL,
            capture_output=True,
            timeout=SOON,
        )
        return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())

    def start(
        self, *arguments: str, stdin: int = subprocess.DEVNULL, command: tuple[str, ...] = (GOPLUGIN,)
    ) -> "subprocess.Popen[bytes]":
        process = subprocess.Popen(
            [*command, "run", *arguments],
            cwd=self.path,
            env=self.environment,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.started.append(process)
        return process

    @property
    def out(self) -> str:
        return (self.path / "out").read_text()


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """Give a directory; afterwards no process may be left that was started there, and no temporary file."""
    mark = f"RUN_TEST_{uuid.uuid4().hex}"
    with tempfile.TemporaryDirectory(prefix="gp-", dir="/tmp") as folder:
        kept = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "FORCE_COLOR", "NO_COLOR")}
        place = Place(tmp_path, {**kept, "TMPDIR": folder, "TERM": "xterm", mark: "1"})
        place.write("actor.py", ACTOR)
        place.write("plugin.yaml", DESCRIPTOR)
        place.write("p.yaml", pipeline())
        place.write("in", "a\nb\nc\n")
        yield place
        for process in place.started:
            with process:  # closes its pipes, and waits
                process.kill()
        limit = monotonic() + SOON
        while left := [process for process in psutil.process_iter() if _inherited(process, mark)]:
            assert monotonic() < limit, f"left behind: {left}"
            sleep(0.02)
        assert os.listdir(folder) == []


def _inherited(process: psutil.Process, mark: str) -> bool:
    try:
        return mark in process.environ()
    except psutil.Error:  # gone, a zombie, or not ours
        return False


def rows(table: str) -> dict[str, list[str]]:
    return {words[0]: words[1:] for line in table.splitlines() if len(words := line.split()) > 1}


def test_a_pipeline_runs_and_a_plain_table_sums_up(place: Place) -> None:
    done = place.run("p.yaml")
    assert (done.returncode, done.stderr) == (0, "")
    assert place.out == "A!\nB!\nC!\n"
    table = rows(done.stdout)
    assert table["messages"][:3] == ["batches", "bytes", "messages/s"]
    assert table["input"] == ["3", "2", "6"]
    assert table["output"] == ["3", "2", "9"]
    assert table["actor"][:2] == ["3", "2"]
    assert table["actor"][-1:] == ["0"]
    assert "\x1b" not in done.stdout
    assert re.search(r"^3 messages in [0-9.]+ s: [0-9,]+ messages/s$", done.stdout, re.MULTILINE)


def test_metrics_are_kept_in_a_file_for_prometheus(place: Place) -> None:
    assert place.run("p.yaml", "--metrics", "run.prom").returncode == 0
    assert 'goplugin_messages_total{end="output"} 3\n' in (place.path / "run.prom").read_text()
    assert not list(place.path.glob("run.prom.*"))
    done = place.run("p.yaml", "--metrics", "no/run.prom")
    assert done.returncode == 1
    assert done.stderr == "error: cannot write the metrics no/run.prom: No such file or directory\n"


def test_metrics_that_cannot_take_their_place_leave_no_other_file_behind(place: Place) -> None:
    (place.path / "kept").mkdir()
    done = place.run("p.yaml", "--metrics", "kept")
    assert (done.returncode, done.stderr) == (1, "error: cannot write the metrics kept: Is a directory\n")
    assert not list(place.path.glob("kept.*"))


OFTEN = """
from goplugin.cli import _run, main
_run._METRICS_EVERY = 0.0
main()
"""


def test_metrics_are_renewed_and_a_run_goes_on_although_they_cannot_be_any_more(place: Place) -> None:
    place.write("p.yaml", pipeline("{stdin: {}}", period="10ms"))
    place.write("kept/run.prom", "")
    read, write = os.pipe()
    command = (sys.executable, "-c", OFTEN)
    process = place.start("p.yaml", "--metrics", "kept/run.prom", stdin=read, command=command)
    os.close(read)
    kept = place.path / "kept" / "run.prom"
    os.write(write, b"a\n")
    until(lambda: 'goplugin_messages_total{end="output"} 1\n' in kept.read_text())
    os.write(write, b"b\n")
    until(lambda: 'goplugin_messages_total{end="output"} 2\n' in kept.read_text())
    os.rename(place.path / "kept", place.path / "gone")
    os.write(write, b"c\n")
    os.close(write)
    stdout, stderr = process.communicate(timeout=SOON)
    assert (process.returncode, place.out) == (0, "A!\nB!\nC!\n")
    assert rows(stdout.decode())["output"][0] == "3"
    assert stderr.decode() == "warning: cannot write the metrics kept/run.prom: No such file or directory\n"


def test_a_pipeline_in_another_directory_finds_the_plugins_beside_it(place: Place) -> None:
    (place.path / "sub").mkdir()
    os.rename(place.path / "p.yaml", place.path / "sub" / "p.yaml")
    for name in ("plugin.yaml", "actor.py"):
        (place.path / "sub" / "plugins" / "one").mkdir(parents=True, exist_ok=True)
        os.rename(place.path / name, place.path / "sub" / "plugins" / "one" / name)
    assert place.run("sub/p.yaml").returncode == 0
    assert place.out == "A!\nB!\nC!\n"


def test_plugins_are_found_where_the_option_says(place: Place) -> None:
    (place.path / "else" / "where").mkdir(parents=True)
    for name in ("plugin.yaml", "actor.py"):
        os.rename(place.path / name, place.path / "else" / "where" / name)
    done = place.run("p.yaml")
    assert done.returncode == 2
    assert "got an unknown processor" in done.stderr
    assert place.run("p.yaml", "--plugins", "nothing/*.yaml", "--plugins", "else/*/plugin.yaml").returncode == 1
    assert place.run("p.yaml", "--plugins", "else/*/plugin.yaml").returncode == 0


def test_python3_in_a_descriptor_is_the_python_of_goplugin_although_nothing_is_activated(place: Place) -> None:
    place.environment["PATH"] = "/usr/bin:/bin"
    assert place.run("p.yaml").returncode == 0


def test_the_table_is_never_cut_and_has_columns_for_what_happened_only(place: Place) -> None:
    place.write("in", "a\n")
    place.environment["COLUMNS"] = "20"
    done = place.run("p.yaml")
    header, *lines = done.stdout.splitlines()
    assert header.split() == ["messages", "batches", "bytes", "messages/s", "time", "failed"]
    assert [line.split()[0] for line in lines] == ["input", "actor", "output", "1"]
    place.write("in", "drop\n")
    assert place.run("p.yaml").stdout.splitlines()[0].split()[-2:] == ["filtered", "restarts"]


def test_messages_flow_from_standard_input_to_standard_output_and_the_table_goes_elsewhere(place: Place) -> None:
    place.write("p.yaml", pipeline("{stdin: {}}", "{stdout: {}}", 'actor: {suffix: "${SUFFIX:?}"}'))
    done = place.run("p.yaml", data=b"a\nb")
    assert (done.returncode, done.stdout) == (0, "A?\nB?\n")
    assert rows(done.stderr)["output"] == ["2", "1", "6"]


def test_messages_that_failed_are_written_and_counted_and_end_the_run_with_1_unless_allowed(place: Place) -> None:
    place.write("in", "a\nfail 1\ndrop\nfail 2\n")
    done = place.run("p.yaml")
    assert (done.returncode, place.out) == (1, "A!\nfail 1\nfail 2\n")
    assert rows(done.stdout)["actor"][-3:] == ["2", "1", "0"]
    assert 'actor failed on 2 messages; the first error: "ValueError: too \\x1b[31mbad"' in done.stderr
    assert "(--verbose shows its traceback)" in done.stderr
    assert "\x1b" not in done.stderr
    assert place.run("p.yaml", "--allow-failed").returncode == 0


def test_messages_without_bytes_to_write_are_left_out_and_end_the_run_with_1_whatever_is_allowed(place: Place) -> None:
    place.write("in", "a\nnan\nb\n")
    done = place.run("p.yaml", "--allow-failed")
    assert (done.returncode, place.out) == (1, "A!\nB!\n")
    assert done.stderr.startswith("output: 1 messages cannot be written; the first: ")
    assert rows(done.stdout)["output"][-1] == "1"


def test_a_plugin_that_is_lost_is_started_anew_and_the_run_goes_on(place: Place) -> None:
    place.write("in", "a\nb\nexit-once 7\nc\n")
    done = place.run("p.yaml")
    assert (done.returncode, place.out) == (0, "A!\nB!\nEXIT-ONCE 7!\nC!\n")
    assert rows(done.stdout)["actor"][-1] == "1"
    assert "warning actor: the plugin ended during a call; exit code 7" in done.stderr
    assert "starting it again (1 of 3)" in done.stderr


def test_a_plugin_that_is_lost_for_good_ends_the_run_with_1_and_one_message(place: Place) -> None:
    place.write("in", "a\nb\nexit 7\nc\nd\n")
    done = place.run("p.yaml", "--retries", "0")
    assert (done.returncode, place.out) == (1, "A!\nB!\n")
    (error,) = re.findall(r"^error: .*$", done.stderr, re.MULTILINE)
    assert re.match(r"error: actor: the plugin ended during a call; exit code 7; command .*; pid \d+ \(", error)
    assert "(3 messages that were read were not written)" in error
    assert "Traceback" not in done.stderr
    assert rows(done.stdout)["output"] == ["2", "1", "6"]


def test_what_came_before_a_line_that_is_too_long_is_written_and_summed_up(place: Place) -> None:
    place.write("in", "a\nb\nc\n" + "x" * 70_000)
    done = place.run("p.yaml")
    assert (done.returncode, place.out) == (1, "A!\nB!\nC!\n")
    assert done.stderr.startswith("error: input: cannot read in: line 4 is longer than 65536 bytes")
    assert rows(done.stdout)["input"][:2] == ["3", "2"]


def test_what_a_plugin_logs_is_shown_from_warnings_on_and_all_of_it_on_demand(place: Place) -> None:
    place.write("in", "warn\nprint\n")
    done = place.run("p.yaml")
    assert done.stderr == 'warning actor: take care of="it"\n'
    done = place.run("p.yaml", "-v")
    assert "info actor: said aloud\n" in done.stderr
    place.write("in", "fail\n")
    assert "Traceback" not in place.run("p.yaml").stderr
    assert "\n    Traceback (most recent call last):\n" in place.run("p.yaml", "-v").stderr


@pytest.mark.parametrize(
    ("arguments", "change", "code", "message"),
    [
        (["absent.yaml"], {}, 1, "error: cannot read the pipeline file absent.yaml: No such file or directory\n"),
        (["p.yaml"], {"p.yaml": "input: {}"}, 2, "error: p.yaml:1: output: got nothing, want a value\n"),
        (["p.yaml"], {"p.yaml": "a: [1"}, 2, "error: p.yaml:1: got no YAML: expected ',' or ']', but got '<stream en"),
        (["p.yaml"], {"p.yaml": pipeline("{stdin: {}}", "{file: {path: '${NO}'}}")}, 2,
         "error: p.yaml:4: got ${NO} which is not set, want a variable that is set, or ${NAME:default}\n"),
        (["p.yaml"], {"p.yaml": pipeline(processors="actor: {sufix: x}")}, 2,
         "error: p.yaml:3: pipeline.processors[0].actor.sufix: got an unknown key, want 'suffix'? Known: suffix\n"),
        (["p.yaml"], {"p.yaml": pipeline("{file: {paths: [absent]}}")}, 1,
         "error: p.yaml:2: input.batched.child.file.paths[0]: cannot read 'absent': No such file or directory\n"),
        (["p.yaml"], {"p.yaml": pipeline("{file: {paths: ['*.csv']}}")}, 1,
         "error: p.yaml:2: input.batched.child.file.paths[0]: no file matches '*.csv'\n"),
        (["p.yaml"], {"p.yaml": pipeline(sink="{file: {path: in/out}}")}, 1, "/in' is not a directory\n"),
        (["p.yaml"], {"p.yaml": pipeline(sink="{file: {path: in}}")}, 2,
         "error: the output 'in' is one of the input files\n"),
        (["p.yaml"], {"plugin.yaml": "name: actor"}, 2, "error: plugin.yaml:1: command: got nothing, want a value\n"),
        (["p.yaml"], {"b.plugin.yaml": DESCRIPTOR}, 2,
         "error: b.plugin.yaml: name: got 'actor', the name in plugin.yaml, want another name\n"),
        (["p.yaml"], {"actor.py": "import sys\nsys.exit('no plugin')"}, 1,
         "error: actor: the plugin exited without a handshake line, and without listening at "),
        (["p.yaml"], {"actor.py": "print('hi')"}, 1, "exit code 0; command \"python3\" \"actor.py\"; pid "),
        (["p.yaml"], {"plugin.yaml": DESCRIPTOR.replace("python3", "./absent")}, 1, "error: actor: "),
        (["p.yaml", "--restarts", "-1"], {}, 2, "Invalid value for '--restarts'"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_once_and_nothing_is_created(
    place: Place, arguments: list[str], change: dict[str, str], code: int, message: str
) -> None:
    for name, text in change.items():
        place.write(name, text)
    before = sorted(os.listdir(place.path))
    done = place.run(*arguments)
    assert done.returncode == code
    assert message in done.stderr
    assert len(re.findall("^error", done.stderr, re.MULTILINE)) <= 1
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert [name for name in sorted(os.listdir(place.path)) if name != "__pycache__"] == before


def test_the_last_words_of_a_plugin_that_does_not_start_are_shown_once(place: Place) -> None:
    place.write("actor.py", "import absent_module")
    done = place.run("p.yaml")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: actor: the plugin exited without a handshake line")
    assert done.stderr.count("No module named 'absent_module'") == 1


def test_who_said_a_line_that_is_refused_is_shown(place: Place) -> None:
    said = "print('oh dear', file=sys.stderr); print('2|1|unix|/x|grpc|', flush=True)"
    place.write("actor.py", f"import sys, time; {said}; time.sleep(60)")
    done = place.run("p.yaml")
    assert (done.returncode, done.stdout) == (1, "")
    assert "core protocol" in done.stderr
    assert '"actor.py"; pid ' in done.stderr
    assert done.stderr.count("oh dear") == 1


def test_a_socket_directory_that_cannot_be_made_is_told_once(place: Place) -> None:
    place.environment["TMPDIR"] = str(place.path / "absent")
    done = place.run("p.yaml")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1
    assert "error: actor: cannot make a directory for sockets in TMPDIR" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_reading_and_what_was_read_is_written(place: Place, number: signal.Signals) -> None:
    place.write("p.yaml", pipeline("{stdin: {}}", period="10ms"))
    read, write = os.pipe()
    process = place.start("p.yaml", stdin=read)
    os.close(read)
    os.write(write, b"a\nb\nc\nunfinished")
    until(lambda: (place.path / "out").exists() and place.out.count("\n") == 3)
    process.send_signal(number)
    stdout, stderr = process.communicate(timeout=SOON)
    os.close(write)
    assert process.returncode == 0
    assert place.out == "A!\nB!\nC!\n"
    assert rows(stdout.decode())["output"][0] == "3"
    assert stderr.decode() == "input: the last 10 bytes were no whole line, and no message was made of them\n"


def test_under_nohup_a_hangup_is_not_heard(place: Place) -> None:
    place.write("p.yaml", pipeline("{stdin: {}}", period="10ms"))
    read, write = os.pipe()
    process = place.start("p.yaml", stdin=read, command=("nohup", GOPLUGIN))
    os.close(read)
    os.write(write, b"a\n")
    until(lambda: (place.path / "out").exists() and place.out == "A!\n")
    assert _among(process.pid, "SigIgn", signal.SIGHUP)
    assert not _among(process.pid, "SigIgn", signal.SIGTERM)
    process.send_signal(signal.SIGHUP)
    os.write(write, b"b\n")
    os.close(write)
    process.communicate(timeout=SOON)
    assert (process.returncode, place.out) == (0, "A!\nB!\n")


def test_a_signal_in_the_middle_of_a_file_loses_nothing_that_was_read(place: Place) -> None:
    place.write("in", "".join(f"{number}\n" for number in range(300_000)))
    process = place.start("p.yaml")
    until(lambda: (place.path / "out").exists() and len(place.out) > 0)
    process.send_signal(signal.SIGINT)
    stdout, _ = process.communicate(timeout=SOON)
    count = int(rows(stdout.decode())["input"][0].replace(",", ""))
    assert process.returncode == 0
    assert count < 300_000
    assert place.out == "".join(f"{number}!\n" for number in range(count))


def test_a_second_signal_gives_up(place: Place) -> None:
    place.write("in", "a\nb\nsleep 60\nc\n")
    process = place.start("p.yaml")
    until(lambda: (place.path / "out").exists() and place.out == "A!\nB!\n")
    until((place.path / "asleep").exists)  # what is not read yet is not lost
    process.send_signal(signal.SIGINT)
    until(lambda: _seen(process.pid, signal.SIGINT))
    process.send_signal(signal.SIGTERM)
    _, stderr = process.communicate(timeout=SOON)
    assert process.returncode == 128 + signal.SIGTERM
    assert stderr.decode() == "error: given up; 2 messages were not written\n"
    assert place.out == "A!\nB!\n"


def test_a_second_signal_gives_up_although_nobody_reads_what_is_written(place: Place) -> None:
    generate = f"{{generate: {{mapping: 'root = \"{'x' * 100_000}\"', interval: ''}}}}"
    place.write("p.yaml", pipeline(generate, "{stdout: {}}"))
    process = place.start("p.yaml")
    assert process.stdout is not None
    pipe = process.stdout.fileno()
    full = fcntl.fcntl(pipe, fcntl.F_GETPIPE_SZ)
    until(lambda: struct.unpack("i", fcntl.ioctl(pipe, termios.FIONREAD, b"1234")) == (full,))
    process.send_signal(signal.SIGINT)
    until(lambda: _seen(process.pid, signal.SIGINT))
    process.send_signal(signal.SIGTERM)
    assert process.wait(SOON) == 128 + signal.SIGTERM
    assert process.stderr is not None
    last = process.stderr.read().decode().splitlines()[-1]
    assert re.fullmatch(r"error: given up; \d+ messages were not written", last)


def _seen(pid: int, number: int) -> bool:
    """Return whether the process has no such signal waiting for it any more.

    Python may still have to run the handler. Of two signals it runs that of the lower number first: so send that first.
    """
    return not _among(pid, "ShdPnd", number)


def _among(pid: int, what: str, number: int) -> bool:
    """Return whether a signal is in one of the sets of a process that the kernel tells of."""
    status = Path(f"/proc/{pid}/status").read_text()
    (found,) = re.findall(rf"^{what}:\s*([0-9a-f]+)$", status, re.MULTILINE)
    return bool(int(found, 16) >> (number - 1) & 1)


def test_a_reader_of_standard_output_that_goes_away_ends_the_run(place: Place) -> None:
    place.write("p.yaml", pipeline(sink="{stdout: {}}"))
    place.write("in", "a\n" * 100_000)
    process = place.start("p.yaml")
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.readline() == b"A!\n"
    process.stdout.close()
    stderr = process.stderr.read().decode()
    process.stderr.close()
    assert process.wait(SOON) == 1
    assert re.search(r"^error: output: cannot write to standard output: Broken pipe \(", stderr, re.MULTILINE)


def test_on_a_terminal_a_bar_shows_how_far_it_is_and_logs_appear_above_it(place: Place) -> None:
    place.write("in", "warn\n" + "a\n" * 5_000)
    shown, code = on_a_terminal(place, "p.yaml")
    assert code == 0
    assert "━" in shown
    assert re.search(r"\d[\d,]* messages", shown)
    assert "warning actor: take care" in plain(shown)
    assert re.search(r"^5,001 messages in", shown, re.MULTILINE)
    assert rows(plain(shown))["output"][:2] == ["5,001", "2,501"]


def test_no_bar_runs_through_messages_on_the_same_terminal(place: Place) -> None:
    place.write("p.yaml", pipeline(sink="{stdout: {}}"))
    shown, code = on_a_terminal(place, "p.yaml")
    assert code == 0
    assert "━" not in shown
    assert plain(shown).startswith("A!\nB!\nC!\n")


def plain(shown: str) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\r", "", shown)


def on_a_terminal(place: Place, *arguments: str) -> tuple[str, int]:
    """Run with a terminal for everything; return what it showed, and the exit code."""
    master, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    process = subprocess.Popen(
        [GOPLUGIN, "run", *arguments],
        cwd=place.path,
        env=place.environment,
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
    )
    os.close(terminal)
    shown = b""
    while True:
        try:
            data = os.read(master, 65536)
        except OSError:  # how Linux says that the last writer is gone
            break
        shown += data
    os.close(master)
    return shown.decode().replace("\r\n", "\n"), process.wait(SOON)


WITHOUT = """
import sys
sys.modules[{module!r}] = None
from goplugin.cli import main
main()
"""


@pytest.mark.parametrize("module", ["typer", "rich", "rich.console"])
def test_without_the_extra_the_command_says_what_to_install(module: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT.format(module=module)], capture_output=True, text=True, timeout=SOON
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "goplugin: the command needs typer and rich: pip install 'goplugin[cli]'\n"


def test_another_module_that_is_missing_is_not_blamed_on_the_extra() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT.format(module="yaml")], capture_output=True, text=True, timeout=SOON
    )
    assert "ModuleNotFoundError" in done.stderr
    assert "goplugin[cli]" not in done.stderr


def test_the_quickstart_takes_all_lines_of_the_standard_library_through_a_plugin(place: Place) -> None:
    stdlib = Path(sysconfig.get_path("stdlib"))
    lines = [line for path in sorted(stdlib.glob("*.py")) for line in path.read_bytes().splitlines()]
    place.environment.update(STDLIB=str(stdlib), OUTPUT=str(place.path / "out"))
    done = place.run(str(ROOT / "examples" / "quickstart" / "pipeline.yaml"))
    assert done.returncode == 0
    assert len(lines) > 50_000
    written = (place.path / "out").read_bytes().split(b"\n")
    assert written[-1] == b""
    assert len(written) - 1 == int(rows(done.stdout)["input"][0].replace(",", ""))
    assert written[0] == lines[0].upper() + b" !"


def test_the_demo_says_which_command_it_runs_and_does_without_go(place: Place) -> None:
    place.environment["PATH"] = "/usr/bin:/bin"
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "quickstart" / "demo.py")],
        env=place.environment,
        capture_output=True,
        text=True,
        timeout=SOON,
    )
    assert done.returncode == 0, done.stderr
    said, command, *table = done.stdout.splitlines()
    assert said == "Go is not on PATH, so the demo runs the Python plugin alone."
    assert re.fullmatch(r"STDLIB=\S+ \S*goplugin run examples/quickstart/pipeline.yaml", command)
    assert int(rows("\n".join(table))["output"][0].replace(",", "")) > 50_000


def test_the_command_tells_its_version() -> None:
    done = subprocess.run([GOPLUGIN, "--version"], capture_output=True, text=True, timeout=SOON)
    assert (done.stdout, done.returncode) == (f"goplugin {version('goplugin')}\n", 0)
