"""Certificates, TLS and the relay: what AutoMTLS and TLS providers need. Imported by whoever asks for TLS only.

The rest of `goplugin.transport` loads neither ssl nor cryptography.
"""

from ._certificates import Certificate as Certificate
from ._certificates import Identity as Identity
from ._certificates import host_certificate as host_certificate
from ._certificates import plugin_certificate as plugin_certificate
from ._inner import InnerServer as InnerServer
from ._inner import undumpable as undumpable
from ._listener import listening as listening
from ._relay import DialRelay as DialRelay
from ._relay import Refused as Refused
from ._relay import Relay as Relay
from ._relay import dial as dial
from ._relay import serve as serve
from ._tls import MutualTls as MutualTls
from ._tls import OwnTls as OwnTls
from ._tls import PeerRefused as PeerRefused
from ._tls import Refusal as Refusal
from ._tls import Tls as Tls
from ._tls import explained as explained
from ._tls_carrier import TlsCarrier as TlsCarrier
from ._tls_config import SERVER_NAME as SERVER_NAME

__all__ = [
    "SERVER_NAME",
    "Certificate",
    "DialRelay",
    "Identity",
    "InnerServer",
    "MutualTls",
    "OwnTls",
    "PeerRefused",
    "Refusal",
    "Refused",
    "Relay",
    "Tls",
    "TlsCarrier",
    "dial",
    "explained",
    "host_certificate",
    "listening",
    "plugin_certificate",
    "serve",
    "undumpable",
]
