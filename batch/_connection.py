"""Keeps a plugin connected: before its first use, after it was started anew, and whenever it says that it is not."""

import random
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from ..handshake import PluginFault, PluginLost, quoted
from ..proto import redpanda
from ._errors import TEXT_MAX, BadStatus
from ._failures import read_error
from ._patience import Patience
from ._session import DAY, Running, Session, clock

_Stub = TypeVar("_Stub")


class Ended(Exception):
    """The plugin said that nothing will ever come again."""


class Unwanted(Exception):
    """Nobody wants the connection any more."""


class Connection(Generic[_Stub]):
    """The connection that a plugin has to whatever is behind it. Safe for several threads.

    Args:
        session: of the plugin.
        connect: sends Connect, and returns the error that the answer has.
        pause: waits for so many seconds, or until nobody wants the connection any more.
    """

    def __init__(
        self,
        session: Session[_Stub],
        connect: Callable[[_Stub], redpanda.Error],
        pause: Callable[[float], object],
    ) -> None:
        self._session, self._connect, self._pause = session, connect, pause
        self._lock = threading.Lock()
        self._made = 0  # the generation that is connected

    def made(self, wanted: Callable[[], bool] = lambda: True) -> Running[_Stub]:
        """Return the process once it is connected.

        Raises:
            Unwanted: that is not ``wanted`` any more.
            Ended: it will never give anything.
            PluginLost: it was lost, and may not be started anew.
            PluginFault: it could not connect for as long as it may try, or does not answer.
        """
        with self._lock:
            patience = Patience(self._session.limits.connect_timeout)
            while wanted():
                running = self._session.running()
                if self._made == running.generation:
                    return running
                try:
                    error = self._session.ask("Connect", running, self._connect)
                except PluginLost as loss:
                    self._session.renew(running, loss)
                    continue
                except BadStatus as status:
                    error = redpanda.Error(message=status.words)
                if not read_error(error):
                    self._made = running.generation
                else:
                    self.wait(patience, "Connect", error)
            raise Unwanted

    def lost(self, running: Running[_Stub]) -> None:
        """The process says that it is not connected; a word about one that was connected anew since counts no more."""
        with self._lock:
            if self._made == running.generation:
                self._made = 0

    def wait(self, patience: Patience, method: str, error: redpanda.Error) -> None:
        """Wait before the next attempt at what ended with ``error``.

        Raises:
            Ended: there is no use in that.
            PluginFault: it was tried for as long as it may be.
        """
        detail, text = error.WhichOneof("detail"), quoted(read_error(error), TEXT_MAX)
        if detail == "end_of_input":
            raise Ended
        # Any length may come over the wire; whoever is left alone for a day can ask for another.
        asked = min(max(0.0, error.backoff.ToNanoseconds() / 1e9), DAY) if detail == "backoff" else None
        delay = patience.failed(clock(), random.random(), asked)  # noqa: S311 - no secret
        if delay is None:
            limit = self._session.limits.connect_timeout
            raise PluginFault(f"the plugin failed at {method} again and again for {limit:g} s, at last with {text}")
        self._session.log.warning("%s failed: %s; trying again in %.1f s", method, text, delay)
        self._pause(delay)
