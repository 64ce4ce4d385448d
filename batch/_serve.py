"""Serves a processor to the host that started this process."""

from typing import TYPE_CHECKING

from .. import pluginlib
from ..handshake import Handshake
from ._processor import Processor, Stepper
from ._processor import processor as as_processor

if TYPE_CHECKING:
    import grpc

    from ._service import ProcessorService

HANDSHAKE = Handshake(protocol_version=1, cookie_key="GOPLUGIN_BATCH", cookie_value="v1")
"""What hosts of batch plugins and their plugins agree on."""

PROCESSOR = "processor"
"""The name under which a processor is dispensed."""


def serve(processor: Processor[..., object] | type[Stepper]) -> None:
    """Serve ``processor`` to the go-plugin host that started this process, until it is told to stop.

    A class that was decorated is a `Processor` too, although mypy takes it for the class that it was.

    Raises:
        SystemExit: with 1 and a message on stderr, where no host started this process.
        Misuse: ``processor`` is none.
    """
    served = processor if isinstance(processor, Processor) else as_processor(processor)
    service: ProcessorService | None = None

    def register(server: "grpc.Server", _broker: pluginlib.Broker) -> None:
        # Here a host has started us, so what takes time to import is worth it.
        from ._service import ProcessorService, add_to_server

        nonlocal service
        service = ProcessorService(served)
        add_to_server(service, server)

    pluginlib.serve(HANDSHAKE, plugins={PROCESSOR: register})
    if service is not None:
        service.close()  # for a host that went without Close
