"""What joins two endpoints, with endpoints in memory; the relay's own tests join sockets."""

import pytest
from tls_peers import Wire

from goplugin.transport._joint import Joint
from goplugin.transport._reactor import READ, WRITE, Reactor


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
