"""Real plugins for the tests of this room."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from leftovers import nothing_left as nothing_left
from leftovers import warm_grpc as warm_grpc

from goplugin.batch import _session
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

    def process(self, message):
        words = message.payload.split()
        match words:
            case [b"exit", code]:
                os._exit(int(code))
            case [b"signal", number]:
                # To this thread, so that it acts before the next line.
                signal.pthread_kill(threading.get_ident(), int(number))
            case [b"leave", seconds]:
                os.kill(os.getpid(), 15)
                time.sleep(float(seconds))  # past what the plugin gives a call, once it leaves
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
            case [b"await", name]:
                while not (self.here / name.decode()).exists():
                    time.sleep(0.01)
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

PRELUDE = """
import ctypes, os, signal, sys, threading, time
from pathlib import Path
from goplugin.proto import redpanda
from batch_services import serve

def die(how):
    match how:
        case "exit":
            os._exit(1)
        case "segv":
            ctypes.string_at(0)
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(60)

class Answers:
    def init(self, request):
        fields = request.config.struct_value.fields
        self.here = Path(fields["here"].string_value)
        self.note("init")
        return self.initialised()

    def note(self, what):
        with (self.here / "notes").open("a") as notes:
            notes.write(what + "\\n")

    def first_time(self, what):
        try:
            (self.here / what).touch(exist_ok=False)
        except FileExistsError:
            return False
        return True
"""

FIELDS = "[{name: here, type: string, default: ''}, {name: refuse, type: bool, default: false}]"

VARIABLES = """
import os
from goplugin import batch
@batch.processor
def variables(message):
    return batch.Message(" ".join(sorted(name for name in os.environ if name.startswith("OURS_"))).encode())
if __name__ == "__main__":
    batch.serve(variables)
"""


@pytest.fixture(autouse=True)
def patient_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a host wait for the end of a plugin that leaves for as long as that takes on a busy machine."""
    monkeypatch.setattr(_session, "_LEAVES_WITHIN", 30.0)


@pytest.fixture
def plugin(tmp_path: Path) -> Callable[..., Descriptor]:
    """Make a descriptor of a plugin whose program is given, and which lies in the test's directory."""

    def make(program: str = ACTOR, name: str = "actor", kind: str = "processor") -> Descriptor:
        (tmp_path / f"{name}.py").write_text(program)
        path = tmp_path / f"{name}.plugin.yaml"
        path.write_text(f"name: {name}\ncommand: ['{sys.executable}', '{name}.py']\ntype: {kind}\nfields: {FIELDS}\n")
        return parse_descriptor(path.read_text(), str(path))

    return make


@pytest.fixture
def variables(plugin: Callable[..., Descriptor], monkeypatch: pytest.MonkeyPatch) -> Descriptor:
    """Describe a processor that gives the names of its variables from OURS_ on; two of them are this process's."""
    monkeypatch.setenv("OURS_PUBLIC", "1")
    monkeypatch.setenv("OURS_SECRET", "2")
    return plugin(VARIABLES, "variables")


@pytest.fixture(params=["go-plugin", "redpanda"])
def launch(request: pytest.FixtureRequest) -> str:
    """Give the way in which a plugin is started: by go-plugin's handshake, or as Redpanda's SDKs do it."""
    found: str = request.param
    return found


@pytest.fixture
def answering(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Descriptor]:
    """Make a descriptor of a plugin that answers just as its program says."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent.parent / "support"))

    def make(kind: str, program: str, launch: str = "go-plugin") -> Descriptor:
        (tmp_path / f"{kind}.py").write_text(f"{PRELUDE}\n{program}\nserve({kind!r}, Answering())\n")
        path = tmp_path / f"{kind}.plugin.yaml"
        command = [sys.executable, f"{kind}.py", launch]
        path.write_text(f"name: its_{kind}\ncommand: {command}\ntype: {kind}\nfields: {FIELDS}\n")
        return parse_descriptor(path.read_text(), str(path))

    return make
