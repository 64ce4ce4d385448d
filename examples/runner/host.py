"""Runs the plugin of examples/kv as another user, in a network namespace of its own. Needs root, on Linux.

    sudo ../../.venv/bin/python host.py [USER]

The host keeps its privileges; the plugin has none, sees no network, and can be reached by its Unix socket alone.
"""

import os
import pwd
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from goplugin import hostlib
from goplugin.handshake import Handshake, MachineFault

sys.path.insert(0, str(Path(__file__).parent.parent / "kv"))
from kv_pb2 import GetRequest, PutRequest
from kv_pb2_grpc import KVStub


class Jail(hostlib.Subprocess):
    """Runs a command as another user, in a network namespace of its own."""

    def __init__(self, command: list[str], user: str) -> None:
        entry = pwd.getpwnam(user)
        self._user, self._group = entry.pw_uid, entry.pw_gid
        ids = [f"--reuid={self._user}", f"--regid={self._group}", "--clear-groups", "--no-new-privs"]
        super().__init__(["unshare", "--net", "--", "setpriv", *ids, "--", *command])

    def start(self, environment: Mapping[str, str], socket_dir: str) -> None:
        if os.geteuid() != 0:
            raise MachineFault("only root can start a plugin as another user in another network namespace")
        for program in ("unshare", "setpriv"):
            if shutil.which(program) is None:
                raise MachineFault(f"this machine has no {program!r}, which comes with util-linux")
        # The plugin makes its sockets there. The host may use them whoever owns them, for it is root.
        os.chown(socket_dir, self._user, self._group)
        super().start(environment, socket_dir)


def main() -> None:
    user = sys.argv[1] if len(sys.argv) > 1 else "nobody"
    jail = Jail([sys.executable, str(Path(__file__).parent.parent / "kv" / "plugin.py")], user)
    handshake = Handshake(cookie_key="KV_PLUGIN", cookie_value="hello")
    with hostlib.Client(runner=jail, handshake=handshake, plugins={"kv": KVStub}, inherit_env=["PATH"]) as client:
        kv = client.dispense("kv")
        kv.Put(PutRequest(key="greeting", value=b"hello from a jail"))
        print(kv.Get(GetRequest(key="greeting")).value.decode())
        status = dict(line.split(":\t", 1) for line in Path(f"/proc/{client.id}/status").read_text().splitlines())
        ours, its = (os.readlink(f"/proc/{pid}/ns/net") for pid in ("self", client.id))
        print(f"the plugin's user is {status['Uid'].split()[0]}, its network {'another' if its != ours else 'ours'}")


if __name__ == "__main__":
    main()
