"""A host that starts a plugin, says so, and waits to be killed.

Its arguments are the plugin's command. The descriptor in LIVENESS is passed on: it closes with the plugin. With
BROKER it opens the broker stream, as every host of go-plugin does.
"""

import os
import subprocess
import sys
import threading

import grpc
import plugin_process


def main() -> None:
    descriptor = int(os.environ["LIVENESS"])
    process = subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE, pass_fds=[descriptor])
    os.close(descriptor)
    assert process.stdout is not None
    line = process.stdout.readline().decode()
    channel = grpc.insecure_channel("unix:" + line.split("|")[3])
    stream = plugin_process.open_broker(channel) if "BROKER" in os.environ else None
    if stream is not None:
        next(stream)  # what the plugin announces: it knows of the stream
    plugin_process.do(channel, "pids")
    print("ready", flush=True)
    threading.Event().wait()
    del stream


if __name__ == "__main__":
    main()
