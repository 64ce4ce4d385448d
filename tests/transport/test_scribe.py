"""Who tells what is logged, in which order, and what becomes of it where a handler does not get on."""

import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from leftovers import nothing_left as nothing_left
from leftovers import warm_grpc as warm_grpc
from stuck_handler import Stuck

from goplugin.transport._scribe import DROPPED, WAITING_MAX, Scribe

PATIENCE = 10.0


class Books:
    """A scribe, and a logger of one's own."""

    def __init__(self) -> None:
        self.scribe, self.handler = Scribe(), Stuck()
        self.logger = logging.Logger("test.scribe")
        self.logger.addHandler(self.handler)

    def hurried(self, job: Callable[[], object]) -> None:
        """Do something on a thread that may not wait."""

        def run() -> None:
            self.scribe.hurry()
            job()

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        thread.join(PATIENCE)
        assert not thread.is_alive()

    def log(self, *messages: object) -> None:
        """Log from such a thread."""

        def log() -> None:
            for message in messages:
                self.scribe.log(self.logger, logging.INFO, "%s", message)

        self.hurried(log)


@pytest.fixture
def books() -> Iterator[Books]:
    made = Books()
    yield made
    made.handler.let_go.set()
    assert made.scribe.finish(PATIENCE)


def test_a_hurried_thread_waits_for_no_handler_and_all_is_told_in_order(books: Books) -> None:
    books.log(*range(100))
    assert books.handler.told == []
    assert not books.scribe.finish(0.01)
    books.handler.let_go.set()
    assert books.scribe.finish(PATIENCE)
    assert books.handler.told == [str(number) for number in range(100)]


def test_any_other_thread_tells_it_itself(books: Books) -> None:
    books.handler.let_go.set()
    books.scribe.log(books.logger, logging.INFO, "%s", "at once")
    assert books.handler.told == ["at once"]


def test_there_is_a_thread_as_long_as_there_is_something_to_tell(books: Books) -> None:
    def threads() -> list[str]:
        return [thread.name for thread in threading.enumerate() if thread.name == "goplugin-log"]

    assert threads() == []
    books.hurried(lambda: books.scribe.log(books.logger, logging.NOTSET, "nobody wants to know"))
    assert threads() == []
    books.log("one")
    assert threads() == ["goplugin-log"]
    [telling] = [thread for thread in threading.enumerate() if thread.name == "goplugin-log"]
    assert telling.daemon
    books.handler.let_go.set()
    telling.join(PATIENCE)
    assert threads() == []
    books.log("two")
    assert books.scribe.finish(PATIENCE)
    assert books.handler.told == ["one", "two"]


def test_what_there_is_no_room_for_is_counted_and_told_with_the_next(books: Books) -> None:
    books.log("first")
    assert books.handler.entered.wait(PATIENCE)
    books.log(*range(WAITING_MAX + 7))
    books.handler.let_go.set()
    assert books.scribe.finish(PATIENCE)
    told = logging.getLogger("goplugin.transport")
    told.addHandler(books.handler)
    try:
        books.log("next")
        assert books.scribe.finish(PATIENCE)
    finally:
        told.removeHandler(books.handler)
    assert books.handler.told == ["first", *(str(number) for number in range(WAITING_MAX)), DROPPED % 7, "next"]


@pytest.mark.parametrize("error", [ValueError("as told"), SystemExit(1)])
def test_an_error_of_a_filter_is_shown_and_ends_nothing(
    error: BaseException, books: Books, capsys: pytest.CaptureFixture[str]
) -> None:
    def wrong(record: logging.LogRecord) -> bool:
        if record.getMessage() == "bad":
            raise error
        return True

    books.logger.addFilter(wrong)
    books.handler.let_go.set()
    books.log("bad", "good")
    assert books.scribe.finish(PATIENCE)
    assert books.handler.told == ["good"]
    assert type(error).__name__ in capsys.readouterr().err


def test_a_record_says_where_and_when_and_why_as_ever(books: Books) -> None:
    records: list[logging.LogRecord] = []

    def keep(record: logging.LogRecord) -> bool:
        records.append(record)
        return False

    books.logger.addFilter(keep)
    error = ValueError("as told")

    def log() -> None:
        books.scribe.log(books.logger, logging.ERROR, "%d of %d", 1, 2, error=error, extra={"why": "so"})

    log()
    books.hurried(log)
    assert books.scribe.finish(PATIENCE)
    for record in records:
        assert (record.getMessage(), record.levelno, record.name) == ("1 of 2", logging.ERROR, "test.scribe")
        assert (record.pathname, record.funcName, record.lineno) == (__file__, "log", log.__code__.co_firstlineno + 1)
        assert (record.exc_info, vars(record)["why"]) == ((ValueError, error, None), "so")
        assert 0 <= record.msecs < 1000
    assert len(records) == 2
    assert records[0].created <= records[1].created


def test_who_is_in_a_handler_or_in_a_hurry_does_not_wait_for_the_end(books: Books) -> None:
    waited: list[bool] = []

    def wait(_: logging.LogRecord) -> bool:
        waited.append(books.scribe.finish(PATIENCE))
        return True

    books.logger.addFilter(wait)
    books.handler.let_go.set()
    books.log("one")
    assert books.scribe.finish(PATIENCE)
    books.hurried(lambda: waited.append(books.scribe.finish(PATIENCE)))
    assert waited == [False, False]


def test_where_there_can_be_no_thread_it_is_counted(books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    def log() -> None:
        with monkeypatch.context() as patched:
            patched.setattr(threading.Thread, "start", fail)
            books.scribe.log(books.logger, logging.INFO, "lost")

    books.handler.let_go.set()
    books.hurried(log)
    told = logging.getLogger("goplugin.transport")
    told.addHandler(books.handler)
    try:
        books.log("next")
        assert books.scribe.finish(PATIENCE)
    finally:
        told.removeHandler(books.handler)
    assert books.handler.told == [DROPPED % 1, "next"]


FORKS = """
import logging, os, sys
sys.path.append(sys.argv[1])
from goplugin.transport._reactor import REACTOR
from goplugin.transport._scribe import SCRIBE
from stuck_handler import stuck

with stuck("goplugin.transport") as handler:
    REACTOR.call(lambda: 1 // 0)
    handler.entered.wait()
    child = os.fork()
    if child == 0:
        os._exit(0 if SCRIBE.finish(0) else 1)
    assert os.waitpid(child, 0)[1] == 0
assert SCRIBE.finish(10)
assert len(handler.told) == 1
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_forked_child_leaves_to_its_parent_what_that_has_to_tell() -> None:
    support = str(Path(__file__).parents[1] / "support")
    subprocess.run([sys.executable, "-c", FORKS, support], check=True, timeout=60)
