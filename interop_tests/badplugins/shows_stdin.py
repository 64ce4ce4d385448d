"""Says what its stdin is."""

import os

from bare_plugin import Plugin

os.write(2, f"stdin is {os.readlink('/proc/self/fd/0')}\n".encode())
Plugin().serve()
