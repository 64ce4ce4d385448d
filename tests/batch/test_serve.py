"""A processor is served to a host, says what it is to a person, and loads little before it must."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from goplugin import batch
from goplugin.batch import Message, host
from goplugin.batch.host import Descriptor, Processor
from goplugin.handshake import RUN_BY_HAND, Misuse

FUNCTION = """
import sys
from goplugin import batch

@batch.processor
def shout(message):
    message.payload = message.payload.upper()
    return message

if __name__ == "__main__":
    try:
        batch.serve(shout)
    finally:
        heavy = [name for name in ("grpc", "google.protobuf", "asyncio", "yaml") if name in sys.modules]
        print("loaded:", *heavy, file=sys.stderr)
"""

BARE_CLASS = """
from goplugin import batch

class Shout:
    def __call__(self, message):
        return batch.Message(message.payload.upper())

if __name__ == "__main__":
    batch.serve(Shout)
"""


def test_run_by_hand_it_explains_itself_at_once(tmp_path: Path) -> None:
    (tmp_path / "shout.py").write_text(FUNCTION)
    done = subprocess.run([sys.executable, "shout.py"], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", RUN_BY_HAND + "loaded:\n")


@pytest.mark.parametrize("program", [FUNCTION, BARE_CLASS])
def test_a_function_and_a_class_are_served(plugin: Callable[..., Descriptor], program: str) -> None:
    with Processor(plugin(program), {}) as processor:
        assert processor.process([Message(b"a")]) == [[Message(b"A")]]


def test_what_is_no_processor_is_refused_before_anything_else() -> None:
    with pytest.raises(Misuse, match="takes a function or a class"):
        batch.serve(7)  # type: ignore[arg-type]


def test_every_name_for_hosts_exists_and_is_documented() -> None:
    assert len(host.__all__) == len(set(host.__all__))
    for name in host.__all__:
        assert getattr(host, name).__doc__, f"{name} has no docstring"
