"""What `make demo` runs: builds the Go plugin if Go is there, says which command it runs, and runs it."""

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

QUICKSTART = Path(__file__).resolve().parent
REPOSITORY = QUICKSTART.parent.parent
BUILT = REPOSITORY / "build" / "demo"
GO_BUILD_WITHIN = 600.0  # seconds; the first build fetches and compiles grpc-go


def build_go_plugin() -> bool:
    """Build the Go plugin; return False, having said why, where that cannot be."""
    go = shutil.which("go")
    if go is None:
        print("Go is not on PATH, so the demo runs the Python plugin alone.", flush=True)
        return False
    command = [go, "build", "-o", str(BUILT / "upper"), "./cmd/batchprocessor"]
    print("building the Go plugin ...", flush=True)
    try:
        done = subprocess.run(
            command, cwd=REPOSITORY / "interop_tests" / "go", timeout=GO_BUILD_WITHIN, capture_output=True, text=True
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        print(f"The Go plugin does not build ({error}), so the demo runs the Python plugin alone.", flush=True)
        return False
    if done.returncode:
        print(f"The Go plugin does not build, so the demo runs the Python plugin alone.\n{done.stderr}", flush=True)
    return done.returncode == 0


def main() -> int:
    """Run the demo; return its exit code."""
    os.chdir(REPOSITORY)
    BUILT.mkdir(parents=True, exist_ok=True)
    (BUILT / "shouted.txt").unlink(missing_ok=True)  # the file output appends
    pipeline = "pipeline-go.yaml" if build_go_plugin() else "pipeline.yaml"
    goplugin = os.path.relpath(Path(sys.executable).parent / "goplugin")
    command = [goplugin, "run", str((QUICKSTART / pipeline).relative_to(REPOSITORY))]
    stdlib = sysconfig.get_path("stdlib")
    print(f"STDLIB={shlex.quote(stdlib)} {shlex.join(command)}", flush=True)
    code = subprocess.run(command, env={**os.environ, "STDLIB": stdlib}).returncode
    if code == 0:
        print(f"The lines are in {(BUILT / 'shouted.txt').relative_to(REPOSITORY)}.")
    return code


if __name__ == "__main__":
    sys.exit(main())
