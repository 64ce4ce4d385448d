"""What host and plugin do the same way: sockets, grpcio's options, worker threads, the broker's book-keeping.

Knows nothing of processes. Importing it imports no grpc.
"""

from ._broker import Announcement as Announcement
from ._broker import Broker as Broker
from ._listener import Listener as Listener
from ._listener import Network as Network
from ._listener import default_network as default_network
from ._listener import listen as listen
from ._options import CHANNEL_OPTIONS as CHANNEL_OPTIONS
from ._options import MESSAGE_MAX as MESSAGE_MAX
from ._options import SERVER_OPTIONS as SERVER_OPTIONS
from ._sockets import PATH_MAX as PATH_MAX
from ._sockets import PrivateDirectory as PrivateDirectory
from ._sockets import share_with as share_with
from ._sockets import socket_path as socket_path
from ._target import target as target
from ._workers import Workers as Workers

__all__ = [
    "CHANNEL_OPTIONS",
    "MESSAGE_MAX",
    "PATH_MAX",
    "SERVER_OPTIONS",
    "Announcement",
    "Broker",
    "Listener",
    "Network",
    "PrivateDirectory",
    "Workers",
    "default_network",
    "listen",
    "share_with",
    "socket_path",
    "target",
]
