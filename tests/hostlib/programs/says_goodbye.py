"""Says goodbye on stderr when it ends in order."""

import os

from bare_plugin import Plugin

Plugin().serve()
os.write(2, b"goodbye\n")
