"""What runs is what was checked: both shells, with attackers who are quick enough to come between check and start."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from shells import HANDSHAKE, LIMIT, PROGRAMS, SHELLS, Echo, Shell, clients

from goplugin import hostlib
from goplugin.handshake import ChecksumMismatch, MachineFault, Misuse, PluginLost, Reattach, StartTimeout, Unix
from goplugin.hostlib import SecureConfig, StopBudget, aio
from goplugin.hostlib._child import Child
from goplugin.hostlib._secure import Image

Make = Callable[..., Shell]
ENVIRONMENT = {"PATH": os.environ["PATH"]}
EVIL = f"#!{sys.executable}\nopen('{{}}', 'w')\n"


def sum_of(path: "str | Path", hash_: str = "sha256") -> bytes:
    return hashlib.new(hash_, Path(path).read_bytes()).digest()


@pytest.fixture(params=SHELLS)
def make(request: pytest.FixtureRequest) -> Iterator[Make]:
    with clients(request.param) as make:
        yield make


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """Make a plugin that is a script of its own."""
    path = tmp_path / "plugin"
    path.write_text(f"#!{sys.executable}\n" + (PROGRAMS / "tells.py").read_text())
    path.chmod(0o755)
    return path


@pytest.fixture
def before_start(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], None]:
    """Do something when everything is checked and nothing started yet."""

    def attack(deed: Callable[[], object]) -> None:
        def started_late(*arguments: Any) -> Any:
            deed()
            return Child(*arguments)

        monkeypatch.setattr("goplugin.hostlib._plugin.Child", started_late)

    return attack


def test_a_plugin_with_the_right_checksum_starts_as_often_as_one_likes(make: Make, script: Path) -> None:
    secure = SecureConfig(checksum=sum_of(script))
    for _ in range(2):
        shell = make([str(script), "an argument"], secure=secure)
        shell.start()
        *_, descriptors = json.loads(shell.call(shell.echo().echo))
        assert descriptors == 5, "its three streams, the directory that it lists, and itself"
        assert shell.stop().exit_code == 0


@pytest.mark.fault(33)
def test_a_plugin_with_another_checksum_is_not_run(make: Make, script: Path, tmp_path: Path) -> None:
    script.write_text(EVIL.format(tmp_path / "ran"))
    shell = make([str(script)], secure=SecureConfig(checksum=bytes(32)))
    with pytest.raises(ChecksumMismatch, match="should be 0000") as caught:
        shell.start()
    error = caught.value
    assert (error.path, error.got, error.want) == (str(script), sum_of(script), bytes(32))
    assert sum_of(script).hex() in str(error)
    assert shell.client.id is None
    assert not (tmp_path / "ran").exists()


@pytest.mark.fault(34)
@pytest.mark.parametrize("how", ["another file of its name", "other contents", "no contents"])
def test_whoever_changes_the_file_between_check_and_start_changes_nothing(
    make: Make, script: Path, tmp_path: Path, how: str, before_start: Callable[[Callable[[], object]], None]
) -> None:
    def attack() -> None:
        match how:
            case "another file of its name":
                (tmp_path / "evil").write_text(EVIL.format(tmp_path / "ran"))
                (tmp_path / "evil").chmod(0o755)
                os.rename(tmp_path / "evil", script)
            case "other contents":
                script.write_text(EVIL.format(tmp_path / "ran"))
            case _:
                os.truncate(script, 0)

    shell = make([str(script)], secure=SecureConfig(checksum=sum_of(script)))
    before_start(attack)
    shell.start()
    shell.ping()
    assert not (tmp_path / "ran").exists()


@pytest.mark.usefixtures("settled_late")
def test_the_attack_works_where_nothing_is_checked(
    make: Make, script: Path, tmp_path: Path, before_start: Callable[[Callable[[], object]], None]
) -> None:
    before_start(lambda: script.write_text(EVIL.format(tmp_path / "ran")))
    with pytest.raises(Exception, match="exited before"):
        make([str(script)]).start()
    assert (tmp_path / "ran").exists()


@pytest.mark.fault(35)
@pytest.mark.parametrize("client", [hostlib.Client, aio.Client])
def test_the_checksum_of_an_interpreter_is_not_taken_for_that_of_its_script(client: Any, script: Path) -> None:
    secure = SecureConfig(checksum=sum_of(sys.executable))
    for word in (sys.executable, "/usr/bin/env", "bash", "node22"):
        with pytest.raises(Misuse, match="says nothing of what it runs"):
            client([word, str(script)], HANDSHAKE, {"echo": Echo}, secure=secure)


@pytest.mark.fault(35)
def test_a_script_with_a_checksum_of_its_own_is_what_the_interpreter_runs(
    make: Make, script: Path, tmp_path: Path, before_start: Callable[[Callable[[], object]], None]
) -> None:
    files = {script.name: sum_of(script)}
    secure = SecureConfig(checksum=sum_of(sys.executable), files=files)
    shell = make([sys.executable, script.name], cwd=tmp_path, secure=secure)
    before_start(lambda: script.write_text(EVIL.format(tmp_path / "ran")))
    shell.start()
    shell.ping()
    assert not (tmp_path / "ran").exists()


@pytest.mark.fault(35)
def test_a_wrapper_runs_the_very_program_that_was_checked(make: Make, script: Path) -> None:
    nice = shutil.which("nice") or ""
    shell = make([nice, str(script)], secure=SecureConfig(checksum=sum_of(nice), files={str(script): sum_of(script)}))
    shell.start()
    shell.ping()


def test_a_file_among_the_words_must_be_spoken_of(make: Make, script: Path, tmp_path: Path) -> None:
    (tmp_path / "data").write_text("harmless")
    command, right = [str(script), "data"], sum_of(script)
    with pytest.raises(Misuse, match="'data', of which the SecureConfig says nothing"):
        make(command, cwd=tmp_path, secure=SecureConfig(checksum=right)).start()
    with pytest.raises(ChecksumMismatch):
        make(command, cwd=tmp_path, secure=SecureConfig(checksum=right, files={"data": bytes(32)})).start()
    make(command, cwd=tmp_path, secure=SecureConfig(checksum=right, files={"data": None})).start()


@pytest.mark.parametrize("hash_", ["sha512", hashlib.sha3_256, partial(hashlib.blake2b, digest_size=20)])
def test_any_hash_function_will_do(make: Make, script: Path, hash_: Any) -> None:
    made = hashlib.new(hash_) if isinstance(hash_, str) else hash_()
    made.update(script.read_bytes())
    make([str(script)], secure=SecureConfig(checksum=made.digest(), hash=hash_)).start()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"checksum": b""}, "must have 32 bytes, as 'sha256' makes them; this has 0"),
        ({"checksum": "00" * 32}, r"must be bytes: .* bytes\.fromhex"),
        ({"checksum": bytes(32), "hash": "sha1"}, "20 bytes"),
        ({"checksum": bytes(32), "hash": "no such hash"}, "no such hash function: 'no such hash'"),
        ({"checksum": bytes(32), "files": {"a": b"short"}}, "this has 5"),
    ],
)
def test_what_is_no_checksum_is_refused(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(Misuse, match=said):
        SecureConfig(**arguments)


def test_what_makes_no_sense_for_a_client_is_refused() -> None:
    secure = SecureConfig(checksum=bytes(32), files={"script": bytes(32)})
    with pytest.raises(Misuse, match="'script' is of no use"):
        hostlib.Client(["./p"], HANDSHAKE, {"echo": Echo}, secure=secure)
    record = Reattach(address=Unix("/p"), pid=1, version=1)
    with pytest.raises(Misuse, match="secure does not go with reattach"):
        hostlib.Client(reattach=record, plugins={"echo": Echo}, secure=SecureConfig(checksum=bytes(32)))


@pytest.mark.parametrize(
    ("name", "said"),
    [("absent", "No such file"), ("fifo", "is no file"), ("/dev/zero", "is no file"), ("/proc/self/mem", "error")],
)
def test_what_cannot_be_read_is_the_machines_fault(make: Make, tmp_path: Path, name: str, said: str) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(MachineFault, match=said):
        make([str(tmp_path / name)], secure=SecureConfig(checksum=bytes(32))).start()


def test_a_program_is_looked_for_on_the_plugins_path(make: Make, script: Path, tmp_path: Path) -> None:
    secure = SecureConfig(checksum=sum_of(script))
    shell = make(["plugin"], env={"PATH": f"{tmp_path}:{os.environ['PATH']}"}, secure=secure)
    shell.start()
    shell.ping()
    with pytest.raises(MachineFault, match="PATH has no program 'plugin'"):
        make(["plugin"], secure=secure).start()


def test_the_copy_cannot_be_changed_by_anybody(script: Path) -> None:
    image = Image(SecureConfig(checksum=sum_of(script)), [str(script)], None, ENVIRONMENT)
    try:
        (descriptor,) = image.descriptors
        for attempt in (
            lambda: os.write(descriptor, b"x"),
            lambda: os.ftruncate(descriptor, 0),
            lambda: os.ftruncate(descriptor, 10**6),
        ):
            with pytest.raises(PermissionError):
                attempt()
        assert os.pread(descriptor, 10**6, 0) == script.read_bytes()
    finally:
        image.close()


class Hanging:
    """A hash function that hangs at the first bytes, until it is let go on."""

    digest_size = 32

    def __init__(self) -> None:
        self.begun, self._held = threading.Event(), threading.Event()
        self.times, self._over = 0, False

    def update(self, data: bytes, /) -> None:
        self.times += 1
        self.begun.set()
        self._held.wait(LIMIT)
        self._over = True

    def digest(self) -> bytes:
        return bytes(32)

    def let_go(self) -> None:
        """Let it go on, when nobody waits for that."""
        assert self.begun.wait(LIMIT)
        assert not self._over
        self._held.set()


def test_a_check_that_hangs_is_no_longer_waited_for_than_a_start_may_take(make: Make, tmp_path: Path) -> None:
    path, hanging = tmp_path / "plugin", Hanging()
    path.write_bytes(bytes(4 * 1024 * 1024))
    secure = SecureConfig(checksum=bytes(32), hash=lambda: hanging)
    shell = make([str(path)], secure=secure, start_timeout=0.5, stop_budget=StopBudget(kill=0.1))
    with pytest.raises(StartTimeout, match=r"was not checked and started within 0\.5 s"):
        shell.start()
    hanging.let_go()
    for thread in threading.enumerate():
        if thread.name == "goplugin-start":
            thread.join(LIMIT)
    assert hanging.times == 1, "the rest of a file that may have no end is left alone"


def test_a_stop_does_not_wait_for_a_check_that_hangs(make: Make, script: Path) -> None:
    hanging = Hanging()
    secure = SecureConfig(checksum=bytes(32), hash=lambda: hanging)
    shell = make([str(script)], secure=secure, stop_budget=StopBudget(shutdown=LIMIT / 2, kill=0.1))
    with pytest.raises(PluginLost, match="was stopped while it was starting"):
        shell.start_and_stop(hanging.begun)
    hanging.let_go()


def test_an_older_kernel_makes_its_memory_without_the_newest_flag(
    script: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    create, seen = os.memfd_create, list[int]()

    def older(name: str, flags: int) -> int:
        seen.append(flags)
        if flags & 0x10:
            raise OSError(22, "Invalid argument")
        return create(name, flags)

    monkeypatch.setattr(os, "memfd_create", older)
    image = Image(SecureConfig(checksum=sum_of(script)), [str(script)], None, ENVIRONMENT)
    image.close()
    assert len(seen) == 2


def test_a_native_program_runs_from_its_copy() -> None:
    path = shutil.which("true") or ""
    image = Image(SecureConfig(checksum=sum_of(path)), ["true"], None, ENVIRONMENT)
    try:
        done = subprocess.run(image.argv, executable=image.executable, pass_fds=image.descriptors, timeout=60)
        assert done.returncode == 0
    finally:
        image.close()
