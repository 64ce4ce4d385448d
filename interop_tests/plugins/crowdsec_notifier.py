"""A notification plugin for crowdsec that writes what it is told into a file. Wants PYTHONPATH to name support/."""

import os
from typing import Any

import grpc
import yaml
from notifier_pb2 import Config, Empty, Notification
from notifier_pb2_grpc import NotifierServicer, add_NotifierServicer_to_server

from goplugin import pluginlib
from goplugin.handshake import Cookie, Handshake


class Notifier(NotifierServicer):
    def _write(self, text: str) -> None:
        with open(os.environ["NOTIFIER_LOG"], "a") as log:
            log.write(text + "\n")

    def Configure(self, request: Config, context: Any) -> Empty:
        self._write(f"configure {yaml.safe_load(request.config)['name']}")
        return Empty()

    def Notify(self, request: Notification, context: Any) -> Empty:
        self._write(f"notify {request.name} {request.text}")
        return Empty()


def register(server: grpc.Server, broker: pluginlib.Broker) -> None:
    add_NotifierServicer_to_server(Notifier(), server)


if __name__ == "__main__":
    # crowdsec makes up the cookie's value at each launch, and offers no list of versions.
    cookie = Handshake(cookie_key="CROWDSEC_PLUGIN_KEY", cookie_value=Cookie.ANY)
    pluginlib.serve(cookie, plugins={"dummy": register})
