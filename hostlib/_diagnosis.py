"""Looks at the file of a program that did not start and says what may be wrong with it. Never runs it, never raises."""

import errno
import os
import shutil
import stat
import struct
from collections.abc import Iterator, Mapping, Sequence

_HEAD = 64 * 1024  # bytes: the headers of a program and its first line lie in them
_SHOWN = 16

# Names as os.uname() has them.
_ELF = {
    3: "i686", 8: "mips", 20: "ppc", 21: "ppc64", 22: "s390x", 40: "armv7l", 62: "x86_64", 183: "aarch64",
    243: "riscv64", 258: "loongarch64",
}  # fmt: skip
_MACHO = {0x01000007: "x86_64", 0x0100000C: "arm64", 7: "i686", 12: "armv7l"}
_PE = {0x14C: "i686", 0x1C0: "armv7l", 0x6264: "loongarch64", 0x8664: "x86_64", 0xAA64: "aarch64"}
_ALSO_RUNS = {
    "x86_64": {"i686"}, "i586": {"i686"}, "aarch64": {"armv7l"}, "armv8l": {"armv7l"}, "armv6l": {"armv7l"},
    "arm64": {"x86_64"}, "ppc64le": {"ppc64"}, "mips64": {"mips"},
}  # fmt: skip
_STATUS = {126: "a shell found the program but could not run it", 127: "a shell did not find the program"}


def diagnosis(argv: Sequence[str], cwd: str | None, environment: Mapping[str, str]) -> tuple[str, ...]:
    """Return what speaks against the program of a command, the gravest first; nothing where all looks well."""
    try:
        path = program(argv[0], cwd, environment)
        if path is None:
            return (f"PATH has no program {argv[0]!r}: {environment.get('PATH', os.defpath)!r}",)
        return tuple(_findings(path, environment))
    except FileNotFoundError:
        return ()  # which the system's own error says
    except OSError as error:
        # Short of descriptors, for instance: no fault of the file.
        return () if error.errno in (errno.EMFILE, errno.ENFILE) else (f"it cannot be examined: {error.strerror}",)


def fate(status: int | None) -> tuple[str, ...]:
    """Return what an exit code says of itself where a shell started the program."""
    return (_STATUS[status],) if status in _STATUS else ()


def program(word: str, cwd: str | None, environment: Mapping[str, str]) -> str | None:
    """Return the file that a command starting with ``word`` runs, or None where PATH has no such program."""
    if os.sep in word:
        return os.path.join(cwd or "", word)
    # As Popen does: the plugin's own PATH counts, not the host's.
    return shutil.which(word, path=environment.get("PATH", os.defpath))


def _findings(path: str, environment: Mapping[str, str]) -> Iterator[str]:
    found = os.stat(path)
    if not stat.S_ISREG(found.st_mode):
        yield f"{path!r} is no file but {'a directory' if stat.S_ISDIR(found.st_mode) else 'something else'}"
        return
    if not os.access(path, os.X_OK):
        yield _permissions(path, found)
    elif os.statvfs(path).f_flag & getattr(os, "ST_NOEXEC", 0):  # only Linux tells
        yield f"{path!r} lies on a filesystem that is mounted noexec"
    if os.access(path, os.R_OK):
        with open(path, "rb") as file:
            head = file.read(_HEAD)
        yield from _contents(path, head, environment)


def _permissions(path: str, found: os.stat_result) -> str:
    import grp
    import pwd

    def user(number: int) -> str:
        try:
            return f"user {number} ({pwd.getpwuid(number).pw_name})"
        except KeyError:
            return f"user {number}"

    def group(number: int) -> str:
        try:
            return f"group {number} ({grp.getgrgid(number).gr_name})"
        except KeyError:
            return f"group {number}"

    whose = f"{user(found.st_uid)} and {group(found.st_gid)}"
    us = f"{user(os.geteuid())} and {group(os.getegid())}"
    return f"{path!r} has mode {stat.filemode(found.st_mode)}, {whose}; this process is {us} and may not run it"


def _contents(path: str, head: bytes, environment: Mapping[str, str]) -> Iterator[str]:
    if not head:
        yield f"{path!r} is empty"
    elif head.startswith(b"#!"):
        yield from _script(path, head, environment)
    elif (built := _built(head)) is not None:
        yield from _native(path, head, *built)
    else:
        yield f"{path!r} is neither a program nor a script with a #! line: it begins with {head[:_SHOWN]!r}"


def _script(path: str, head: bytes, environment: Mapping[str, str]) -> Iterator[str]:
    first = head.partition(b"\n")[0]
    if first.endswith(b"\r"):
        yield f"the #! line of {path!r} ends in CR LF, and the CR is taken for a part of it: save it with LF alone"
    words = os.fsdecode(first[2:]).split()
    if not words:
        yield f"the #! line of {path!r} names no interpreter"
    elif not os.path.exists(words[0]):
        yield f"the interpreter that the #! line of {path!r} names does not exist: {words[0]!r}"
    elif os.path.basename(words[0]) == "env":
        wanted = next((word for word in words[1:] if not word.startswith("-") and "=" not in word), None)
        if wanted is not None and program(wanted, None, environment) is None:
            yield f"the interpreter that {path!r} wants is not on the plugin's PATH: {wanted!r}"


def _built(head: bytes) -> tuple[str, str] | None:
    """Return the format of a native program, and the machine that it was built for."""
    try:
        if head.startswith(b"\x7fELF"):
            (number,) = struct.unpack_from("<H" if head[5] == 1 else ">H", head, 18)
            return "ELF", _ELF.get(number, f"machine {number}")
        if head[:4] in (b"\xcf\xfa\xed\xfe", b"\xce\xfa\xed\xfe"):
            (number,) = struct.unpack_from("<I", head, 4)
            return "Mach-O", _MACHO.get(number, f"machine {number}")
        if head.startswith(b"MZ"):
            (offset,) = struct.unpack_from("<I", head, 0x3C)
            if head[offset : offset + 4] == b"PE\0\0":
                (number,) = struct.unpack_from("<H", head, offset + 4)
                return "PE", _PE.get(number, f"machine {number}")
    except (struct.error, IndexError):
        pass  # cut short: it only begins like one
    return None


def _native(path: str, head: bytes, format_: str, machine: str) -> Iterator[str]:
    system, ours = os.uname().sysname, os.uname().machine
    runs = "Mach-O" if system == "Darwin" else "ELF"
    if format_ != runs:
        yield f"{path!r} is a {format_} program for {machine}, and {system} runs {runs}"
    elif machine != ours and machine not in _ALSO_RUNS.get(ours, ()):
        yield f"{path!r} was built for {machine}, and this machine is {ours}"
    elif format_ == "ELF" and (loader := _loader(head)) is not None and not os.path.exists(loader):
        yield f"the dynamic loader that {path!r} was linked for is not installed: {loader!r}"


def _loader(head: bytes) -> str | None:
    """Return what the PT_INTERP segment of an ELF program names."""
    order, wide = ("<" if head[5] == 1 else ">"), head[4] == 2
    try:
        (table,) = struct.unpack_from(order + ("Q" if wide else "I"), head, 32 if wide else 28)
        size, count = struct.unpack_from(order + "HH", head, 54 if wide else 42)
        for at in range(table, table + size * count, max(1, size)):
            (kind,) = struct.unpack_from(order + "I", head, at)
            if kind == 3:
                (offset,) = struct.unpack_from(order + ("Q" if wide else "I"), head, at + (8 if wide else 4))
                (length,) = struct.unpack_from(order + ("Q" if wide else "I"), head, at + (32 if wide else 16))
                return os.fsdecode(head[offset : offset + length].rstrip(b"\0")) or None
    except (struct.error, OverflowError):
        pass
    return None
