"""How long to wait before something is tried again, and when to give up. Pure: time and chance are arguments."""

FIRST = 0.1  # seconds; doubled with each failure in a row
LONGEST = 5.0  # seconds, for all but a wait that the plugin itself asks for


class Patience:
    """The attempts at one thing. Only failures in a row count: the clock starts with the first of them.

    Args:
        limit: seconds of failing after which to give up.
    """

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._since: float | None = None
        self._next = FIRST

    def failed(self, now: float, chance: float, asked: float | None = None) -> float | None:
        """Return the seconds to wait before the next attempt, or None to give up.

        Args:
            chance: from 0 to 1; spreads the attempts of many that fail at once.
            asked: how long the other side wants to be left alone, which is no part of the limit.
        """
        self._since = now if self._since is None else self._since
        if asked is not None:
            self._since += asked
            return asked if now + asked <= self._since + self._limit else None
        wait = self._next * (0.5 + chance / 2)
        self._next = min(2 * self._next, LONGEST)
        return wait if now + wait <= self._since + self._limit else None

    def succeeded(self) -> None:
        """Begin anew."""
        self._since, self._next = None, FIRST
