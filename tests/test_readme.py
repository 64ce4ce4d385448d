"""The README's programs are the example files, and they do what it says."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
SHOWN = [
    "examples/kv/plugin.py",
    "examples/kv/host.py",
    "examples/quickstart/shout.py",
    "examples/quickstart/pipeline.yaml",
]


@pytest.mark.parametrize("path", SHOWN)
def test_the_readme_shows_the_very_file(path: str) -> None:
    language = {".py": "python", ".yaml": "yaml"}[Path(path).suffix]
    blocks = re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)
    assert (ROOT / path).read_text() in blocks


@pytest.mark.parametrize("page", sorted({*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("examples/**/*.md")}))
def test_every_link_between_our_pages_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), target


def test_the_host_of_the_readme_gets_an_answer_from_its_plugin() -> None:
    done = subprocess.run(
        [sys.executable, "host.py"], cwd=ROOT / "examples" / "kv", capture_output=True, text=True, timeout=60
    )
    assert (done.stdout, done.stderr, done.returncode) == ("hello from a plugin\n", "", 0)


def test_the_plugin_of_the_callback_example_calls_its_host_until_that_has_enough() -> None:
    done = subprocess.run(
        [sys.executable, "host.py"], cwd=ROOT / "examples" / "callback", capture_output=True, text=True, timeout=60
    )
    *reports, end = done.stdout.splitlines()
    assert (done.stderr, done.returncode) == ("", 0)
    assert len(reports) > 1
    assert all(" so far" in report for report in reports)
    assert end.endswith("lines, and that is enough")


def test_the_commands_of_the_readme_exist() -> None:
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"`make (\w+)`", README)) | set(re.findall(r"^\$ make (\w+)", README, re.MULTILINE))
    assert named
    assert named <= targets
