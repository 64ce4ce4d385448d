"""What joins two endpoints, with endpoints in memory; the relay's own tests join sockets."""

from collections.abc import Callable

import pytest
from tls_peers import Wire

from goplugin.transport._joint import Joint
from goplugin.transport._reactor import READ, WRITE, Reactor, Timer


def test_readiness_that_nobody_asked_for_loses_and_doubles_nothing() -> None:
    """Whatever an endpoint tells: the joint reads on only when the other one has taken everything."""
    left, right = Wire(), Wire(room=3)
    errors: list[Exception | None] = []
    joint = Joint(Reactor(), left, right, errors.append)
    left.arrived += b"abcdef"
    joint.start()
    assert (bytes(right.sent), left.events, right.events) == (b"abc", 0, READ | WRITE)
    left.arrived += b"ghi"
    left.ready(READ | WRITE)
    right.ready(READ | WRITE)
    assert right.sent == b"abc"
    right.room = 100
    right.ready(WRITE)
    assert (bytes(right.sent), left.events, right.events) == (b"abcdef", READ, READ)
    left.ended = True
    left.ready(READ)
    left.ready(READ)
    assert (bytes(right.sent), right.finished, left.events) == (b"abcdefghi", True, 0)
    right.ended = True
    right.ready(READ)
    assert (left.finished, left.closed, right.closed, errors) == (True, True, True, [None])
    joint.close(ConnectionError())
    assert errors == [None]


def mistaken(*_: object) -> int:
    return 1 // 0


def test_a_mistake_in_an_endpoint_closes_the_joint_and_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    left, right = Wire(), Wire()
    errors: list[Exception | None] = []
    joint = Joint(Reactor(), left, right, errors.append)
    joint.start()
    monkeypatch.setattr(left, "receive", mistaken)
    with pytest.raises(ZeroDivisionError):
        left.ready(READ)
    assert (left.closed, right.closed, errors) == (True, True, [None])


@pytest.mark.parametrize(
    ("first", "said", "unheard"),
    [("right", b"", True), ("right", b"settings", False), ("left", b"", False)],
)
def test_an_end_that_leaves_before_the_other_without_a_word_is_told_apart(
    first: str, said: bytes, unheard: bool
) -> None:
    left, right = Wire(), Wire()
    errors: list[Exception | None] = []
    joint = Joint(Reactor(), left, right, errors.append)
    joint.start()
    right.arrived += said
    for end in (right, left) if first == "right" else (left, right):
        end.ended = True
        end.ready(READ)
    assert joint.right_left_unheard is unheard


class Gone(Wire):
    """An endpoint whose other side has hung up, having read not all."""

    hung_up = False

    def receive(self, into: memoryview) -> int:
        count = super().receive(into)
        if not count and self.hung_up:
            raise ConnectionResetError
        return count

    def send(self, data: memoryview) -> int:
        if self.hung_up:
            raise BrokenPipeError
        return super().send(data)


class Timed(Reactor):
    """A reactor whose time comes when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.jobs: list[Callable[[], object]] = []

    def later(self, seconds: float, job: Callable[[], object]) -> Timer:
        self.jobs.append(job)
        return Timer(job)


def joined(left: Wire, right: Wire, reactor: Reactor | None = None) -> list[Exception | None]:
    errors: list[Exception | None] = []
    Joint(reactor or Reactor(), left, right, errors.append).start()
    return errors


def test_last_words_are_carried_though_the_other_side_goes_on_speaking() -> None:
    left, right = Wire(room=3), Gone()
    errors = joined(left, right)
    right.arrived += b"last words"
    right.ready(READ)
    right.hung_up = True
    left.arrived += b"it speaks on"
    left.ready(READ)
    assert (bytes(left.sent), left.events, right.events, left.closed) == (b"las", READ | WRITE, 0, False)
    left.room = 100
    left.ready(WRITE)
    right.ready(READ)
    assert (bytes(left.sent), left.finished, left.closed) == (b"last words", True, False)
    # Closed with something unread, it would be reset, and its other side lose what it has not read yet.
    assert (left.events, right.events) == (READ, 0)
    left.arrived += b"and on"
    left.ready(READ)
    left.ended = True
    left.ready(READ)
    assert (left.closed, right.closed, bytes(right.sent)) == (True, True, b"")
    assert [type(error) for error in errors] == [BrokenPipeError]


def test_where_both_sides_have_hung_up_the_joint_is_closed_at_once() -> None:
    left, right = Gone(), Gone(room=0)
    errors = joined(left, right)
    left.arrived += b"for nobody"
    left.ready(READ)
    left.hung_up = right.hung_up = True
    right.arrived += b"for nobody"
    right.ready(READ)
    assert not left.closed
    right.ready(WRITE)
    assert (left.closed, right.closed, len(errors)) == (True, True, 1)


def test_an_end_that_cannot_be_told_is_none_to_fail_of(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise BrokenPipeError

    left, right = Wire(), Wire()
    monkeypatch.setattr(right, "finish", broken)
    errors = joined(left, right)
    left.ended = True
    left.ready(READ)
    assert not right.closed
    right.arrived += b"last words"
    right.ended = True
    right.ready(READ)
    assert (bytes(left.sent), left.finished, left.closed, len(errors)) == (b"last words", True, True, 1)


@pytest.mark.parametrize("noticed", [READ, WRITE], ids=["received from", "sent to"])
def test_who_only_speaks_on_when_the_other_is_gone_is_dropped_some_time_later(noticed: int) -> None:
    reactor = Timed()
    left, right = Wire(), Gone()
    errors = joined(left, right, reactor)
    right.hung_up = True
    if noticed == READ:
        right.ready(READ)
    for _ in range(2):
        assert not left.closed
        for _ in range(100):
            left.arrived += bytes(1000)
            left.ready(READ)
        (job,) = reactor.jobs
        reactor.jobs.clear()
        job()
    assert (left.closed, right.closed) == (True, True)
    assert [type(error) for error in errors] == [TimeoutError]
    assert not left.arrived
