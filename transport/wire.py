"""The broker's message on the wire, ConnInfo, and what it says. Loads protobuf, so it is imported once it is needed."""

from ..handshake import parse_address
from ..proto.plugin import ConnInfo
from ._broker import Announcement

__all__ = ["announcement", "conn_info"]


def announcement(info: ConnInfo) -> Announcement | None:
    """Return what the other side announces; None for a knock, which belongs to multiplexing.

    Raises:
        HandshakeRefused: the address is none.
    """
    if info.HasField("knock"):
        return None
    return Announcement(id=info.service_id, address=parse_address(info.network, info.address))


def conn_info(announcement: Announcement) -> ConnInfo:
    """Return the message that carries an announcement (grpc_broker.go:356)."""
    address = announcement.address
    return ConnInfo(service_id=announcement.id, network=address.network, address=str(address))
