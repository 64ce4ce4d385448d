"""The inner hop: the Unix socket between the relay and grpcio, in one process. Keeps every other process out of it.

grpcio takes paths only, no connected descriptors, and a path is open to every process of the same user. On Linux:

- the path exists for an instant. It is opened (``O_PATH``), removed, and from then on reached as
  ``/proc/self/fd/N`` alone. The relay's end asks the kernel who the other is (``SO_PEERCRED``);
- grpcio's end cannot ask. Where it connects, that descriptor leads to our own socket, which was tried before. Where it
  listens, nobody may have connected while the path existed, and with TLS ``/proc/PID/fd`` is closed to other processes
  (``undumpable``). Who opened the path in that instant, as we do, is not seen.

Elsewhere the path stays, in a directory that only its owner enters, until the hop is closed: there other users are
kept out, other processes of the same user are not. A superuser is kept out nowhere.
"""

import os
import select
import socket
import struct
import sys
import threading
from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager, suppress

from ..handshake import MachineFault
from ._listener import Bindable
from ._sockets import PrivateDirectory, socket_path
from ._target import at_path

_PR_GET_DUMPABLE, _PR_SET_DUMPABLE = 3, 4  # linux/prctl.h
_BACKLOG = 128
_DESCRIPTORS = "/proc/self/fd"
_SOCKADDR_MAX = 128  # sizeof(struct sockaddr_storage)


class Stranger(ConnectionError):
    """Another process is at the other end of the inner hop, or was there first."""


class InnerServer:
    """The private socket of a grpcio server that was not started yet; ``connect`` is the only way in.

    Args:
        server: grpcio's.
        environment: where TMPDIR is looked up.
        guarded: keep the process ``undumpable``. In plain text that would be in vain: the same processes may connect
            to the outer socket.

    Raises:
        MachineFault: no socket can be made, or another process was quick enough to connect to it.
    """

    def __init__(self, server: Bindable, environment: Mapping[str, str], *, guarded: bool = True) -> None:
        with ExitStack() as undo:
            if guarded:
                undo.enter_context(undumpable())
            directory = PrivateDirectory(environment)
            undo.callback(directory.close)
            path = socket_path(directory.path).path
            try:
                server.add_insecure_port(at_path(path))
            except RuntimeError as error:  # all that grpcio says of a failed bind
                raise MachineFault(f"cannot listen at {path!r}: {error}") from None
            self._path = _hidden(path, undo)
            if sys.platform == "linux":
                # The server accepts nothing before it is started, so whoever came early is still in the queue.
                queue = select.poll()
                queue.register(_listener_at(path), select.POLLIN)
                if queue.poll(0):
                    raise MachineFault("another process of this user interfered with a private socket: it connected")
            self._undo = undo.pop_all()

    def connect(self, ours: socket.socket) -> int:
        """Begin to connect a non-blocking socket and return the error number, as ``connect_ex``.

        Raises:
            Stranger: somebody else listens there.
        """
        outcome = ours.connect_ex(self._path)
        if outcome == 0:
            check_ourselves(ours)
        return outcome

    def close(self) -> None:
        """Remove what is left. Closing twice is fine; connections stay."""
        self._undo.close()


class InnerListener:
    """A private socket to which this process's own grpcio channel connects.

    Attributes:
        target: what to give to grpcio.
        socket: non-blocking; ``check_ourselves`` is for what it accepts.

    Args:
        environment: where TMPDIR is looked up.

    Raises:
        MachineFault: no socket can be made, or another process took its place.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        with ExitStack() as undo:
            directory = PrivateDirectory(environment)
            undo.callback(directory.close)
            path = socket_path(directory.path).path
            self.socket = undo.enter_context(socket.socket(socket.AF_UNIX))
            self.socket.setblocking(False)
            try:
                self.socket.bind(path)
                self.socket.listen(_BACKLOG)
            except OSError as error:
                raise MachineFault(f"cannot listen at {path!r}: {error.strerror}") from None
            reached = _hidden(path, undo)
            self.target = at_path(reached)
            self._try(reached)
            self._undo = undo.pop_all()

    def _try(self, reached: str) -> None:
        """Make sure that it is our own socket which is reached, and that nobody waits at it."""
        with socket.socket(socket.AF_UNIX) as probe:
            probe.setblocking(False)
            try:
                probe.connect(reached)
                check_ourselves(probe)
            except OSError as error:
                raise MachineFault(f"another process of this user interfered with a private socket: {error}") from None
        while True:
            try:
                self.socket.accept()[0].close()
            except BlockingIOError:
                return

    def close(self) -> None:
        """Stop listening and remove what is left. Closing twice is fine."""
        self._undo.close()


def check_ourselves(connection: socket.socket) -> None:
    """Check that the other end of a connection belongs to this process, where the system can tell.

    Raises:
        Stranger: it does not.
    """
    if sys.platform == "linux":
        size = struct.calcsize("3i")
        pid, uid, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
        if pid != os.getpid():
            raise Stranger(f"process {pid} of user {uid} is at the other end of a private socket")


@contextmanager
def undumpable() -> Generator[None, None, None]:
    """Keep other processes of the same user from this one's descriptors, memory and core dump (``PR_SET_DUMPABLE``).

    Meanwhile no debugger attaches, no core is dumped, and the files below /proc/PID belong to root. May be nested,
    from any thread; afterwards everything is as it was. Does nothing elsewhere than on Linux.
    """
    _dumpable.forbid()
    try:
        yield
    finally:
        _dumpable.allow()


class _Dumpable:
    """The process's own flag, which several users hold down.

    Who lets go waits for nobody: it may be the relay's thread, for which a signal handler waits that has interrupted
    another in the midst of this. Whoever has the lock lets go in its place.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()  # the handler itself may come back here
        self._holders = 0
        self._before = 0
        self._leaving: list[None] = []

    def forbid(self) -> None:
        with self._lock:
            if self._holders == 0:
                self._before = _prctl(_PR_GET_DUMPABLE, 0)
                _prctl(_PR_SET_DUMPABLE, 0)
            self._holders += 1
        self._let_go()

    def allow(self) -> None:
        self._leaving.append(None)
        self._let_go()

    def _let_go(self) -> None:
        while self._leaving and self._lock.acquire(blocking=False):
            try:
                with suppress(IndexError):  # a signal handler was faster
                    self._leaving.pop()
                    self._holders -= 1
                if self._holders == 0 and self._before == 1:  # the kernel takes no other value back
                    _prctl(_PR_SET_DUMPABLE, 1)
            finally:
                self._lock.release()

    def go_on_alone(self) -> None:
        """In a forked child: a thread that was in the midst of it exists in the parent only.

        What the parent keeps from others is in the child's memory, too, so the child never lets go of what was held.
        """
        self._lock = threading.RLock()
        if self._holders:
            self._holders += 1


_dumpable = _Dumpable()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_dumpable.go_on_alone)


def _prctl(option: int, argument: int) -> int:
    if sys.platform != "linux":
        return 0
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    answer: int = libc.prctl(option, ctypes.c_ulong(argument), 0, 0, 0)
    if answer < 0:
        raise MachineFault(f"prctl: {os.strerror(ctypes.get_errno())}")
    return answer


def _hidden(path: str, undo: ExitStack) -> str:
    """Remove a socket's path and its directory, and return the path by which this process still reaches it."""
    if sys.platform != "linux":
        return path
    try:
        held = os.open(path, os.O_PATH | os.O_CLOEXEC | os.O_NOFOLLOW)
        undo.callback(os.close, held)
        os.unlink(path)
        os.rmdir(os.path.dirname(path))
    except OSError as error:
        raise MachineFault(f"another process of this user interfered with a private socket: {error}") from None
    reached = f"{_DESCRIPTORS}/{held}"
    if not os.path.exists(reached):
        raise MachineFault("the relay needs /proc, which is not mounted")
    return reached


def _listener_at(path: str) -> int:
    """Return grpcio's own descriptor, which it tells nobody, of the socket that is bound to ``path``.

    /proc/net/unix would not do: while other sockets come and go, it names one twice, or not at all.
    """
    import ctypes

    # Not socket.socket(fileno=...): a default timeout would make any socket of this process non-blocking.
    getsockname = ctypes.PyDLL(None).getsockname  # at no time waits, so it keeps the GIL
    address, size = ctypes.create_string_buffer(_SOCKADDR_MAX), ctypes.c_uint()
    wanted = struct.pack("=H", socket.AF_UNIX) + os.fsencode(path) + b"\0"
    for name in os.listdir(_DESCRIPTORS):
        size.value = _SOCKADDR_MAX
        if getsockname(int(name), address, ctypes.byref(size)) == 0 and address.raw[: size.value] == wanted:
            return int(name)
    raise MachineFault(f"grpcio has no socket at {path!r}, which it said it had bound")
