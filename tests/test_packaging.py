"""The wheel holds every room, and lives beside the projects whose names the rooms share."""

import re
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PROGRAM = """
import proto, pluginlib
import goplugin.handshake, goplugin.proto, goplugin.transport, goplugin.hostlib, goplugin.pluginlib, goplugin.batch
class Point(proto.Message):
    x = proto.Field(proto.INT32, number=1)
assert Point(x=3).x == 3
loader = pluginlib.PluginLoader(modules=[])
assert hasattr(loader, "plugins")
for module in (proto, pluginlib):
    assert "goplugin" not in module.__file__, module.__file__
from goplugin import handshake
assert handshake.Line.parse(b"1|1|unix|/tmp/x|grpc|").version == 1
print("all three work")
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    source = tmp_path_factory.mktemp("source")
    # A copy of what git has or would have, for setuptools leaves its build folder in the source.
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, capture_output=True, check=True, timeout=60
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (ROOT / name).is_file() and not (ROOT / name).is_symlink():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    command: list[str | Path] = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, source]
    subprocess.run(command, check=True, capture_output=True, timeout=110)
    (built,) = out.glob("*.whl")
    return built


def test_the_wheel_holds_every_module_under_one_namespace(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"goplugin"}
    for room in ("handshake", "proto", "transport", "hostlib", "pluginlib", "batch", "cli"):
        assert f"goplugin/{room}/py.typed" in names
        for module in (ROOT / room).rglob("*.py"):
            assert f"goplugin/{module.relative_to(ROOT)}" in names
    assert any(name.endswith("_pb2.pyi") for name in names)
    assert any(name.endswith("LICENSE") for name in names)


@pytest.mark.timeout(300)
def test_it_works_beside_proto_plus_and_pluginlib_and_leaves_them_whole(wheel: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "env", with_pip=True)
    python = tmp_path / "env" / "bin" / "python"
    pip: list[str | Path] = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "proto-plus", "pluginlib", "setuptools<81"], check=True, timeout=120)
    subprocess.run([*pip, wheel], check=True, timeout=120)
    done = subprocess.run([python, "-c", PROGRAM], capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert (done.stdout, done.returncode) == ("all three work\n", 0), done.stderr
    command: list[str | Path] = [
        python,
        "-m",
        "pip",
        "uninstall",
        "--yes",
        "--quiet",
        "--disable-pip-version-check",
        "goplugin",
    ]
    subprocess.run(command, check=True, timeout=60)
    after = "import proto, pluginlib; proto.Message, pluginlib.PluginLoader"
    subprocess.run([python, "-c", after], check=True, timeout=60, cwd=tmp_path)


def test_the_least_protobuf_allowed_can_run_the_generated_code() -> None:
    setup = (ROOT / "setup.cfg").read_text()
    least = re.search(r"^    protobuf>=([\d.]+)$", setup, re.MULTILINE)
    assert least
    for generated in (ROOT / "proto" / "_generated").glob("*_pb2.py"):
        needed = re.search(r"^# Protobuf Python Version: ([\d.]+)$", generated.read_text(), re.MULTILINE)
        assert needed
        assert [int(n) for n in least[1].split(".")] >= [int(n) for n in needed[1].split(".")]
