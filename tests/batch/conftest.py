"""Real plugins for the tests of this room."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from goplugin.batch.host import Descriptor, parse_descriptor

# Does what the messages say. Configuration: where it leaves its pid, and a mark of each crash.
ACTOR = """
import ctypes, logging, os, signal, sys, threading, time
from pathlib import Path
from goplugin import batch

@batch.processor
class Actor:
    def __init__(self, config):
        if config.get("refuse"):
            raise ValueError("not with me")
        self.here = Path(config["here"])
        (self.here / "pid").write_text(str(os.getpid()))
        with (self.here / "starts").open("a") as starts:
            starts.write(f"{os.getpid()}\\n")
        if (self.here / "die at init").exists():
            os._exit(3)

    def first_time(self, what):
        try:
            (self.here / what).touch(exist_ok=False)
        except FileExistsError:
            return False
        return True

    def __call__(self, message):
        words = message.payload.split()
        match words:
            case [b"exit", code]:
                os._exit(int(code))
            case [b"signal", number]:
                # To this thread, so that it acts before the next line.
                signal.pthread_kill(threading.get_ident(), int(number))
            case [b"exit-once", code] if self.first_time("exited"):
                os._exit(int(code))
            case [b"segv-once"] if self.first_time("crashed"):
                ctypes.string_at(0)
            case [b"fail"]:
                raise ValueError("too bad")
            case [b"drop"]:
                return None
            case [b"split"]:
                return [message.copy(), message.copy()]
            case [b"sleep", seconds]:
                time.sleep(float(seconds))
            case [b"print-much"]:
                print("y" * 10_000, flush=True)
            case [b"print"]:
                print("said \\x1b[31maloud", flush=True)
                print("an error", file=sys.stderr, flush=True)
                logging.getLogger("actor").warning("logged", extra={"n": 1})
        message.payload = message.payload.upper()
        return message

    def close(self):
        if (self.here / "die at close").exists():
            os._exit(4)
        (self.here / "closed").touch()
        if (self.here / "fail to close").exists():
            raise OSError("will not close")

if __name__ == "__main__":
    batch.serve(Actor)
"""

FIELDS = "[{name: here, type: string, default: ''}, {name: refuse, type: bool, default: false}]"


@pytest.fixture
def plugin(tmp_path: Path) -> Callable[..., Descriptor]:
    """Make a descriptor of a processor whose program is given, and which lies in the test's directory."""

    def make(program: str = ACTOR, name: str = "actor") -> Descriptor:
        (tmp_path / f"{name}.py").write_text(program)
        path = tmp_path / f"{name}.plugin.yaml"
        path.write_text(
            f"name: {name}\ncommand: ['{sys.executable}', '{name}.py']\ntype: processor\nfields: {FIELDS}\n"
        )
        return parse_descriptor(path.read_text(), str(path))

    return make
