"""The test plugin as another user: it becomes TEST_UID once all is imported that it may not be able to read then."""

import importlib
import os

from other_users import become

LATER = (
    "brokering",
    "cryptography.hazmat.backends.openssl.backend",
    "cryptography.hazmat.primitives.asymmetric.ec",
    "encodings.idna",
    "goplugin.pluginlib._aio",
    "goplugin.pluginlib._health",
    "goplugin.pluginlib._reflection",
    "goplugin.pluginlib._sync",
    "goplugin.proto.health",
    "goplugin.proto.reflection",
    "goplugin.transport.tls",
    "goplugin.transport.wire",
    "json",
    "shutil",
)


program = importlib.import_module("plugin")  # that beside this one
for name in LATER:
    importlib.import_module(name)
become(int(os.environ["TEST_UID"]))
program.main()
