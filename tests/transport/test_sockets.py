"""Private directories, and the kernel's limit on paths."""

import os
import stat
from pathlib import Path

import pytest

from goplugin.handshake import HostFault, MachineFault
from goplugin.transport import PATH_MAX, PrivateDirectory, share_with, socket_path


def test_a_private_directory_is_its_owners_and_goes_with_all_it_holds(tmp_path: Path) -> None:
    directory = PrivateDirectory({"TMPDIR": str(tmp_path)})
    assert stat.S_IMODE(os.stat(directory.path).st_mode) == 0o700
    (Path(directory.path) / "sub").mkdir()
    (Path(directory.path) / "sub" / "left").touch()
    directory.close()
    directory.close()
    assert list(tmp_path.iterdir()) == []


def test_a_tmpdir_too_long_for_a_socket_gives_way_to_a_short_one(tmp_path: Path) -> None:
    long = tmp_path / ("x" * 90)
    long.mkdir()
    directory = PrivateDirectory({"TMPDIR": str(long)})
    assert os.path.dirname(directory.path) == "/tmp"
    assert len(os.fsencode(socket_path(directory.path).path)) <= PATH_MAX
    directory.close()


@pytest.mark.parametrize("name", ["absent", "file"])
def test_a_bad_tmpdir_is_named_and_never_replaced(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(MachineFault, match=f"TMPDIR, '{tmp_path}/{name}'"):
        PrivateDirectory({"TMPDIR": str(tmp_path / name)})


def test_a_directory_for_an_unknown_group_is_not_left_behind(tmp_path: Path) -> None:
    with pytest.raises(HostFault, match="names no group"):
        PrivateDirectory({"TMPDIR": str(tmp_path)}, group="no such group")
    assert list(tmp_path.iterdir()) == []


def test_two_sockets_in_one_directory_have_different_names(tmp_path: Path) -> None:
    assert socket_path(str(tmp_path)) != socket_path(str(tmp_path))


def test_what_cannot_be_given_to_a_group_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "chown", refuse)
    with pytest.raises(HostFault, match=r"cannot give .* Operation not permitted"):
        share_with(str(tmp_path), "0")
