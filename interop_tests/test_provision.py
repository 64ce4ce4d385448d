"""What provision.py promises about its cache, with a source that needs no network."""

import shutil
import threading
from dataclasses import dataclass, field
from pathlib import Path

import provision
import pytest


@dataclass
class Recipe:
    """Writes one file, or fails."""

    version: str = "1"
    fault: Exception | None = None
    fetched: list[str] = field(default_factory=list[str])
    label: str = "recipe"

    def key(self) -> str:
        return self.version

    def fetch(self, into: Path) -> None:
        if self.fault:
            raise self.fault
        self.fetched.append(self.version)
        (into / "program").write_text(self.version)


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Recipe:
    recipe = Recipe()
    monkeypatch.setenv("GOPLUGIN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setitem(provision.PROGRAMS, "recipe", (recipe, "program"))
    return recipe


def test_a_program_is_fetched_once_and_again_when_its_source_changes(recipe: Recipe) -> None:
    assert [provision.program("recipe").read_text() for _ in range(2)] == ["1", "1"]
    recipe.version = "2"
    assert provision.program("recipe").read_text() == "2"
    assert recipe.fetched == ["1", "2"]


def test_callers_at_the_same_time_share_one_fetch(recipe: Recipe) -> None:
    callers = [threading.Thread(target=provision.program, args=("recipe",)) for _ in range(8)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert recipe.fetched == ["1"]


def test_a_failed_build_leaves_nothing_in_the_cache_and_is_not_taken_for_missing(recipe: Recipe) -> None:
    recipe.fault = provision.BuildFailed("syntax error")
    with pytest.raises(provision.BuildFailed):
        provision.program("recipe")
    assert [path.name for path in provision.cache().iterdir()] == ["lock"]


def test_what_a_killed_build_left_is_swept_by_the_next(recipe: Recipe) -> None:
    (provision.cache() / f"{provision.BUILDING}abandoned").mkdir()
    provision.program("recipe")
    assert sorted(path.name for path in provision.cache().iterdir()) == ["lock", "recipe-1"]
    assert recipe.fetched == ["1"]


@pytest.mark.parametrize(("name", "tool"), [("host-1.8.0", "go"), ("example-kv-plugin", "go"), ("crowdsec", "apt-get")])
def test_without_its_tool_a_program_is_missing_by_name(
    name: str, tool: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def installed(command: str) -> str | None:
        return None if command == tool else f"/usr/bin/{command}"

    provision.go_version.cache_clear()
    monkeypatch.setattr(shutil, "which", installed)
    monkeypatch.setenv("GOPLUGIN_CACHE", str(tmp_path))
    with pytest.raises(provision.Missing, match=f"{name}: {tool} is not installed"):
        provision.program(name)


def test_an_edit_of_our_go_sources_makes_another_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(provision.INTEROP / "go", tmp_path / "go")
    monkeypatch.setattr(provision, "INTEROP", tmp_path)
    monkeypatch.setattr(provision, "go_version", lambda: "go1.26")
    source = provision.OwnGo("host", "1.8.0", "go.mod")
    before = source.key()
    with (tmp_path / "go" / "cmd" / "host" / "main.go").open("a") as file:
        file.write("// edited\n")
    assert source.key() != before
