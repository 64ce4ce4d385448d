"""What host and plugin do the same way: sockets, grpcio's options, worker threads, the broker.

Knows nothing of processes. Importing it imports no grpc.
"""

from ._broker import Announcement as Announcement
from ._broker import Knock as Knock
from ._broker import Side as Side
from ._broker import Stream as Stream
from ._carrier import Carrier as Carrier
from ._carrier import Multiplexing as Multiplexing
from ._carrier import PlainCarrier as PlainCarrier
from ._carrier import Route as Route
from ._listener import Listener as Listener
from ._listener import Network as Network
from ._listener import binding as binding
from ._listener import default_network as default_network
from ._listener import listen as listen
from ._listener import network_of as network_of
from ._options import CHANNEL_OPTIONS as CHANNEL_OPTIONS
from ._options import MESSAGE_MAX as MESSAGE_MAX
from ._options import SERVER_OPTIONS as SERVER_OPTIONS
from ._options import server_arguments as server_arguments
from ._scribe import SCRIBE as SCRIBE
from ._sockets import PATH_MAX as PATH_MAX
from ._sockets import PrivateDirectory as PrivateDirectory
from ._sockets import share_with as share_with
from ._sockets import socket_path as socket_path
from ._sockets import somebody_listens as somebody_listens
from ._sync_broker import Broker as Broker
from ._sync_broker import BrokeredServer as BrokeredServer
from ._target import target as target
from ._tls_config import TlsConfig as TlsConfig
from ._workers import Workers as Workers

__all__ = [
    "CHANNEL_OPTIONS",
    "MESSAGE_MAX",
    "PATH_MAX",
    "SCRIBE",
    "SERVER_OPTIONS",
    "Announcement",
    "Broker",
    "BrokeredServer",
    "Carrier",
    "Knock",
    "Listener",
    "Multiplexing",
    "Network",
    "PlainCarrier",
    "PrivateDirectory",
    "Route",
    "Side",
    "Stream",
    "TlsConfig",
    "Workers",
    "binding",
    "default_network",
    "listen",
    "network_of",
    "server_arguments",
    "share_with",
    "socket_path",
    "somebody_listens",
    "target",
]
