"""Serves an input, a processor or an output to the host that started this process, whichever of two kinds it is.

A go-plugin host sets the cookie, Redpanda Connect an address, and a person neither: so `serve` tells them apart.
"""

import os
import sys
from typing import TYPE_CHECKING

from .. import pluginlib
from ..handshake import RUN_BY_HAND, Handshake
from ._component import Component, component_of

if TYPE_CHECKING:
    import grpc

    from ._service import Service

HANDSHAKE = Handshake(protocol_version=1, cookie_key="GOPLUGIN_BATCH", cookie_value="v1")
"""What hosts of batch plugins and their plugins agree on."""

INPUT, PROCESSOR, OUTPUT = "input", "processor", "output"
"""The names under which the three kinds are dispensed."""

_MORE = 8  # threads beside those that read, process or write: for Init, Connect, Ack and Close in between
_UNTOLD = 1024  # threads of an output whose max_in_flight may come with its configuration; started as they are needed


def serve(plugin: object) -> None:
    """Serve a decorated function or class to the host that started this process, until it is told to stop.

    The host is a go-plugin host, or Redpanda Connect, which starts the same plugin from the same ``plugin.yaml``.

    Raises:
        SystemExit: with 1 and a message on stderr, where no host started this process, or the host or the machine
            makes serving impossible.
        Misuse: ``plugin`` was not decorated, or cannot take its configuration.
    """
    component = component_of(plugin)
    component.check()
    in_flight = max(component.max_in_flight, _UNTOLD) if component.may_ask else component.max_in_flight
    workers = in_flight + _MORE
    # The cookie counts first: a host of ours may run inside a plugin of Redpanda Connect, whose variables it inherits.
    if HANDSHAKE.admits(os.environ):
        _serve_go_plugin(component, workers)
        return
    from . import _redpanda  # a go-plugin host waits for none of it

    if _redpanda.ADDRESS in os.environ:
        _redpanda.serve(component, workers)
    else:
        sys.stderr.write(f"{RUN_BY_HAND}\n{_explained(component)}")
        raise SystemExit(1)


def _serve_go_plugin(component: Component, workers: int) -> None:
    services: list[Service] = []

    def register(server: "grpc.Server", _broker: pluginlib.Broker) -> None:
        from ._memory import suit
        from ._services import added

        suit()
        services.append(added(component, server))

    pluginlib.serve(HANDSHAKE, plugins={component.kind: register}, workers=workers)
    for service in services:
        service.leave()  # for a host that went without Close


def _explained(component: Component) -> str:
    summary = (component.target.__doc__ or "").strip().partition("\n")[0]
    return (
        f"It is the {component.kind} {component.name!r}{': ' + summary if summary else ''}\n"
        "Programs that run it: goplugin run PIPELINE, Redpanda Connect (--rpc-plugins plugin.yaml),\n"
        "and any go-plugin host of batch services.\n"
    )
