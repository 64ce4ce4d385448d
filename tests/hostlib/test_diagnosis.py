"""What the file of a program says of why it does not run."""

import os
import re
import struct
from pathlib import Path

import pytest

from goplugin.hostlib._diagnosis import diagnosis, fate, program

PATH = {"PATH": "/usr/bin:/bin"}
ME = Path(os.path.realpath("/bin/sh")).read_bytes()


def elf(machine: int, *, wide: bool = True, order: str = "<", loader: bytes = b"") -> bytes:
    """Return an ELF program's headers, with the segment that names its loader."""
    head = b"\x7fELF" + bytes((2 if wide else 1, 1 if order == "<" else 2)) + bytes(10)
    head += struct.pack(order + "HH", 2, machine)
    size = 64 if wide else 52
    if wide:
        head += struct.pack(order + "IQQQIHHH", 1, 0, size, 0, 0, size, 56, 1)
        segment = struct.pack(order + "IIQQQQQQ", 3, 0, 200, 0, 0, len(loader), 0, 0)
    else:
        head += struct.pack(order + "IIIIIHHH", 1, 0, size, 0, 0, size, 32, 1)
        segment = struct.pack(order + "IIIIIIII", 3, 200, 0, 0, len(loader), 0, 0, 0)
    return (head.ljust(size, b"\0") + segment).ljust(200, b"\0") + loader


def pe(machine: int) -> bytes:
    return b"MZ".ljust(0x3C, b"\0") + struct.pack("<I", 0x40) + b"PE\0\0" + struct.pack("<H", machine)


HERE = {"x86_64": 62, "aarch64": 183}.get(os.uname().machine, 62)
ELSEWHERE = 22  # s390x, on which no machine of ours runs

CONTENTS = [
    (b"", "is empty"),
    (b"#!/no/such/interpreter -u\nrest", "does not exist: '/no/such/interpreter'"),
    (b"#!/bin/sh\r\necho", "ends in CR LF"),
    (b"#!\n", "names no interpreter"),
    (b"#!/usr/bin/env no-such-interpreter\n", "not on the plugin's PATH: 'no-such-interpreter'"),
    (b"#!/usr/bin/env -S A=1 no-such-interpreter -u\n", "not on the plugin's PATH: 'no-such-interpreter'"),
    (b"import sys\n", "neither a program nor a script with a #! line: it begins with b'import sys"),
    (b"MZ but no more", "neither a program nor a script"),
    (b"\x7fELF", "neither a program nor a script"),
    (elf(ELSEWHERE, order=">"), "was built for s390x"),
    (elf(999), "was built for machine 999"),
    (elf(HERE, loader=b"/no/such/loader.so\0"), "loader that .* is not installed: '/no/such/loader.so'"),
    (elf(40, wide=False), "was built for armv7l" if HERE != 183 else "^$"),
    (pe(0x8664), "is a PE program for x86_64, and Linux runs ELF"),
    (pe(1), "is a PE program for machine 1,"),
    (b"\xcf\xfa\xed\xfe\x0c\x00\x00\x01", "is a Mach-O program for arm64, and Linux runs ELF"),
]


@pytest.mark.parametrize(("contents", "said"), CONTENTS, ids=[said[:30] for _, said in CONTENTS])
def test_what_is_wrong_with_a_file_is_said(tmp_path: Path, contents: bytes, said: str) -> None:
    file = tmp_path / "plugin"
    file.write_bytes(contents)
    file.chmod(0o755)
    text = "; ".join(diagnosis(["./plugin"], str(tmp_path), PATH))
    assert re.search(said, text)


@pytest.mark.parametrize(
    "contents",
    [
        ME,
        elf(HERE),
        elf(HERE, loader=b"/bin/sh\0"),
        elf(HERE)[:70],
        elf(HERE)[:54] + bytes(2) + elf(HERE)[56:],
        elf(HERE)[:32] + b"\xff" * 8 + elf(HERE)[40:],
        b"#!/bin/sh\nexit 0\n",
        b"#! /usr/bin/env -S sh -e\n",
    ],
    ids=["real", "static", "linked", "cut short", "object", "broken", "script", "env"],
)
def test_nothing_is_said_against_a_good_program(tmp_path: Path, contents: bytes) -> None:
    (tmp_path / "plugin").write_bytes(contents)
    (tmp_path / "plugin").chmod(0o755)
    assert diagnosis([str(tmp_path / "plugin")], None, PATH) == ()


def test_who_may_run_it_is_said(tmp_path: Path) -> None:
    (tmp_path / "plugin").write_bytes(ME)
    (tmp_path / "plugin").chmod(0o640)
    (found,) = diagnosis([str(tmp_path / "plugin")], None, PATH)
    assert f"'{tmp_path}/plugin' has mode -rw-r-----, user {os.getuid()} (" in found
    assert found.endswith("and may not run it")
    os.chown(tmp_path / "plugin", 4242, 4343)
    (found,) = diagnosis([str(tmp_path / "plugin")], None, PATH)
    assert ", user 4242 and group 4343; " in found


def test_what_is_no_file_and_what_is_not_there(tmp_path: Path) -> None:
    assert "is no file but a directory" in diagnosis([str(tmp_path)], None, PATH)[0]
    assert "is no file but something else" in diagnosis(["/dev/null"], None, PATH)[0]
    assert diagnosis([str(tmp_path / "absent")], None, PATH) == ()
    assert diagnosis(["no-such-program"], None, PATH) == ("PATH has no program 'no-such-program': '/usr/bin:/bin'",)
    (tmp_path / "loop").symlink_to("loop")
    assert "cannot be examined" in diagnosis([str(tmp_path / "loop")], None, PATH)[0]


def test_a_mount_that_runs_nothing_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Mount:
        f_flag = os.ST_NOEXEC

    (tmp_path / "plugin").write_bytes(ME)
    (tmp_path / "plugin").chmod(0o755)

    def mounted(path: str) -> type[Mount]:
        return Mount

    monkeypatch.setattr(os, "statvfs", mounted)
    (found,) = diagnosis([str(tmp_path / "plugin")], None, PATH)
    assert found.endswith("mounted noexec")


def test_a_program_is_looked_for_where_the_plugin_would_look(tmp_path: Path) -> None:
    (tmp_path / "plugin").touch(0o755)
    assert program("plugin", None, {"PATH": str(tmp_path)}) == str(tmp_path / "plugin")
    assert program("plugin", None, PATH) is None
    assert program("./plugin", "/srv", PATH) == "/srv/./plugin"
    assert program("/bin/sh", "/srv", PATH) == "/bin/sh"
    assert program("sh", None, {}) is not None


def test_two_exit_codes_speak_for_a_shell() -> None:
    assert fate(126) == ("a shell found the program but could not run it",)
    assert fate(127) == ("a shell did not find the program",)
    assert fate(1) == fate(None) == fate(-9) == ()
