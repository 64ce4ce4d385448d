"""The page on security names tests, and they are there."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
NAMED = re.findall(r"`(\S+\.py)::(\w+)`", (ROOT / "docs" / "security.md").read_text())


def test_every_row_of_the_promises_names_a_test() -> None:
    rows = (ROOT / "docs" / "security.md").read_text().split("| promise | tested by |")[1].split("\n\n")[0]
    assert all("::test_" in row for row in rows.splitlines()[2:])


@pytest.mark.parametrize(("path", "name"), NAMED)
def test_the_test_is_there(path: str, name: str) -> None:
    tree = ast.parse((ROOT / path).read_text())
    assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
