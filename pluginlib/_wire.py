"""The messages of go-plugin's own services, between the shells and the rest. Imported once the line is out."""

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf.message import Message

from ..handshake import HandshakeRefused
from ..proto import plugin
from ..proto.rpc import Method
from ..transport import Broker
from ..transport.wire import conn_info as conn_info
from ..transport.wire import parse_conn_info
from ._residents import Handler
from ._spool import Channel, Chunk

if TYPE_CHECKING:
    from ..transport.aio import Broker as AioBroker

_CHANNELS = {Channel.STDOUT: plugin.StdioData.STDOUT, Channel.STDERR: plugin.StdioData.STDERR}

_log = logging.getLogger("goplugin.pluginlib")


def entry(method: Method[Message, Message], behaviour: Callable[..., Any]) -> tuple[str, Handler]:
    """Return the name of a method and the handler that lets ``behaviour`` answer it."""
    make = {
        (False, False): grpc.unary_unary_rpc_method_handler,
        (False, True): grpc.unary_stream_rpc_method_handler,
        (True, False): grpc.stream_unary_rpc_method_handler,
        (True, True): grpc.stream_stream_rpc_method_handler,
    }[method.client_streaming, method.server_streaming]
    return method.name, make(behaviour, method.request_from, method.response_bytes)


def stdio_data(chunk: Chunk) -> plugin.StdioData:
    """Return the message that carries a chunk."""
    channel, data = chunk
    return plugin.StdioData(channel=_CHANNELS[channel], data=data)


def tell(broker: "Broker | AioBroker", info: plugin.ConnInfo) -> None:
    """Tell the broker what the host told; what makes no sense is logged, for the stream must go on."""
    try:
        message = parse_conn_info(info)
    except HandshakeRefused as refusal:
        _log.warning("ignored what the host told the broker: %s", refusal, extra={"id": info.service_id})
    else:
        broker.told(message)
