"""Directories and modes that keep a plugin's sockets private. Creates and removes them; never binds."""

import os
import stat
import sys
from collections.abc import Mapping

from ..handshake import UNIX_PATH_MAX, HostFault, MachineFault, Unix

PATH_MAX = UNIX_PATH_MAX if sys.platform == "linux" else 103  # sun_path without its NUL; BSD and macOS have 104 bytes
_SHORT = "/tmp"  # noqa: S108 - where a socket goes when TMPDIR is too long for one; inside it only a 0700 directory
_NAME_BYTES = 6


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
        raise HostFault(f"PLUGIN_UNIX_SOCKET_GROUP names no group: {group!r}") from None
    mode = 0o770 if stat.S_ISDIR(os.stat(path).st_mode) else 0o660
    try:
        os.chown(path, -1, number)
        os.chmod(path, mode)
    except OSError as error:
        raise HostFault(f"cannot give {path!r} to PLUGIN_UNIX_SOCKET_GROUP {group!r}: {error.strerror}") from None


class PrivateDirectory:
    """A new directory that only its owner enters, for sockets; removed with all it holds by ``close``.

    It lies in ``TMPDIR``, or in /tmp where a socket's path below ``TMPDIR`` would be too long.

    Raises:
        MachineFault: the directory cannot be made. A bad ``TMPDIR`` is never replaced silently.
    """

    # The longest name that goes inside: what Go's own CreateTemp("plugin") makes has up to 16 characters.
    _ROOM = len("/goplugin-") + 2 * _NAME_BYTES + len("/plugin") + 2 * _NAME_BYTES

    def __init__(self, environment: Mapping[str, str], group: str | None = None) -> None:
        parent = environment.get("TMPDIR") or _SHORT
        if len(os.fsencode(parent)) + self._ROOM > PATH_MAX and os.path.isdir(parent):
            parent = _SHORT
        self.path = os.path.join(parent, f"goplugin-{os.urandom(_NAME_BYTES).hex()}")
        try:
            os.mkdir(self.path, 0o700)
        except OSError as error:
            message = f"cannot make a directory for sockets in TMPDIR, {parent!r}: {error.strerror}"
            raise MachineFault(message) from None
        if group is not None:
            try:
                share_with(self.path, group)
            except BaseException:
                self.close()
                raise

    def close(self) -> None:
        """Remove the directory. Closing twice is fine, and so is a directory that somebody else removed."""
        import shutil  # costs a plugin's start a millisecond, and is needed at its end

        if os.path.isdir(self.path):
            shutil.rmtree(self.path)
