"""A plugin is served at a path that somebody else chose, and children that it forks do not end it.

Signals, the watched parent and the end by force are covered where a batch plugin is served so, in batch/test_redpanda.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from goplugin.handshake import MachineFault, Unix
from goplugin.pluginlib import serve_at

FORKS = """
import os, signal, sys, time
from goplugin.handshake import Unix
from goplugin.pluginlib import serve_at

def register(server, stop):
    def fork_and_stop():
        child = os.fork()
        if child == 0:
            signal.pause()
        os.kill(child, signal.SIGTERM)
        print("child ended by", os.WTERMSIG(os.waitpid(child, 0)[1]), flush=True)
        stop()
    import threading
    threading.Timer(0.2, fork_and_stop).start()

serve_at(Unix(sys.argv[1]), register)
print("served", os.path.exists(sys.argv[1]))
"""


@pytest.fixture
def path(sockets: Path) -> str:
    return str(sockets / "s")


def test_it_serves_until_it_is_told_to_stop_and_a_forked_child_dies_of_its_own_sigterm(path: str) -> None:
    # grpcio's own handlers for forks crash now and then when they run beside its threads.
    env = os.environ | {"GRPC_ENABLE_FORK_SUPPORT": "0"}
    done = subprocess.run([sys.executable, "-c", FORKS, path], env=env, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "child ended by 15\nserved False\n"), done.stderr


def test_a_path_that_cannot_be_bound_is_the_machines_fault(path: str) -> None:
    with pytest.raises(MachineFault, match="cannot listen at"):
        serve_at(Unix(f"{path}/none/such"), lambda server, stop: None)
