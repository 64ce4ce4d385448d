"""Private directories, and the kernel's limit on paths."""

import os
import resource
import shutil
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from goplugin.handshake import HostFault, MachineFault, Unix
from goplugin.transport import PATH_MAX, PrivateDirectory, share_with, socket_path, somebody_listens


@pytest.mark.fault(28, 30)
def test_a_private_directory_is_its_owners_and_goes_with_all_it_holds(tmp_path: Path) -> None:
    directory = PrivateDirectory({"TMPDIR": str(tmp_path)})
    assert stat.S_IMODE(os.stat(directory.path).st_mode) == 0o700
    (Path(directory.path) / "sub").mkdir()
    (Path(directory.path) / "sub" / "left").touch()
    directory.close()
    directory.close()
    assert list(tmp_path.iterdir()) == []


def test_a_link_in_its_place_is_removed_and_what_it_leads_to_is_not(tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "file").touch()
    for target in ("precious", "precious/file", "absent"):
        directory = PrivateDirectory({"TMPDIR": str(tmp_path)})
        os.rmdir(directory.path)
        os.symlink(tmp_path / target, directory.path)
        directory.close()
    assert [path.name for path in tmp_path.rglob("*")] == ["precious", "file"]


def test_one_that_cannot_be_removed_stays_and_the_log_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(path: str) -> None:
        raise PermissionError(13, "Permission denied", path)

    directory = PrivateDirectory({"TMPDIR": str(tmp_path)})
    (Path(directory.path) / "left").touch()
    with monkeypatch.context() as patched:
        patched.setattr(shutil, "rmtree", refuse)
        directory.close()
    assert caplog.messages == [f"the directory for sockets {directory.path} stays behind: Permission denied"]


@pytest.mark.fault(43)
def test_an_empty_directory_goes_even_where_no_descriptor_is_free(tmp_path: Path) -> None:
    directory = PrivateDirectory({"TMPDIR": str(tmp_path)})
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        directory.close()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.fault(26)
def test_a_tmpdir_too_long_for_a_socket_gives_way_to_a_short_one(tmp_path: Path) -> None:
    long = tmp_path / ("x" * 90)
    long.mkdir()
    directory = PrivateDirectory({"TMPDIR": str(long)})
    assert os.path.dirname(directory.path) == "/tmp"
    assert len(os.fsencode(socket_path(directory.path).path)) <= PATH_MAX
    directory.close()
    assert not os.path.lexists(directory.path)


@pytest.mark.parametrize("name", ["absent", "file"])
@pytest.mark.fault(27)
def test_a_bad_tmpdir_is_named_and_never_replaced(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(MachineFault, match=f"TMPDIR, '{tmp_path}/{name}'"):
        PrivateDirectory({"TMPDIR": str(tmp_path / name)})


@pytest.mark.parametrize("group", ["no such group", str(2**32 - 1), str(2**64)])
def test_a_directory_for_an_unknown_group_is_not_left_behind(tmp_path: Path, group: str) -> None:
    with pytest.raises(HostFault, match="names no group"):
        PrivateDirectory({"TMPDIR": str(tmp_path)}, group=group)
    assert list(tmp_path.iterdir()) == []


FORKED = """
import os, sys
from goplugin.transport import PrivateDirectory
directory = PrivateDirectory(os.environ, parent=sys.argv[1])
child = os.fork()
if child == 0:
    directory.close()
    os._exit(0)
os.waitpid(child, 0)
assert os.path.isdir(directory.path)
directory.close()
"""


def test_a_forked_child_leaves_the_directory_to_its_parent(nothing_left: str) -> None:
    program = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", FORKED, nothing_left]
    assert subprocess.run(program, timeout=60).returncode == 0
    assert os.listdir(nothing_left) == []


@pytest.mark.fault(29)
def test_two_sockets_in_one_directory_have_different_names(tmp_path: Path) -> None:
    assert socket_path(str(tmp_path)) != socket_path(str(tmp_path))


def test_what_cannot_be_given_to_a_group_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "chown", refuse)
    with pytest.raises(HostFault, match=r"cannot give .* Operation not permitted"):
        share_with(str(tmp_path), "0")


def test_somebody_listens_only_once_a_server_does_and_as_long_as_it_does(tmp_path: Path) -> None:
    address = Unix(str(tmp_path / "s"))
    assert not somebody_listens(address)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(address.path)
        assert not somebody_listens(address)
        server.listen(0)
        assert somebody_listens(address)
        assert somebody_listens(address)  # although nobody has accepted the first, which fills the queue
    assert not somebody_listens(address)
