"""Makes sure that what runs is what was meant: checks files by their checksum, and runs copies that nobody can change.

Between a check and the start of a file by its name, the file may be replaced or rewritten; go-plugin leaves that to
the reader of its documentation (client.go:323). Here the bytes that were hashed are the bytes that run: they are copied
into sealed memory, whose descriptor is executed. Decides nothing else, and starts nothing.
"""

import errno
import hashlib
import hmac
import os
import re
import stat
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Protocol

from ..handshake import ChecksumMismatch, MachineFault, Misuse
from ._diagnosis import program
from ._sheltered import Wanted

_CHUNK = 1024 * 1024
_MFD_EXEC = 0x10  # since Linux 6.3, where a system may allow it to those alone who say so

# What runs other programs, or code that a word of its command names. The list cannot be complete; it is there to stop
# the usual mistake, of taking the checksum of the interpreter for that of the plugin.
_RUNS_OTHERS = re.compile(
    r"((python|pypy|node|nodejs|ruby|perl|php|lua)[0-9.]*|deno|bun|java|dotnet|mono|(ba|da|z|k|mk|c|tc|fi)?sh|busybox"
    r"|env|nice|nohup|setsid|timeout|time|stdbuf|ionice|taskset|xargs|sudo|doas|su|runuser|setpriv|unshare|nsenter"
    r"|chroot|strace|ltrace|gdb|valgrind|npx|uv|uvx|pipx|go|docker|podman|wine|qemu-.*|ld-linux.*)"
)


class Hash(Protocol):
    """An object as those of hashlib."""

    @property
    def digest_size(self) -> int: ...

    def update(self, data: bytes, /) -> object: ...

    def digest(self) -> bytes: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SecureConfig:
    """What the files of a plugin must be: go-plugin's SecureConfig. May be used for any number of clients.

    Attributes:
        checksum: of the program's file, which may be a script with a ``#!`` line.
        hash: the name of a hash function of ``hashlib``, or what makes a new hash object.
        files: the checksums of files that further words of the command name, such as a script for an interpreter, by
            the word as it stands there; None for a file that need not be checked, because it holds no code.

    Raises:
        Misuse: there is no checksum, no such hash function, or a checksum is not of that function's length.
    """

    checksum: bytes
    hash: str | Callable[[], Hash] = "sha256"
    files: Mapping[str, bytes | None] = field(default_factory=dict[str, bytes | None])

    def __post_init__(self) -> None:
        try:
            size = self.new().digest_size
        except ValueError:
            raise Misuse(f"hashlib has no such hash function: {self.hash!r}") from None
        for checksum in (self.checksum, *self.files.values()):
            if isinstance(checksum, str):  # from a caller without types, who has it as sha256sum prints it
                raise Misuse("a checksum must be bytes: of hexadecimal digits, bytes.fromhex(...) makes them")
            if checksum is not None and len(checksum) != size:
                raise Misuse(
                    f"a checksum must have {size} bytes, as {self.hash!r} makes them; this has {len(checksum)}"
                )

    def new(self) -> Hash:
        """Return a new hash object: one that was used before would go on where it stopped (client.go:349)."""
        return hashlib.new(self.hash) if isinstance(self.hash, str) else self.hash()

    def check(self, command: Sequence[str]) -> None:
        """Refuse a command for which the checksums would mean little.

        Raises:
            Misuse: what the program runs is in none of the files, or one of them is no word of the command.
        """
        words = command[1:]
        for word in self.files:
            if word not in words:
                raise Misuse(f"the checksum of {word!r} is of no use: no word of the command after its first is that")
        name = os.path.basename(command[0])
        if _RUNS_OTHERS.fullmatch(name) and not any(self.files.values()):
            raise Misuse(
                f"the checksum of {name!r} says nothing of what it runs: give that of the script or program in files, "
                "or make it a program of its own, with a #! line"
            )


class Image:
    """A command whose files are sealed copies.

    Attributes:
        argv: the command, with the copies in place of the files that were checked.
        executable: the copy of the program.
        descriptors: those of the copies, which the process must inherit.

    Args:
        wanted: asked while a file is copied, which may have no end.

    Raises:
        ChecksumMismatch: a file is not what it must be.
        MachineFault: a file cannot be read, the system has no memory that can be sealed, or it is not wanted any more.
        Misuse: a word of the command names a file of which ``secure`` says nothing.
    """

    def __init__(
        self,
        secure: SecureConfig,
        command: Sequence[str],
        cwd: str | None,
        environment: Mapping[str, str],
        wanted: Wanted = lambda: True,
    ) -> None:
        if sys.platform != "linux":
            raise MachineFault("a plugin's checksum can be checked on Linux alone: elsewhere its file cannot be sealed")
        path = program(command[0], cwd, environment)
        if path is None:
            raise MachineFault(f"cannot check the plugin: PATH has no program {command[0]!r}")
        self._wanted = wanted
        with ExitStack() as undo:
            self.descriptors = [self._sealed(secure, path, secure.checksum, undo)]
            self.argv = [command[0]]
            for word in command[1:]:
                checksum = secure.files.get(word)
                file = os.path.join(cwd or "", word)
                if checksum is not None:
                    self.descriptors.append(self._sealed(secure, file, checksum, undo))
                    self.argv.append(_path(self.descriptors[-1]))
                    continue
                if word not in secure.files and os.path.isfile(file):
                    raise Misuse(
                        f"the command names the file {word!r}, of which the SecureConfig says nothing: "
                        "give its checksum in files, or None if it holds no code"
                    )
                self.argv.append(word)
            self.executable = _path(self.descriptors[0])
            self._undo = undo.pop_all()

    def close(self) -> None:
        """Let go of the copies; a process that was started keeps them."""
        self._undo.close()

    def _sealed(self, secure: SecureConfig, path: str, checksum: bytes, undo: ExitStack) -> int:
        import fcntl  # which Windows has not

        hashing = secure.new()
        try:
            source = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # never waits, whatever it names
            try:
                if not stat.S_ISREG(os.fstat(source).st_mode):
                    raise MachineFault(f"cannot check the plugin: {path!r} is no file")
                copy = _memory(os.path.basename(path))
                undo.callback(os.close, copy)
                while data := os.read(source, _CHUNK):
                    if not self._wanted():
                        raise MachineFault(f"gave up the check of the plugin's file {path!r}")
                    hashing.update(data)
                    _write(copy, data)
            finally:
                os.close(source)
            os.fchmod(copy, 0o500)
            seals = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
            fcntl.fcntl(copy, fcntl.F_ADD_SEALS, seals)
        except OSError as error:
            raise MachineFault(f"cannot check the plugin's file {path!r}: {error.strerror}") from error
        if not hmac.compare_digest(hashing.digest(), checksum):
            raise ChecksumMismatch(path=path, got=hashing.digest(), want=checksum)
        return copy


def _memory(name: str) -> int:
    if sys.platform == "linux":
        flags = os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING
        name = name.encode(errors="surrogateescape")[:200].decode(errors="replace")  # the system takes 249 bytes
        try:
            return os.memfd_create(name, flags | _MFD_EXEC)
        except OSError as error:
            if error.errno != errno.EINVAL:  # an older kernel
                raise
        return os.memfd_create(name, flags)
    raise AssertionError(sys.platform)


def _write(descriptor: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(descriptor, left) :]


def _path(descriptor: int) -> str:
    return f"/proc/self/fd/{descriptor}"
