"""Directories and modes that keep a plugin's sockets private. Creates and removes them, and knocks; never binds."""

import logging
import os
import stat
import sys
from collections.abc import Mapping

from ..handshake import UNIX_PATH_MAX, HostFault, MachineFault, Unix
from ._scribe import SCRIBE

_logger = logging.getLogger("goplugin.transport")

PATH_MAX = UNIX_PATH_MAX if sys.platform == "linux" else 103  # sun_path without its NUL; BSD and macOS have 104 bytes
_SHORT = "/tmp"  # noqa: S108 - where a socket goes when TMPDIR is too long for one; inside it only a 0700 directory
_NAME_BYTES = 6
_NO_GROUP = 2**32 - 1  # chown(2) takes it for "leave the group as it is"


def socket_path(directory: str) -> Unix:
    """Return a path in ``directory`` that nobody has used, named as go-plugin names its own (server.go:580).

    Raises:
        HostFault: the directory does not exist, or a path in it is too long for a socket.
    """
    if not os.path.isdir(directory):
        raise HostFault(f"PLUGIN_UNIX_SOCKET_DIR names no directory: {directory!r}")
    # Random, so that a foreign socket is never taken over: grpcio unlinks whatever it finds at the path it binds.
    path = os.path.join(directory, f"plugin{os.urandom(_NAME_BYTES).hex()}")
    if len(os.fsencode(path)) > PATH_MAX:
        raise HostFault(f"a socket in PLUGIN_UNIX_SOCKET_DIR would exceed {PATH_MAX} bytes: {directory!r}")
    return Unix(path)


def share_with(path: str, group: str) -> None:
    """Let ``group``, a name or a number, use the socket or the directory: mode 0660 or 0770 (server.go:613).

    Raises:
        HostFault: there is no such group, or this process may not give the path to it.
    """
    import grp

    try:
        number = int(group) if group.isdecimal() else grp.getgrnam(group).gr_gid
    except KeyError:
        number = _NO_GROUP
    if number >= _NO_GROUP:
        raise HostFault(f"PLUGIN_UNIX_SOCKET_GROUP names no group: {group!r}")
    mode = 0o770 if stat.S_ISDIR(os.stat(path).st_mode) else 0o660
    try:
        os.chown(path, -1, number)
        os.chmod(path, mode)
    except OSError as error:
        raise HostFault(f"cannot give {path!r} to PLUGIN_UNIX_SOCKET_GROUP {group!r}: {error.strerror}") from None


def somebody_listens(address: Unix) -> bool:
    """Return whether somebody accepts connections there, without waiting for it."""
    import socket  # a plugin has no need of it

    with socket.socket(socket.AF_UNIX) as knock:
        knock.setblocking(False)
        try:
            knock.connect(address.path)
        except BlockingIOError:
            return True  # the queue is full, so there is one
        except OSError:
            return False
    return True


class PrivateDirectory:
    """A new directory that only its owner enters, for sockets; removed with all it holds by ``close``.

    A forked child has no part in it: its ``close`` removes nothing.

    It lies in ``TMPDIR``, or in /tmp where a socket's path below ``TMPDIR`` would be too long.

    Args:
        environment: where ``TMPDIR`` is looked up.
        group: who may enter besides the owner.
        parent: where it is to lie instead.

    Raises:
        MachineFault: the directory cannot be made. A bad ``TMPDIR``, or ``parent``, is never replaced silently.
        HostFault: as ``share_with``.
    """

    # The longest name that goes inside: what Go's own CreateTemp("plugin") makes has up to 16 characters.
    _ROOM = len("/goplugin-") + 2 * _NAME_BYTES + len("/plugin") + 2 * _NAME_BYTES

    def __init__(
        self, environment: Mapping[str, str], group: str | None = None, parent: str | os.PathLike[str] | None = None
    ) -> None:
        within = os.fspath(parent) if parent is not None else environment.get("TMPDIR") or _SHORT
        if len(os.fsencode(within)) + self._ROOM > PATH_MAX and os.path.isdir(within):
            if parent is not None:
                raise MachineFault(f"a socket in a directory of its own in {within!r} would exceed {PATH_MAX} bytes")
            within = _SHORT
        self.path = os.path.join(within, f"goplugin-{os.urandom(_NAME_BYTES).hex()}")
        self._made_by = os.getpid()
        try:
            os.mkdir(self.path, 0o700)
        except OSError as error:
            where = f"{within!r}" if parent is not None else f"TMPDIR, {within!r}"
            raise MachineFault(f"cannot make a directory for sockets in {where}: {error.strerror}") from None
        if group is not None:
            try:
                share_with(self.path, group)
            except BaseException:
                self.close()
                raise

    def close(self) -> None:
        """Remove the directory, or the link that somebody put in its place.

        Closing twice is fine, and so is a directory that somebody else removed. One that cannot be removed stays, and
        the log says so: what is stopped meanwhile is to stop all the same.
        """
        if self._made_by != os.getpid():
            return
        try:
            self._remove()
        except OSError as error:
            SCRIBE.log(
                _logger, logging.WARNING, "the directory for sockets %s stays behind: %s", self.path, error.strerror
            )

    def _remove(self) -> None:
        try:
            os.rmdir(self.path)  # takes no descriptor: there may be none left
        except FileNotFoundError:
            pass
        except NotADirectoryError:
            os.unlink(self.path)
        except OSError:
            import shutil  # costs a plugin's start a millisecond, and is needed at its end

            shutil.rmtree(self.path)
