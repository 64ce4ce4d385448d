"""Freed memory is kept for the next batch, collections pass by what was there before, and another C library is fine."""

import ctypes
import gc
import platform
import resource
import subprocess
import sys

import pytest

from goplugin.batch import _memory

PAGES = 40_000_000 // resource.getpagesize()  # of what `faults` below makes

FAULTS = """
import resource, sys
from goplugin.batch import _memory

if sys.argv[1] == "kept":
    _memory.suit()

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        _ = [b"x" * 1_000_000 for _ in range(4)]
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

faults()
print(faults())
"""


def faults(form: str) -> int:
    done = subprocess.run([sys.executable, "-c", FAULTS, form], check=True, capture_output=True, text=True, timeout=30)
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has the setting")
def test_memory_that_a_batch_freed_is_not_asked_for_again() -> None:
    assert faults("kept") < PAGES / 50
    assert faults("plain") > PAGES / 5


def test_a_c_library_without_the_setting_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    def library(name: object) -> object:
        asked.append(name)
        return object()

    monkeypatch.setattr(ctypes, "CDLL", library)
    monkeypatch.setattr(gc, "freeze", lambda: asked.append("freeze"))
    _memory.suit()
    assert asked == ["freeze", None]


def test_what_was_there_before_is_passed_by_and_collections_stay_on() -> None:
    code = "import gc; from goplugin.batch import _memory; _memory.suit(); print(gc.get_freeze_count(), gc.isenabled())"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=30)
    count, enabled = done.stdout.split()
    assert int(count) > 1000
    assert enabled == "True"
