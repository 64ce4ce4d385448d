"""The inner hop: nobody but this process gets through. The attackers are processes, of this and of another user."""

import ctypes
import errno
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from leftovers import nothing_left as nothing_left
from leftovers import warm_grpc as warm_grpc
from other_users import INNER_HOP, intrude, users
from tls_peers import Inner

from goplugin.handshake import MachineFault
from goplugin.transport import _inner
from goplugin.transport._inner import InnerListener, Stranger, check_ourselves
from goplugin.transport.tls import InnerServer, undumpable


@pytest.fixture
def inner() -> Iterator[Inner]:
    inner = Inner()
    yield inner
    inner.close()


def attack(directory: str, victim_is: int, attacker_is: int, protected: str = "protected") -> tuple[str, str]:
    """Let one process attack another; return what it got, and what the other counted."""
    os.chown(directory, victim_is, -1)
    os.chmod(directory, 0o755)  # so that no directory of the test is what protects
    with subprocess.Popen(
        [sys.executable, INNER_HOP, "victim", str(victim_is), directory, protected],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as victim:
        try:
            assert victim.stdout is not None
            got = intrude(attacker_is, directory, int(victim.stdout.readline()))
            said, _ = victim.communicate(timeout=60)
        finally:
            victim.kill()
    for name in ("outer", "far"):
        os.unlink(os.path.join(directory, name))
    return got, said.strip()


@pytest.mark.parametrize(("victim", "attacker"), users())
@pytest.mark.fault(30)
def test_no_other_process_gets_through_the_inner_hop(nothing_left: str, victim: int, attacker: int) -> None:
    """Neither to grpcio's server nor, through the relay, to the peer: of what it finds, all doors are closed."""
    got, counted = attack(nothing_left, victim, attacker)
    assert got in {"[]", "['a closed door']"}
    assert counted == "0 0"


def test_without_the_protection_a_process_of_the_same_user_does_get_to_grpcio(nothing_left: str) -> None:
    """The attack is real: it is what PR_SET_DUMPABLE stops. The client's hop asks who comes, and needs it not."""
    victim, attacker = users()[0]
    got, _ = attack(nothing_left, victim, attacker, "unprotected")
    assert got == "['a closed door', \"from grpcio's side\"]"


SWAP = """
import os, socket, sys
sock = socket.socket(socket.AF_UNIX)
sock.bind(sys.argv[1] + "x")
sock.listen()
os.rename(sys.argv[1] + "x", sys.argv[1])
print("done", flush=True)
sock.settimeout(30)
try:
    sock.accept()[0].send(b"from the attacker")
except TimeoutError:
    pass
sys.stdin.read()
"""


@pytest.fixture
def swap() -> Iterator[Callable[[str], None]]:
    """``swap(path)`` has another process put a socket of its own in the place of ours."""
    with ExitStack() as undo:

        def make(path: str) -> None:
            process = undo.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", SWAP, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
                )
            )
            undo.callback(process.kill)
            assert process.stdout is not None
            assert process.stdout.readline() == "done\n"

        yield make


class Hasty(Inner):
    """A server whose socket somebody gets hold of as soon as it is bound."""

    def __init__(self, meanwhile: Callable[[str], None]) -> None:
        super().__init__()
        self._meanwhile = meanwhile

    def add_insecure_port(self, address: str) -> int:
        super().add_insecure_port(address)
        self._meanwhile(address.removeprefix("unix:"))
        return 1


def connecting(path: str) -> None:
    with socket.socket(socket.AF_UNIX) as early:
        early.connect(path)


def test_a_server_to_which_somebody_connected_early_is_not_used(nothing_left: str) -> None:
    with closing(Hasty(connecting)) as server, pytest.raises(MachineFault, match=r"interfered .* it connected"):
        InnerServer(server, os.environ)


class Gone(Inner):
    """A server that closes its socket as soon as it is bound."""

    def add_insecure_port(self, address: str) -> int:
        port = super().add_insecure_port(address)
        self.close()
        return port


def test_a_server_whose_socket_is_not_found_is_not_used(nothing_left: str) -> None:
    with pytest.raises(MachineFault, match=r"grpcio has no socket at .*, which it said it had bound"):
        InnerServer(Gone(), os.environ)


def test_a_server_whose_socket_was_exchanged_is_not_talked_to(nothing_left: str, swap: Callable[[str], None]) -> None:
    with closing(Hasty(swap)) as server:
        door = InnerServer(server, os.environ)
        with closing(door), socket.socket(socket.AF_UNIX) as ours:
            ours.setblocking(False)
            with pytest.raises(Stranger, match="at the other end of a private socket"):
                door.connect(ours)


@pytest.fixture
def between(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[str], object]], None]:
    """``between(action)`` does something to the next socket's path, after it is bound and before it is opened."""

    def arrange(action: Callable[[str], object]) -> None:
        open_ = os.open

        def late(path: str, flags: int) -> int:
            monkeypatch.setattr(os, "open", open_)
            action(path)
            return open_(path, flags)

        monkeypatch.setattr(os, "open", late)

    return arrange


Between = Callable[[Callable[[str], object]], None]


def test_a_listener_whose_socket_was_exchanged_is_not_used(
    nothing_left: str, swap: Callable[[str], None], between: Between
) -> None:
    between(swap)
    with pytest.raises(MachineFault, match="interfered with a private socket: process"):
        InnerListener(os.environ)


def test_a_socket_that_somebody_removed_is_not_used(inner: Inner, nothing_left: str, between: Between) -> None:
    for make in (lambda: InnerServer(inner, os.environ), lambda: InnerListener(os.environ)):
        between(os.unlink)
        with pytest.raises(MachineFault, match=r"interfered with a private socket: .*No such file"):
            make()


def test_whoever_waited_at_a_listener_before_it_was_ready_is_turned_away(nothing_left: str, between: Between) -> None:
    early = socket.socket(socket.AF_UNIX)
    between(early.connect)
    with early, closing(InnerListener(os.environ)) as listener:
        assert early.recv(1) == b""
        with pytest.raises(BlockingIOError):
            listener.socket.accept()


def test_no_path_is_left_and_this_process_still_connects(inner: Inner, nothing_left: str) -> None:
    door = InnerServer(inner, os.environ)
    assert os.listdir(nothing_left) == []
    with closing(door), socket.socket(socket.AF_UNIX) as ours:
        assert door.connect(ours) == 0
        with inner.accept() as theirs:
            theirs.send(b"x")
            assert ours.recv(1) == b"x"
    door.close()
    listener = InnerListener(os.environ)
    assert os.listdir(nothing_left) == []
    with closing(listener), socket.socket(socket.AF_UNIX) as ours:
        ours.connect(listener.target.removeprefix("unix:"))
        theirs, _ = listener.socket.accept()
        with theirs:
            check_ourselves(theirs)
    listener.close()


def test_a_child_is_told_apart_from_its_parent(nothing_left: str) -> None:
    """It has the listener's descriptor, and may connect; but the kernel says who it is."""
    program = "import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); sys.stdin.read()"
    with closing(InnerListener(os.environ)) as listener:
        held = int(listener.target.rsplit("/", 1)[1])
        with subprocess.Popen(
            [sys.executable, "-c", program, f"/proc/self/fd/{held}"], stdin=subprocess.PIPE, pass_fds=[held]
        ) as child:
            listener.socket.settimeout(30)
            theirs, _ = listener.socket.accept()
            with theirs, pytest.raises(Stranger, match=f"process {child.pid} of user {os.getuid()}"):
                check_ourselves(theirs)
            child.communicate()


def test_a_server_that_cannot_bind_is_the_machines_fault(nothing_left: str) -> None:
    class Unwilling:
        def add_insecure_port(self, address: str) -> int:
            raise RuntimeError("no")

    with pytest.raises(MachineFault, match=r"cannot listen at .*: no"):
        InnerServer(Unwilling(), os.environ)


def test_what_somebody_else_left_in_the_private_directory_is_told(nothing_left: str) -> None:
    class Watched(Inner):
        def add_insecure_port(self, address: str) -> int:
            port = super().add_insecure_port(address)
            (Path(address.removeprefix("unix:")).parent / "somebody else's").touch()
            return port

    with closing(Watched()) as inner, pytest.raises(MachineFault, match=r"interfered .* not empty"):
        InnerServer(inner, os.environ)


def test_a_listener_that_cannot_bind_is_the_machines_fault(nothing_left: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(socket.socket, "bind", full)
    with pytest.raises(MachineFault, match=r"cannot listen at .*: No space left"):
        InnerListener(os.environ)


def test_without_proc_there_is_no_inner_hop(inner: Inner, nothing_left: str, monkeypatch: pytest.MonkeyPatch) -> None:
    exists = os.path.exists
    monkeypatch.setattr(os.path, "exists", lambda path="": not str(path).startswith("/proc") and exists(path))
    with pytest.raises(MachineFault, match="needs /proc"):
        InnerServer(inner, os.environ)


def test_elsewhere_than_on_linux_the_path_stays_in_a_directory_of_its_owners_alone(
    inner: Inner, nothing_left: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("goplugin.transport._inner.sys.platform", "darwin")
    door, listener = InnerServer(inner, os.environ), InnerListener(os.environ)
    for directory in Path(nothing_left).iterdir():
        assert directory.stat().st_mode & 0o777 == 0o700
    with socket.socket(socket.AF_UNIX) as ours, socket.socket(socket.AF_UNIX) as channel:
        assert door.connect(ours) == 0
        channel.connect(listener.target.removeprefix("unix:"))
        listener.socket.accept()[0].close()
    inner.accept().close()
    assert dumpable() == 1
    door.close()
    listener.close()
    assert os.listdir(nothing_left) == []


def dumpable() -> int:
    found: int = ctypes.CDLL(None).prctl(3, 0, 0, 0, 0)
    return found


def test_dumpable_is_forbidden_while_anybody_needs_it_and_then_as_it_was(inner: Inner, nothing_left: str) -> None:
    assert dumpable() == 1
    with undumpable():
        assert dumpable() == 0
        door = InnerServer(inner, os.environ)
    assert dumpable() == 0
    door.close()
    assert dumpable() == 1
    door.close()
    assert dumpable() == 1


def test_who_lets_go_never_waits_for_who_is_in_the_midst_of_it(inner: Inner, nothing_left: str) -> None:
    """It may be the relay's thread, for which a signal handler waits that has interrupted the other."""
    door = InnerServer(inner, os.environ)
    thread = threading.Thread(target=door.close, daemon=True)
    with vars(_inner)["_dumpable"]._lock:
        thread.start()
        thread.join(10)
        assert not thread.is_alive()
        assert dumpable() == 0
    with undumpable():
        pass
    assert dumpable() == 1


def test_a_signal_handler_may_forbid_it_in_the_midst_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    prctl, interrupted = vars(_inner)["_prctl"], list[bool]()

    def amid(*arguments: int) -> int:
        if not interrupted:
            interrupted.append(True)
            with undumpable():
                pass
        found: int = prctl(*arguments)
        return found

    monkeypatch.setattr(_inner, "_prctl", amid)

    def forbid() -> None:
        with undumpable():
            assert dumpable() == 0

    thread = threading.Thread(target=forbid, daemon=True)
    thread.start()
    thread.join(10)
    assert not thread.is_alive()
    assert dumpable() == 1


FORK_WHILE_A_THREAD_FORBIDS = """
import os, signal, threading
from goplugin.transport import _inner
begun, prctl = threading.Event(), _inner._prctl

def slow(*arguments):
    begun.set()
    threading.Event().wait()

_inner._prctl = slow
threading.Thread(target=_inner.undumpable().__enter__, daemon=True).start()
begun.wait()
child = os.fork()
if child == 0:
    signal.alarm(10)
    _inner._prctl = prctl
    with _inner.undumpable():
        os._exit(0)
os._exit(os.waitpid(child, 0)[1])
"""


def test_a_child_that_is_forked_in_the_midst_of_it_is_not_held_up() -> None:
    program = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", FORK_WHILE_A_THREAD_FORBIDS]
    assert subprocess.run(program, timeout=60).returncode == 0


def test_a_process_that_was_not_dumpable_stays_so() -> None:
    program = (
        "import ctypes\n"
        "from goplugin.transport.tls import undumpable\n"
        "libc = ctypes.CDLL(None)\n"
        "libc.prctl(4, 0, 0, 0, 0)\n"
        "with undumpable(): pass\n"
        "print(libc.prctl(3, 0, 0, 0, 0))\n"
    )
    assert subprocess.check_output([sys.executable, "-c", program], text=True, timeout=60) == "0\n"
