"""The benchmarks run, say what they measured and leave nothing behind. No test here looks at how long anything took."""

import io
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Sequence
from pathlib import Path

import provision
import psutil
import pytest
from rich.console import Console

from benchmarks import command, report
from benchmarks.figures import Comparison, Contestant, Figure, Row, Samples, met, quantile, rows
from benchmarks.plugin import Failed, Plugin
from benchmarks.suites import batch, host, plain, registered, stream, trust
from benchmarks.workshop import ROOT, Workshop

TIME = Figure(name="time", unit="ms")
RATE = Figure(name="rate", unit="1/s", better="higher")
WE, THEY = Contestant(name="we", version="1"), Contestant(name="they", version="2")
BOUND = 240.0  # seconds; for what takes up to thirty on a machine of its own


@pytest.fixture
def folder() -> Generator[str, None, None]:
    """A temporary directory whose path is short enough to hold sockets."""
    with tempfile.TemporaryDirectory(prefix="t-") as path:
        yield path


@pytest.fixture(scope="session")
def interpreters() -> None:
    """The interpreter of ours and of bare grpcio; without a package index it may be out of reach."""
    try:
        with Workshop() as workshop:
            workshop.subject("bare_grpcio.py")
    except provision.Missing as missing:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(missing))


def compared(*rounds: Samples, goal: float | None = None, figure: Figure = TIME, peer: Contestant = THEY) -> Row:
    comparison = Comparison(ours="we", against="they", goals={} if goal is None else {figure: goal})
    (row,) = rows("suite", [comparison], [WE, peer], rounds)
    return row


def took(ours: float, theirs: float, figure: Figure = TIME) -> Samples:
    return {("we", figure): ours, ("they", figure): theirs}


def test_a_quantile_lies_between_its_neighbours() -> None:
    assert quantile([3, 1, 2], 0.5) == 2
    assert quantile([1, 2], 0.5) == 1.5
    assert quantile([0, 10], 0.99) == pytest.approx(9.9)
    assert [quantile([5, 7, 6], share) for share in (0, 1)] == [5, 7]


@pytest.mark.parametrize(("values", "share"), [([], 0.5), ([1.0], -0.1), ([1.0], 1.1)])
def test_there_is_no_quantile_of_nothing_or_outside_the_values(values: list[float], share: float) -> None:
    with pytest.raises(ValueError, match="no quantile"):
        quantile(values, share)


def test_the_ratio_is_the_median_of_the_rounds_and_not_the_ratio_of_the_medians() -> None:
    # A machine that slows down from round to round: in each of them we take twice as long.
    row = compared(took(2, 1), took(20, 10), took(200, 100), took(2, 4))
    assert row["ratio"] == 2
    assert (row["ours"], row["against"]) == (11, 7)
    assert row["quartiles"] == (1.625, 2.0)
    assert row["rounds"] == 4


def test_a_goal_is_a_ceiling_where_less_is_better_and_a_floor_where_more_is() -> None:
    assert met(1.05, 1.05, "lower")
    assert not met(1.06, 1.05, "lower")
    assert met(0.6, 0.6, "higher")
    assert not met(0.59, 0.6, "higher")
    assert compared(took(2, 1), goal=1.5)["met"] is False
    assert compared(took(2, 1, RATE), goal=1.5, figure=RATE)["met"] is True


def test_a_row_without_a_goal_is_neither_met_nor_missed() -> None:
    row = compared(took(2, 1))
    assert (row["goal"], row["met"]) == (None, None)


def test_a_missing_peer_has_a_row_that_says_why() -> None:
    row = compared({("we", TIME): 5.0}, goal=1.5, peer=Contestant(name="they", version="2", missing="no index"))
    assert row["ours"] == 5
    assert (row["against"], row["ratio"], row["quartiles"], row["met"]) == (None, None, None, None)
    assert (row["note"], row["rounds"]) == ("missing: no index", 0)


def test_the_table_shows_figures_ratios_goals_and_who_is_missing() -> None:
    gone = Contestant(name="gone", version="3", missing="no [index]")
    comparisons = [Comparison(ours="we", against="they", goals={TIME: 1.5}), Comparison(ours="we", against="gone")]
    console = Console(width=120, record=True, file=io.StringIO())
    report.show(rows("suite", comparisons, [WE, THEY, gone], [took(150, 100)]), [WE, THEY, gone], console)
    shown = console.export_text()
    assert "medians of 1 rounds" in shown
    assert re.search(r"time +150 ms +100 +1\.50x +missing +≤ 1\.50 met", shown)
    assert "missing: gone 3: no [index]" in shown


def test_rows_that_replace_older_ones_are_written_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "build" / "bench.json"
    report.write([compared(took(2, 1)), compared(took(3, 1))], path)
    report.write([compared(took(4, 1))], path)
    assert [row["ratio"] for row in json.loads(path.read_text())] == [4]
    assert list(path.parent.iterdir()) == [path]


def test_a_page_gets_new_ratios_and_keeps_its_words(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"Before.\n{report.BEGIN}\nold\n{report.END}\nAfter.\n")
    gone = Contestant(name="gone", version="3", missing="no index")
    comparisons = [Comparison(ours="we", against="they", goals={TIME: 1.5}), Comparison(ours="we", against="gone")]
    report.publish(rows("suite", comparisons, [WE, THEY, gone], [took(150, 100), took(2, 1), took(3, 1)]), page)
    text = page.read_text()
    assert text.startswith(f"Before.\n{report.BEGIN}\nPython ")
    assert text.endswith(f"{report.END}\nAfter.\n")
    assert "| we, ratio to | they 2 | gone 3 | goal |\n" in text
    assert "| time (less is better) | 2.00 (1.75 to 2.50) | missing | ≤ 1.50 missed |\n" in text
    assert "old" not in text


def test_a_peer_without_a_figure_has_an_empty_place_in_its_line(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"{report.BEGIN}{report.END}")
    third = Contestant(name="third", version="3")
    comparisons = [Comparison(ours="we", against=peer) for peer in ("they", "third")]
    samples: Samples = {("we", TIME): 2, ("they", TIME): 1, ("we", RATE): 9, ("third", RATE): 3}
    compared = rows("suite", comparisons, [WE, THEY, third], [samples])
    report.publish(compared, page)
    assert "| time (less is better) | 2.00 (2.00 to 2.00) |  |  |\n" in page.read_text()
    assert "| rate (more is better) |  | 3.00 (3.00 to 3.00) |  |\n" in page.read_text()
    console = Console(width=120, record=True, file=io.StringIO())
    report.show(compared, [WE, THEY, third], console)
    they, rate = (line.rstrip() for line in console.export_text().splitlines() if "x" in line)
    assert they.endswith("2.00x")
    assert rate.endswith("3.00x")
    assert rate.index("3.00x") > they.index("2.00x")


def test_a_page_without_a_place_for_figures_is_refused(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"{report.BEGIN}\nno end\n")
    with pytest.raises(ValueError, match=r"page\.md lacks the lines"):
        report.publish([compared(took(2, 1))], page)
    assert page.read_text() == f"{report.BEGIN}\nno end\n"


def test_a_peer_that_cannot_be_installed_is_missing_by_name(folder: str) -> None:
    def command(workshop: Workshop) -> Sequence[str]:
        raise provision.Missing("peer", "no matching distribution")

    peer = plain.Subject(name="peer", version="9", command=command, is_peer=True)
    effort = plain.Effort(slices=1, single=1, crowd=1, large=1)
    with Workshop() as workshop:
        assert plain.Plain([peer], effort).prepare(workshop) == [
            Contestant(name="peer", version="9", missing="no matching distribution")
        ]
        ours = plain.Subject(name="ours", version="9", command=command)
        with pytest.raises(provision.Missing, match="no matching distribution"):
            plain.Plain([ours], effort).prepare(workshop)


@pytest.mark.parametrize(
    ("program", "complaint"),
    [
        ("import sys; sys.exit('no such thing')", r"bad does not start: .*\n  no such thing\nexit status 1"),
        ("print('hello')", r"bad does not start: .*\nexit status 0"),
        ("print('1|1|unix|/nowhere/at/all|grpc|')", r"bad does not start: (.*\n)*.*UNAVAILABLE(.*\n)*exit status 0"),
    ],
)
def test_a_subject_that_does_not_start_is_a_clear_error(program: str, complaint: str, folder: str) -> None:
    before = psutil.Process().children()
    with pytest.raises(Failed, match=complaint):
        Plugin("bad", [sys.executable, "-c", program], {}, folder)
    assert psutil.Process().children() == before


def test_a_program_that_is_not_there_is_a_clear_error(folder: str) -> None:
    with pytest.raises(Failed, match=r"bad does not start: .*/no/such/program"):
        Plugin("bad", ["/no/such/program"], {}, folder)


def test_a_failure_ends_the_command_with_a_message_and_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Broken(plain.Plain):
        def prepare(self, workshop: Workshop) -> list[Contestant]:
            raise Failed("ours does not start: boom")

    def broken(quick: bool, peers: bool) -> Broken:
        return Broken([], plain.Effort(slices=1, single=1, crowd=1, large=1))

    monkeypatch.setattr(command, "registered", lambda: {"broken": broken})
    output = tmp_path / "bench.json"
    assert command.main(["--output", str(output)]) == 1
    assert "bench: ours does not start: boom" in capsys.readouterr().err
    assert not output.exists()


@pytest.mark.parametrize("arguments", [["--only", "nothing"], ["--rounds", "0"], ["--rounds", "many"]])
def test_arguments_that_make_no_sense_are_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        command.main(arguments)
    assert arguments[0] in capsys.readouterr().err


def run(folder: str, *arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, str(ROOT / "benchmarks" / "run.py"), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=folder,
        env={**os.environ, "TMPDIR": folder},
    )


@pytest.mark.usefixtures("interpreters")
@pytest.mark.timeout(300)
def test_a_quick_run_writes_every_row_and_leaves_nothing_behind(folder: str, tmp_path: Path) -> None:
    output = tmp_path / "bench.json"
    with run(folder, "--quick", "--without-peers", "--output", str(output)) as process:
        printed, _ = process.communicate(timeout=BOUND)
    assert process.returncode == 0, printed
    assert os.listdir(folder) == []
    written: list[Row] = json.loads(output.read_text())
    assert all(row.keys() == Row.__annotations__.keys() for row in written)
    assert len({row["name"] for row in written}) == len(written)
    both = ["FIRST_CALL", "RSS", "UNARY", "UNARY_TAIL", "CROWD", "CROWD_TAIL", "CROWD_RATE", "LARGE"]
    figures = [*both, "LINE", "THREADS"]
    if sys.platform == "linux":
        figures += ["PSS", "START_WORK", "UNARY_WORK"]
    names = {getattr(plain, name).name for name in figures}
    pairs = [(plain.SYNC, plain.BARE), (plain.AIO, plain.BARE_AIO), (plain.AIO, plain.BARE)]
    trusted = [(trust.SYNC, trust.PLAIN), (trust.AIO, trust.PLAIN_AIO)]
    trusted += [(ours, trust.GRPCIO) for ours in (trust.SYNC, trust.AIO)]
    trusted += [(trust.SHARED, trust.PLAIN), (trust.SHARED_TLS, trust.SYNC)]
    batched = {getattr(batch, name).name for name in ["START", "SMALL", "LARGE", "TAGGED"]}
    forms = (batch.EACH, batch.EACH_ASYNC, batch.WHOLE, batch.WHOLE_ASYNC)
    streamed = (stream.EACH, stream.EACH_ASYNC, stream.WHOLE, stream.WHOLE_ASYNC)
    processors = [(ours, bare) for ours in forms for bare in (batch.IN_PLACE, batch.ECHO)]
    assert {(row["figure"], row["subject"], row["peer"]) for row in written} == {
        *((name, *pair) for name in names for pair in pairs),
        (host.START.name, host.HOSTLIB, host.BARE),
        *((getattr(plain, name).name, *pair) for name in both for pair in trusted),
        *((trust.EXTRA.name, ours, trust.ALLOWANCE) for ours in (trust.SYNC, trust.AIO)),
        (trust.EXTRA.name, trust.SHARED_TLS, trust.SYNC),
        *((name, *pair) for name in batched for pair in processors),
        *((figure.name, ours, stream.ALONE) for figure in (stream.RUN, stream.RATE) for ours in streamed),
    }
    for row in written:
        assert row["ours"]
        assert row["against"]
        assert row["ratio"] == row["ours"] / row["against"]
        assert (row["goal"] is None) == (row["met"] is None)
        assert row["rounds"] == 1
        assert row["figure"] in printed
    with_goal = {(row["suite"], row["figure"]): row["goal"] for row in written if row["goal"] is not None}
    assert with_goal == {
        ("plain", plain.FIRST_CALL.name): 1.15,
        ("plain", plain.UNARY.name): 1.05,
        ("plain", plain.RSS.name): 1.15,
        ("trust", plain.UNARY.name): 1.35,
        ("trust", trust.EXTRA.name): 1.0,
        ("trust", plain.LARGE.name): 0.6,
        ("batch", batch.START.name): 1.2,
        ("batch", batch.SMALL.name): 0.9,
        ("batch", batch.LARGE.name): 0.9,
        ("batch", batch.TAGGED.name): 1.5,
    }


@pytest.mark.usefixtures("interpreters")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_stops_its_plugins_and_writes_nothing(
    number: signal.Signals, folder: str, tmp_path: Path
) -> None:
    output = tmp_path / "bench.json"
    with run(folder, "--without-peers", "--only", "plain", "--output", str(output)) as process:
        plugins = several_children(process.pid)
        process.send_signal(number)
        printed, _ = process.communicate(timeout=BOUND)
    assert process.returncode == 130, printed
    assert "interrupted" in printed
    assert "Traceback" not in printed
    _, alive = psutil.wait_procs(plugins, timeout=5)
    assert not alive
    assert os.listdir(folder) == []
    assert not output.exists()


def several_children(pid: int) -> list[psutil.Process]:
    """Wait until all four plugins of a round are there."""
    deadline = time.monotonic() + BOUND
    while time.monotonic() < deadline:
        if len(children := psutil.Process(pid).children()) == 4:
            return children
        time.sleep(0.01)
    raise TimeoutError("no round began")


def test_the_registry_finds_every_module_of_the_suites() -> None:
    modules = {path.stem for path in (ROOT / "benchmarks" / "suites").glob("*.py")} - {"__init__"}
    assert set(registered()) == modules
