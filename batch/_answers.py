"""Cuts a batch into answers that are not too long for the host. Decides only."""

from collections.abc import Sequence

from ..proto import lazy
from ._errors import BadValue

_AROUND_MESSAGES = 17  # bytes of an answer at most: tag and number of the batch, tag and length of its messages
_AROUND_MESSAGE = 6  # bytes at most: its tag and its length


class TooLarge(BadValue):
    """A message is longer than any answer that the host takes: who wrote the input must act."""


def cut(messages: Sequence[lazy.Message], answer_max: int) -> "list[list[lazy.Message] | TooLarge]":
    """Return the messages, in their order, by answers of at most ``answer_max`` bytes; an error for one too long."""
    room = answer_max - _AROUND_MESSAGES
    parts: list[list[lazy.Message] | TooLarge] = []
    part: list[lazy.Message] = []
    left = 0
    for index, message in enumerate(messages):
        size = _AROUND_MESSAGE + message.ByteSize()
        if size > room:
            parts.append(_too_large(index, message.ByteSize(), answer_max))
            left = 0
            continue
        if size > left:
            part, left = [], room
            parts.append(part)
        part.append(message)
        left -= size
    return parts


def _too_large(index: int, size: int, answer_max: int) -> TooLarge:
    want = (
        f"at most {answer_max - _AROUND_MESSAGES - _AROUND_MESSAGE}: this host takes answers of up to {answer_max} "
        "bytes, and the input has to give what is in it as several messages"
    )
    return TooLarge(path=("batch", index), got=f"a message of {size} bytes", want=want)
