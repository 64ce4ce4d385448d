"""What a yamux session tells: events, and errors whose class says who must act. Decides nothing.

GoPluginError
├── SessionLost        the session is over
│   ├── PeerFault      the peer's author: it broke the protocol
│   ├── PeerSilent     whoever runs the peer: it hangs, or the connection does
│   └── PeerGone       the peer ended the session
└── CannotOpen         nobody, perhaps: no stream can be opened now
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple, TypeAlias

from ..handshake import GoPluginError


class GoAway(IntEnum):
    """Why a side takes no more streams. Anything but NORMAL ends the session at once."""

    NORMAL = 0
    PROTOCOL_ERROR = 1
    INTERNAL_ERROR = 2


class Frame(NamedTuple):
    """The header of a frame."""

    version: int
    kind: int
    flags: int
    id: int
    length: int


class SessionLost(GoPluginError):
    """The session is over for all of its streams; only the subclasses are used."""


class PeerFault(SessionLost):
    """The peer's author must act: the peer broke the protocol.

    Attributes:
        reason: what it did.
        frame: the header of the frame at fault.
    """

    def __init__(self, reason: str, frame: Frame) -> None:
        self.reason, self.frame = reason, frame
        super().__init__(f"the yamux peer {reason}: {frame}")


class PeerSilent(SessionLost):
    """Whoever runs the peer must act: it, or the connection to it, has been stuck for too long."""


class PeerGone(SessionLost):
    """The peer ended the session: it said so with an error code, or the connection closed with streams still open.

    Attributes:
        code: what its GoAway said (perhaps none of the known codes), or None where the connection just closed.
    """

    def __init__(self, code: int | None) -> None:
        self.code = code
        how = "closed the connection in the middle" if code is None else f"ended the session with code {code}"
        super().__init__(f"the yamux peer {how}")


class CannotOpen(GoPluginError):
    """No stream can be opened."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"no yamux stream can be opened: {reason}")


@dataclass(frozen=True, slots=True)
class StreamOpened:
    """The peer opened a stream: ``accept`` or ``reset`` it."""

    id: int


@dataclass(frozen=True, slots=True)
class StreamAcknowledged:
    """The peer accepted a stream that we opened."""

    id: int


@dataclass(frozen=True, slots=True)
class Data:
    """Bytes of a stream; never empty. Give them back with ``consumed`` when they have been passed on.

    ``data`` is a view of what ``receive`` was given: who reuses that buffer copies what it keeps.
    """

    id: int
    data: memoryview


@dataclass(frozen=True, slots=True)
class Writable:
    """A stream for which ``send`` did not take everything may try again."""

    id: int


@dataclass(frozen=True, slots=True)
class StreamFinished:
    """The peer sends no more on this stream; we still may."""

    id: int


@dataclass(frozen=True, slots=True)
class StreamReset:
    """The stream is gone, and whatever was on its way with it."""

    id: int


@dataclass(frozen=True, slots=True)
class Pong:
    """A ping, ours or that of the keepalive, was answered ``seconds`` after it was made."""

    number: int
    seconds: float


@dataclass(frozen=True, slots=True)
class GoingAway:
    """The peer takes no more streams from us; those that are open go on."""


@dataclass(frozen=True, slots=True)
class Ended:
    """The session is over and every stream gone: always the last event.

    ``error`` is None if the peer closed the connection when no stream was open.
    """

    error: SessionLost | None


Event: TypeAlias = (
    StreamOpened | StreamAcknowledged | Data | Writable | StreamFinished | StreamReset | Pong | GoingAway | Ended
)
