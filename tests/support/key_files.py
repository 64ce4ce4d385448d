"""Looks for private keys where a process could have put one, and notes whatever it opens to write to."""

import os
from contextlib import suppress
from pathlib import Path

WATCHER = """
import os, sys
journal = os.open(os.environ["TEST_JOURNAL"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
def note(event, arguments):
    if event == "open" and isinstance(arguments[0], (str, bytes)) and arguments[2] & (os.O_WRONLY | os.O_RDWR):
        os.write(journal, os.fsencode(arguments[0]) + b"\\n")
sys.addaudithook(note)
"""


class Watch:
    """Over a process that runs in ``here``, with the variables of ``env``.

    Args:
        folder: for what the watch itself needs.
    """

    def __init__(self, folder: Path) -> None:
        (folder / "sitecustomize.py").write_text(WATCHER)
        self.here, self._journal = folder / "here", folder / "journal"
        self.here.mkdir()
        paths = os.pathsep.join([str(folder), str(Path(__file__).parent)])
        self.env = {"TEST_JOURNAL": str(self._journal), "PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1"}

    def keys(self, *folders: str | Path) -> list[Path]:
        """Return the files with a private key, there and where it runs."""
        found: list[Path] = []
        for folder in (self.here, "/dev/shm", *folders):
            for where, _, names in os.walk(folder):
                for path in (Path(where, name) for name in names):
                    with suppress(OSError):
                        if path.is_file() and b"PRIVATE KEY" in path.read_bytes():
                            found.append(path)
        return found

    def written(self) -> set[str]:
        """Return what it has opened to write to."""
        return set(self._journal.read_text().split()) - {os.devnull}
