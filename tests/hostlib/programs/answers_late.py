"""A plugin that prints its line, and answers only once somebody else than grpcio has looked at its socket."""

import os
import socket

from bare_plugin import Plugin

GRPCIO = b"PRI * "  # how it greets


class Late(Plugin):
    def serve(self) -> None:
        path = os.path.join(os.environ["PLUGIN_UNIX_SOCKET_DIR"], "plugin")
        with socket.socket(socket.AF_UNIX) as early:
            early.bind(path)
            early.listen()
            os.write(1, f"1|1|unix|{path}|grpc|\n".encode())
            greeting = GRPCIO
            while greeting in (GRPCIO, b""):  # none from the host's look at who listens
                greeted, _ = early.accept()
                with greeted:
                    greeting = greeted.recv(len(GRPCIO), socket.MSG_WAITALL)
        os.unlink(path)
        self.listen()
        self.over.wait()
        self._server.stop(0.1).wait()


if __name__ == "__main__":
    Late().serve()
