"""Cuts bytes into lines, however they arrive. Pure; as Redpanda Connect's `lines` scanner cuts them."""

from ._components import Lines


class LineSplitter:
    """The lines of one stream.

    Attributes:
        too_long: the number, from 1, of the line that is longer than it may be; nothing after it is given. None as
            long as there is none.
    """

    def __init__(self, lines: Lines) -> None:
        self._delimiter = lines.delimiter or b"\n"
        self._drop_return = lines.delimiter is None
        self._max, self._omit_empty = lines.max_size, lines.omit_empty
        self._rest = bytearray()
        self._seen = 0
        self.too_long: int | None = None

    @property
    def pending(self) -> int:
        """The bytes of a line that has no end so far."""
        return len(self._rest)

    def feed(self, data: bytes) -> list[bytes]:
        """Return the lines that ``data`` completes."""
        if self.too_long is not None:
            return []
        # A delimiter may have begun in what came before.
        start = max(0, len(self._rest) - len(self._delimiter) + 1)
        self._rest += data
        if self._rest.find(self._delimiter, start) < 0:
            if len(self._rest) >= self._max:
                self.too_long = self._seen + 1
            return []
        lines = bytes(self._rest).split(self._delimiter)
        self._rest = bytearray(lines.pop())
        room = self._max - len(self._delimiter)
        if max(map(len, lines)) > room:
            bad = next(index for index, line in enumerate(lines) if len(line) > room)
            self.too_long = self._seen + bad + 1
            del lines[bad:]
        elif len(self._rest) >= self._max:
            self.too_long = self._seen + len(lines) + 1
        return self._finished(lines)

    def end(self) -> list[bytes]:
        """Return the last line if it had no end."""
        if not self._rest or self.too_long is not None:
            return []
        line = bytes(self._rest)
        self._rest.clear()
        return self._finished([line])

    def _finished(self, lines: list[bytes]) -> list[bytes]:
        self._seen += len(lines)
        if self._drop_return:
            lines = [line[:-1] if line[-1:] == b"\r" else line for line in lines]
        return [line for line in lines if line] if self._omit_empty else lines
