"""What the fuzz targets in ``tests/fuzz`` share: inputs that look like what a parser expects, and the way to run."""

import importlib
import sys
from collections.abc import Callable, Sequence
from typing import Any


def spelled(data: bytes, words: Sequence[bytes]) -> bytes:
    """Return text of which each byte below 0x80 stands for itself, and any other for a word."""
    return b"".join(bytes((byte,)) if byte < 0x80 else words[byte % len(words)] for byte in data)


def pieces(data: bytes, cuts: bytes) -> list[bytes]:
    """Return ``data`` as it may arrive: in pieces whose sizes ``cuts`` gives, the last with all that is left."""
    found: list[bytes] = []
    for size in cuts:
        found.append(data[:size])
        data = data[size:]
    return [*found, data]


def harmless(error: Exception) -> None:
    """Hold an error to what a terminal and a log can bear."""
    assert str(error).isprintable()


def fuzz(one_input: Callable[[bytes], object]) -> None:
    """Run atheris for as long as the arguments, which are libFuzzer's, say."""
    atheris: Any = importlib.import_module("atheris")
    atheris.instrument_all()
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
