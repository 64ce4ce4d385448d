"""A batch goes out in as many answers as it takes: none is too long, nothing is left out, and the order stays."""

from hypothesis import given
from hypothesis import strategies as st

from goplugin.batch._answers import TooLarge, cut
from goplugin.proto import lazy

LIMIT = 1000
ROOM = LIMIT - 23  # bytes of a message that an answer of its own can hold


def messages(*sizes: int) -> list[lazy.Message]:
    """Return messages that are so many bytes long on the wire, from 131 on."""
    return [lazy.Message(bytes=b"x" * (size - 3)) for size in sizes]


def answer_size(part: list[lazy.Message]) -> int:
    answer = lazy.BatchRead(batch_id=2**64 - 1)
    answer.batch.messages.extend(part)
    return len(answer.SerializeToString())


@given(st.lists(st.binary(max_size=1200), max_size=30), st.integers(24, 3000))
def test_every_answer_fits_and_every_message_has_its_place_in_one(payloads: list[bytes], limit: int) -> None:
    whole = [lazy.Message(bytes=payload) for payload in payloads]
    parts = cut(whole, limit)
    assert all(answer_size(part) <= limit for part in parts if not isinstance(part, TooLarge))
    found = [message for part in parts for message in ([None] if isinstance(part, TooLarge) else part)]
    assert len(found) == len(whole)
    for message, came in zip(found, whole, strict=True):
        assert message is came or (message is None and came.ByteSize() > limit - 23)


def test_what_fits_into_one_answer_is_not_cut() -> None:
    whole = messages(400, 500)
    assert cut(whole, LIMIT) == [whole]


def test_a_message_may_fill_an_answer_and_one_byte_more_is_an_error_with_its_place_and_sizes() -> None:
    small, exact, large, last = messages(200, ROOM, ROOM + 1, 200)
    first, second, error, third = cut([small, exact, large, last], LIMIT)
    assert (first, second, third) == ([small], [exact], [last])
    assert isinstance(error, TooLarge)
    assert str(error) == (
        "batch[2]: got a message of 978 bytes, want at most 977: this host takes answers of up to 1000 bytes, and the "
        "input has to give what is in it as several messages"
    )


def test_answers_are_filled_before_another_is_begun() -> None:
    parts = cut(messages(*[239] * 9), LIMIT)
    assert [len(part) for part in parts if not isinstance(part, TooLarge)] == [4, 4, 1]
