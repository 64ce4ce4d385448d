"""Keeps which tests of faults ran, how they ended and what go-plugin did in them, and compares docs/faults.md with it.

A test names the rows of docs/faults.toml that it covers, `@pytest.mark.fault(6)`, and says what it saw go-plugin do
with the fixture `go_plugin_did`. Where all reports arrive, which is not where the tests run if several processes share
them, a run ends in a failure if the page says anything else: a run of a part has to agree with its lines, one of
everything with the whole page. `pytest --faults=FILE` writes all of it down for docs/faults.py and compares nothing.
"""

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, TypedDict, cast

import pytest


class Ran(TypedDict):
    """One test: the rows that it covers, how it or its worst case ended, and what go-plugin did, by version."""

    rows: list[int]
    outcome: str
    go_plugin: dict[str, str]


Record = dict[str, Ran]  # by the name of the test, without its parameters

FAULTS = Path(__file__).parents[2] / "docs" / "faults.py"
_SAW = "go-plugin "  # begins the names of the properties that a test records


def faults() -> ModuleType:
    """Return docs/faults.py as a module."""
    spec = importlib.util.spec_from_file_location("faults", FAULTS)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def go_plugin_did(record_property: Callable[[str, object], None]) -> Callable[[str, str], None]:
    """`go_plugin_did("1.8.0", "…")`: what that version was seen to do, once it is asserted."""
    return lambda version, what: record_property(_SAW + version, what)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--faults", type=Path, help="write down what the tests of faults found out")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "fault(*rows): covers these rows of docs/faults.toml")
    config.pluginmanager.register(_Keeper(config), "fault-keeper")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        for mark in item.iter_markers("fault"):
            item.user_properties.append(("fault", list(mark.args)))


class _Keeper:
    def __init__(self, config: pytest.Config) -> None:
        self._record: Record = {}
        self._file: Path | None = config.getoption("--faults")
        self._complaints: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        properties = cast("list[tuple[str, Any]]", report.user_properties)
        rows: set[int] = {row for name, value in properties if name == "fault" for row in value}
        if not rows or (report.when != "call" and report.passed):
            return
        name = report.nodeid.partition("[")[0]
        ran = self._record.setdefault(name, {"rows": sorted(rows), "outcome": report.outcome, "go_plugin": {}})
        if not report.passed:
            ran["outcome"] = report.outcome
        for key, value in properties:
            if key.startswith(_SAW):
                ran["go_plugin"][key.removeprefix(_SAW)] = str(value)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self._file is not None:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            self._file.write_text(json.dumps(self._record, indent=1, sort_keys=True) + "\n")
        elif self._record and not hasattr(session.config, "workerinput") and session.exitstatus == pytest.ExitCode.OK:
            self._complaints = faults().complaints(self._record, whole=_is_whole(session.config))
            if self._complaints:
                session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self._complaints:
            terminalreporter.section("docs/faults.md", red=True)
            for complaint in self._complaints:
                terminalreporter.line(complaint)


def _is_whole(config: pytest.Config) -> bool:
    """Return whether all tests were asked for. Outside CI, those that lack a program may be skipped."""
    chosen = any(config.getoption(name, None) for name in ("keyword", "markexpr", "deselect", "lf", "ignore"))
    return config.args_source is pytest.Config.ArgsSource.TESTPATHS and not chosen
