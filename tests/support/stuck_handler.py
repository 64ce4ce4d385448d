"""A logging handler that is stuck, as one is that writes into a full pipe."""

import logging
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager

from goplugin.transport._reactor import REACTOR

PATIENCE = 60.0  # seconds for what takes milliseconds


class Stuck(logging.Handler):
    """Takes a record and holds it until it is let go; ``told`` are those that went through."""

    def __init__(self) -> None:
        super().__init__()
        self.entered, self.let_go = threading.Event(), threading.Event()
        self.told: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.entered.set()
        self.let_go.wait(PATIENCE)
        self.told.append(record.getMessage())


@contextmanager
def stuck(name: str) -> Generator[Stuck]:
    """Give a logger such a handler; in the end all is told."""
    handler, logger = Stuck(), logging.getLogger(name)
    logger.addHandler(handler)
    try:
        yield handler
    finally:
        handler.let_go.set()
        logger.removeHandler(handler)


def held_up(name: str, log: Callable[[], object]) -> bool:
    """Return whether what logs to that logger on the relay's thread holds it up as long as a handler is stuck."""
    gone_on = threading.Event()
    with stuck(name) as handler:
        REACTOR.call(log)
        REACTOR.call(gone_on.set)
        assert handler.entered.wait(PATIENCE)
        return not gone_on.wait(PATIENCE / 2)
