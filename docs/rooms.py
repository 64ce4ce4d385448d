"""Writes the tables of docs/architecture.md from the first lines of the modules: `python docs/rooms.py`."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "architecture.md"
TABLE = re.compile(r"(<!-- modules of (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def table(room: str) -> str:
    """Return the table of a room."""
    rows = [
        f"| `{module.name}` | {first_line(module)} |"
        for module in sorted((ROOT / room).glob("*.py"))
        if module.name != "__init__.py"
    ]
    return "\n".join(["| module | |", "|---|---|", *rows]) + "\n"


def first_line(module: Path) -> str:
    """Return the first paragraph of a module's docstring, which says what it does and what it never does."""
    text = ast.get_docstring(ast.parse(module.read_text())) or ""
    return " ".join(text.split("\n\n")[0].split())


def page() -> str:
    """Return what the page should be."""
    return TABLE.sub(lambda found: found[1] + table(found[2]) + found[3], PAGE.read_text())


if __name__ == "__main__":
    PAGE.write_text(page())
