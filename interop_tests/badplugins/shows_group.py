"""Says whose process group it is in."""

import os

from bare_plugin import Plugin

whose = "its parent's" if os.getpgrp() == os.getpgid(os.getppid()) else "its own"
os.write(2, f"its group is {whose}\n".encode())
Plugin().serve()
