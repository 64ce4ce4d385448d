"""The broker's message on the wire, ConnInfo, and what it says. Loads protobuf, so it is imported once it is needed."""

from ..handshake import HandshakeRefused, parse_address
from ..proto.plugin import ConnInfo
from ._broker import Announcement, Knock, Message

__all__ = ["conn_info", "parse_conn_info"]


def parse_conn_info(info: ConnInfo) -> Message:
    """Return what the other side tells (grpc_broker.go:589).

    Raises:
        HandshakeRefused: it announces an address that is none, or knocks and does not.
    """
    if not info.HasField("knock"):
        return Announcement(id=info.service_id, address=parse_address(info.network, info.address))
    if not info.knock.knock:
        raise HandshakeRefused(field="knock", got="false", want="true, or no knock at all")
    return Knock(id=info.service_id, ack=info.knock.ack, error=info.knock.error)


def conn_info(message: Message) -> ConnInfo:
    """Return the message on the wire (grpc_broker.go:356 and :434)."""
    if isinstance(message, Knock):
        return ConnInfo(service_id=message.id, knock=ConnInfo.Knock(knock=True, ack=message.ack, error=message.error))
    address = message.address
    return ConnInfo(service_id=message.id, network=address.network, address=str(address))
