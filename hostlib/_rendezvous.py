"""Decides when a plugin has started that may do so in either of two ways. No I/O of its own, no clock, no signals.

It prints a handshake line, or it listens at the address that the host put into a variable, whichever comes first. The
second is how Redpanda Connect starts its plugins: those print what they like on stdout, before they listen, too.
"""

from collections.abc import Callable

from ..handshake import LINE_MAX, HandshakeRefused, Line, PluginLost, StartTimeout, Unix
from ._launch import SETTLE, Launch, Terms

POLL = 0.01  # seconds between two looks at the address: nobody tells when a socket starts to listen
HEARD_MAX = 1024 * 1024  # bytes of output kept from before the start is complete; what a flood has beyond is dropped


class Rendezvous(Launch):
    """The start of one plugin, up to its line or up to the moment when it listens at ``address``."""

    def __init__(self, now: float, terms: Terms, *, address: Unix, version: int, listens: Callable[[], bool]) -> None:
        """``listens`` tells whether somebody listens at ``address``, where the protocol is of ``version``."""
        super().__init__(now, terms)
        self._limit = self.deadline
        self._there = Line(version=version, address=address)
        self._listens = listens
        self._came, self._looked_at = False, 0

    def stdout(self, data: bytes) -> None:
        """The plugin wrote ``data``; empty when it closed its stdout."""
        super().stdout(data)
        del self._heard[HEARD_MAX:]

    def _judge(self, now: float) -> Line | None:
        if self._line_came():
            return super()._judge(now)
        if self._listens():
            self.rest = bytes(self._heard)
            return self._there
        without = f"a handshake line, and without listening at {self._there.address}"
        if self._exited:
            if not self._settling:
                self._settling, self._limit = True, min(self._limit, now + SETTLE)
            if self._stdout_ended or now >= self._limit:
                self._condemn(now, self._loss(PluginLost, f"exited without {without}"))
                return None
        elif now >= self._limit:
            self._condemn(now, self._loss(StartTimeout, f"ran for {self._terms.timeout:g} s without {without}"))
            return None
        self.deadline = min(self._limit, now + POLL)
        return None

    def _line_came(self) -> bool:
        """Return whether a handshake line was printed, be it behind others, for which it will be refused."""
        if not self._came:
            end = self._heard.rfind(b"\n") + 1
            self._came = any(map(_is_handshake, self._heard[self._looked_at : end].split(b"\n")))
            self._looked_at = end
        return self._came


def _is_handshake(line: bytearray) -> bool:
    first, _, rest = line.partition(b"|")
    if not first.isdigit() or len(line) > LINE_MAX:
        return False
    try:
        Line.parse(bytes(line))
    except HandshakeRefused:
        return rest.count(b"|") >= 2
    return True
