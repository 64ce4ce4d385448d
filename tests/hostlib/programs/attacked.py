"""A host under attack, as another user: attacked.py UID DIRECTORY. Prints its pid, and ends with its stdin.

Its plugin is a shell that hands on the host's certificate and prints the line that it is given, in DIRECTORY: what
another user may not be able to read, Python cannot start as that user.
"""

import importlib
import os
import sys
from typing import Any

from other_users import become

from goplugin import hostlib
from goplugin.handshake import Handshake

LATER = (
    "cryptography.hazmat.backends.openssl.backend",
    "cryptography.hazmat.primitives.asymmetric.ec",
    "encodings.idna",
    "goplugin.transport.tls",
    "goplugin.transport.wire",
    "shutil",
)
PLUGIN = 'printf %s "$PLUGIN_CLIENT_CERT" > "$0/new"; mv "$0/new" "$0/certificate"; cat "$0/line"; exec sleep 60'


def echo(channel: Any) -> Any:
    return channel.unary_unary("/test.Echo/Echo")


for name in LATER:
    importlib.import_module(name)
uid, directory = sys.argv[1:]
become(int(uid))
handshake = Handshake(protocol_version=1, cookie_key="TEST_COOKIE", cookie_value="yes")
command, budget = ["/bin/sh", "-c", PLUGIN, directory], hostlib.StopBudget(shutdown=0.1)  # a shell takes no Shutdown
elsewhere = hostlib.UnixSockets(check="nothing")  # the server on the line is the test's own
with hostlib.Client(
    command, handshake, {"echo": echo}, auto_mtls=True, stop_budget=budget, unix_sockets=elsewhere
) as client:
    assert client.dispense("echo")(b"before") == b"before"
    print(os.getpid(), flush=True)
    sys.stdin.read()
    assert client.dispense("echo")(b"after") == b"after"
print("served on", flush=True)
