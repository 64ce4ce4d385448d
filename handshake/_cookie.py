"""The magic cookie: how a plugin knows that a host started it. No secret and no security measure, as in go-plugin."""

import enum
from collections.abc import Mapping

from ._errors import Misuse
from ._record import record

# Word for word what a Go plugin says (server.go:259), for people search for it and tools recognise it.
RUN_BY_HAND = (
    "This binary is a plugin. These are not meant to be executed directly.\n"
    "Please execute the program that consumes these plugins, which will\n"
    "load any plugins automatically\n"
)


class Cookie(enum.Enum):
    """Values of a cookie that are rules rather than texts."""

    ANY = "any"
    """Whatever is set, if it is not empty: for hosts that make up a value at each launch, such as crowdsec."""


@record()
class Handshake:
    """What a host and its plugins agree on beforehand; both sides need equal ones.

    Attributes:
        protocol_version: the application's protocol version, where the two sides do not offer several.
        cookie_key: the environment variable that carries the cookie.
        cookie_value: its value, or ``Cookie.ANY`` on the plugin's side.

    Raises:
        Misuse: a key or a value that go-plugin calls misconfigured (server.go:248), or that no environment can hold.
    """

    protocol_version: int = 1
    cookie_key: str
    cookie_value: str | Cookie

    def __post_init__(self) -> None:
        if self.protocol_version < 0:
            raise Misuse(f"protocol_version is not negative, this one is {self.protocol_version}")
        if not self.cookie_key or "=" in self.cookie_key or "\0" in self.cookie_key:
            raise Misuse(f"cookie_key must name an environment variable, this one is {self.cookie_key!r}")
        if isinstance(self.cookie_value, str) and (not self.cookie_value or "\0" in self.cookie_value):
            raise Misuse("cookie_value must not be empty, nor hold a NUL")

    def admits(self, environment: Mapping[str, str]) -> bool:
        """Return whether the environment carries the cookie, that is, whether a host started this process."""
        found = environment.get(self.cookie_key, "")
        return bool(found) if self.cookie_value is Cookie.ANY else found == self.cookie_value
