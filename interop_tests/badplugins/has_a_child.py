"""Has a child that holds all its pipes and ignores SIGTERM; tells its number on stderr."""

import subprocess
import sys

from bare_plugin import Plugin

child = subprocess.Popen(["sh", "-c", "trap '' TERM; while :; do sleep 60; done"])
print("child", child.pid, file=sys.stderr, flush=True)
Plugin().serve()
