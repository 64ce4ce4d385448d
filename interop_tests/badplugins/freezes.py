"""Is stopped by SIGSTOP in the middle of a call, as one in a debugger is."""

import os
import signal
import time

from bare_plugin import Plugin


def freeze(request: bytes, context: object) -> None:
    os.kill(os.getpid(), signal.SIGSTOP)
    time.sleep(60)


plugin = Plugin()
plugin.unary["/interop.v1.Probe/Echo"] = freeze
plugin.serve()
