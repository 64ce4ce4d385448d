"""What a plugin prints, as log records of a line each."""

import logging

from ..handshake import quoted

_LINE_MAX = 4096  # bytes of one line of a plugin's output that are logged in one piece


class LineLog:
    """Logs the lines of what a plugin prints, long ones in pieces and empty ones not at all."""

    def __init__(self, log: logging.Logger, level: int) -> None:
        self._logger, self._level = log, level
        self._rest = b""

    def __call__(self, data: bytes) -> None:
        """Take a piece of it."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) >= _LINE_MAX:
            lines.append(self._rest)
            self._rest = b""
        for line in lines:
            for start in range(0, len(line), _LINE_MAX):
                self._logger.log(self._level, "%s", quoted(line[start : start + _LINE_MAX], _LINE_MAX)[1:-1])
