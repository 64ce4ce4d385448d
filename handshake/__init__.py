"""The contract between a host and a plugin, as pure functions: the line, the environment, the cookie, the versions.

Standard library only: no I/O, no clock, no look at the process it runs in. Importing it costs milliseconds.
"""

from ._address import UNIX_PATH_MAX as UNIX_PATH_MAX
from ._address import Address as Address
from ._address import Tcp as Tcp
from ._address import Unix as Unix
from ._address import parse_address as parse_address
from ._cookie import RUN_BY_HAND as RUN_BY_HAND
from ._cookie import Cookie as Cookie
from ._cookie import Handshake as Handshake
from ._environment import VARIABLES as VARIABLES
from ._environment import PluginEnvironment as PluginEnvironment
from ._environment import without_plugin_variables as without_plugin_variables
from ._errors import ChecksumMismatch as ChecksumMismatch
from ._errors import DialTimeout as DialTimeout
from ._errors import GoPluginError as GoPluginError
from ._errors import HandshakeRefused as HandshakeRefused
from ._errors import HostDialTimeout as HostDialTimeout
from ._errors import HostFault as HostFault
from ._errors import MachineFault as MachineFault
from ._errors import Misuse as Misuse
from ._errors import MultiplexingNotSupported as MultiplexingNotSupported
from ._errors import PluginDialTimeout as PluginDialTimeout
from ._errors import PluginFault as PluginFault
from ._errors import PluginLost as PluginLost
from ._errors import ProcessNotFound as ProcessNotFound
from ._errors import StartTimeout as StartTimeout
from ._errors import TlsRefused as TlsRefused
from ._go import go_bool as go_bool
from ._go import go_int as go_int
from ._line import CORE_PROTOCOL as CORE_PROTOCOL
from ._line import LINE_MAX as LINE_MAX
from ._line import Line as Line
from ._negotiation import negotiate as negotiate
from ._negotiation import parse_versions as parse_versions
from ._reattach import Reattach as Reattach
from ._reattach import providers_from_json as providers_from_json
from ._reattach import providers_to_json as providers_to_json
from ._text import quoted as quoted

__all__ = [
    "CORE_PROTOCOL",
    "LINE_MAX",
    "RUN_BY_HAND",
    "UNIX_PATH_MAX",
    "VARIABLES",
    "Address",
    "ChecksumMismatch",
    "Cookie",
    "DialTimeout",
    "GoPluginError",
    "Handshake",
    "HandshakeRefused",
    "HostDialTimeout",
    "HostFault",
    "Line",
    "MachineFault",
    "Misuse",
    "MultiplexingNotSupported",
    "PluginEnvironment",
    "PluginDialTimeout",
    "PluginFault",
    "PluginLost",
    "ProcessNotFound",
    "Reattach",
    "StartTimeout",
    "TlsRefused",
    "Tcp",
    "Unix",
    "go_bool",
    "go_int",
    "negotiate",
    "parse_address",
    "parse_versions",
    "providers_from_json",
    "providers_to_json",
    "quoted",
    "without_plugin_variables",
]
