"""A message has one payload in two forms, keeps what nobody looked at, and shares nothing with its copies."""

import pickle
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from functools import partial
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goplugin.batch import BadValue, Message, Value
from goplugin.proto import lazy, redpanda


def over_the_wire(message: Message) -> Message:
    batch = lazy.MessageBatch(messages=[message.to_wire()])
    (back,) = Message.from_wire(lazy.MessageBatch.FromString(batch.SerializeToString()))
    return back


def test_a_message_of_bytes_comes_back_equal() -> None:
    message = Message(b"\x00\xff", metadata={"a": 1, "b": ["x"]}, error="no")
    assert over_the_wire(message) == message


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
        max_leaves=10,
    )
)
def test_a_structured_message_comes_back_equal_and_its_json_parses_to_it(value: Value) -> None:
    back = over_the_wire(Message(structured=value))
    assert back == Message(structured=value)
    assert Message(back.payload).json() == value


def test_a_structured_null_is_not_an_empty_payload() -> None:
    assert over_the_wire(Message(structured=None)).payload == b"null"
    assert over_the_wire(Message(b"")).payload == b""
    assert Message().is_structured


def test_a_missing_payload_is_an_empty_one() -> None:
    (message,) = Message.from_wire(lazy.MessageBatch(messages=[lazy.Message()]))
    assert (message.payload, message.metadata, message.error) == (b"", {}, None)


def test_an_error_without_a_text_is_its_kind() -> None:
    error = redpanda.Error(backoff=timedelta(seconds=1)).SerializeToString()
    (message,) = Message.from_wire(lazy.MessageBatch(messages=[lazy.Message(error=error)]))
    assert message.error == "backoff"


@pytest.mark.parametrize("look", [False, True])
def test_a_message_passes_through_unchanged_whether_or_not_anybody_looks(look: bool) -> None:
    message = Message(structured={"a": [1]}, metadata={"k": {"x": b"y"}}, error="e")
    between = over_the_wire(message)
    if look:
        assert between.structured == {"a": [1]}
        assert between.metadata == {"k": {"x": b"y"}}
    assert over_the_wire(between) == message


def test_a_change_made_in_metadata_or_in_the_structured_payload_counts() -> None:
    message = over_the_wire(Message(structured={"n": 1}, metadata={"a": 1}))
    cast("dict[str, Value]", message.structured)["n"] = 2
    message.metadata["b"] = 2
    back = over_the_wire(message)
    assert (back.structured, back.metadata) == ({"n": 2}, {"a": 1, "b": 2})


def test_metadata_can_be_emptied() -> None:
    message = over_the_wire(Message(b"", metadata={"a": 1}))
    message.metadata.clear()
    assert over_the_wire(message).metadata == {}


def test_structured_of_bytes_is_their_json_and_becomes_the_payload() -> None:
    message = Message(b'{"n": 1,   "a": [true, null]}')
    structured = cast("dict[str, Value]", message.structured)
    structured["n"] = 2
    assert message.is_structured
    assert message.payload == b'{"a":[true,null],"n":2}'


def test_json_looks_and_leaves_the_bytes_as_they_are() -> None:
    message = Message(b'{"n":   1}')
    cast("dict[str, Value]", message.json())["n"] = 2
    assert message.payload == b'{"n":   1}'
    assert not message.is_structured


def test_json_of_a_structured_message_is_a_copy() -> None:
    message = Message(structured={"n": [1]})
    cast("dict[str, list[Value]]", message.json())["n"].append(2)
    assert message.structured == {"n": [1]}


def test_the_payload_of_a_structured_message_is_json_as_redpanda_writes_it() -> None:
    moment = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone(timedelta(hours=1)))
    message = Message(structured={"z": "é<&>", "b": b"\xff\x00", "t": moment, "f": 1.5, "n": None})
    assert message.text == '{"b":"/wA=","f":1.5,"n":null,"t":"2026-01-02T02:04:05Z","z":"é<&>"}'


def test_setting_one_form_replaces_the_other() -> None:
    message = Message(structured={"a": 1})
    message.payload = b"x"
    assert not message.is_structured
    message.structured = [1]
    assert message.payload == b"[1]"
    message.text = "é"
    assert message.payload == b"\xc3\xa9"


@pytest.mark.parametrize("payload", [b"", b"{", b"NaN", b"[Infinity]", b"\xff"])
def test_bytes_that_are_not_json_have_no_structured_form_and_stay_as_they_are(payload: bytes) -> None:
    message = Message(payload)
    with pytest.raises(ValueError):  # noqa: PT011 - what the parser says is its own affair
        _ = message.structured
    with pytest.raises(ValueError):  # noqa: PT011
        message.json()
    assert message.payload == payload


def test_what_json_cannot_say_has_no_payload() -> None:
    with pytest.raises(ValueError, match="JSON"):
        _ = Message(structured=[float("nan")]).payload
    with pytest.raises(TypeError, match="JSON cannot say a set"):
        _ = Message(structured=cast("Value", {1})).payload
    with pytest.raises(BadValue, match="got the naive datetime 2026-01-01T00:00:00, want a datetime with a time zone"):
        _ = Message(structured=[datetime(2026, 1, 1)]).payload  # noqa: DTZ001


def test_bytes_that_are_not_utf8_have_no_text() -> None:
    with pytest.raises(UnicodeDecodeError):
        _ = Message(b"\xff").text


def test_what_the_wire_cannot_hold_is_refused_with_its_path() -> None:
    with pytest.raises(BadValue) as caught:
        over_the_wire(Message(structured={"n": 2**64}))
    assert caught.value.path == ("n",)
    with pytest.raises(BadValue) as caught:
        over_the_wire(Message(b"", metadata={"m": [2**64]}))
    assert caught.value.path == ("m", 0)
    with pytest.raises(TypeError):
        Message(cast("bytes", "text"))
    with pytest.raises(TypeError):
        Message(b"").payload = cast("bytes", 7)


@pytest.mark.parametrize("part", ["structured", "metadata", "error"])
def test_a_part_that_cannot_be_parsed_is_refused_when_somebody_looks(part: str) -> None:
    (message,) = Message.from_wire(lazy.MessageBatch(messages=[lazy.Message(**{part: b"\xff"})]))
    with pytest.raises(BadValue, match="that is no"):
        getattr(message, part)


def test_a_message_can_be_pickled_on_its_way_to_another_process() -> None:
    for message in (Message(b"a", metadata={"k": [1]}, error="e"), over_the_wire(Message(structured={"n": None}))):
        assert pickle.loads(pickle.dumps(message)) == message


def test_a_structured_message_of_an_integer_beyond_64_bits_is_text_but_not_sent() -> None:
    message = Message(b"18446744073709551616")
    assert message.structured == 2**64
    assert message.payload == b"18446744073709551616"
    with pytest.raises(BadValue, match="65 bits"):
        message.to_wire()


@pytest.mark.parametrize("wired", [False, True])
def test_a_copy_is_equal_and_shares_nothing(wired: bool) -> None:
    message = Message(structured={"a": [1]}, metadata={"k": [1]}, error="e")
    if wired:
        message = over_the_wire(message)
    twin = message.copy()
    assert twin == message
    cast("dict[str, list[Value]]", twin.structured)["a"].append(2)
    cast("list[Value]", twin.metadata["k"]).append(2)
    twin.error = None
    assert message == Message(structured={"a": [1]}, metadata={"k": [1]}, error="e")


def test_metadata_given_to_a_new_message_is_copied() -> None:
    mine: dict[str, Value] = {"a": 1}
    message = Message(b"", metadata=mine)
    message.metadata["b"] = 2
    assert mine == {"a": 1}


def test_metadata_can_be_replaced() -> None:
    message = over_the_wire(Message(b"", metadata={"a": 1}))
    message.metadata = {"b": 2}
    assert over_the_wire(message).metadata == {"b": 2}


def test_messages_differ_by_form_payload_metadata_and_error() -> None:
    message = Message(b"1")
    for other in (Message(structured=1), Message(b"2"), Message(b"1", metadata={"a": 1}), Message(b"1", error="e"), 1):
        assert message != other


def test_a_message_shows_what_it_holds() -> None:
    assert repr(Message(b"x")) == "Message(b'x')"
    shown = repr(Message(structured={"a": 1}, metadata={"k": datetime(2026, 1, 1, tzinfo=UTC)}, error="e"))
    assert shown.startswith("Message(structured={'a': 1}, metadata={'k': datetime")
    assert shown.endswith("error='e')")


def test_a_message_is_not_hashable_for_it_can_change() -> None:
    with pytest.raises(TypeError):
        hash(Message(b""))


def _kept(message: Message) -> Message:
    return message


def _dropped(_: Message) -> None:
    return None


def _upper(message: Message) -> Message:
    message.payload = message.payload.upper()
    return message


def _emptied_and_looked_at(message: Message) -> Message:
    message.payload = b""
    return message if message.error is None else Message(b"marked")


def _structured(message: Message) -> Message:
    message.payload = b"0"
    message.structured = {"was": message.text}
    return message


def _tagged(message: Message) -> Message:
    message.metadata["seen"] = message.is_structured
    message.text += "é"
    return message


def _told_apart(message: Message) -> Message:
    same = [message, message.copy(), pickle.loads(pickle.dumps(message))]
    return Message(repr(same).encode(), structured=None, error=str(same[0] == same[1] == same[2]))


def _no_bytes(message: Message) -> Message:
    message.payload = cast("bytes", "text")
    return message


def _no_bytes_and_looked_at(message: Message) -> Message:
    message.payload = cast("bytes", 7)
    return Message(str(message.error).encode())


def _misspelled(message: Message) -> Message:
    return Message(cast("bytes", getattr(message, "payloda")))  # noqa: B009


def _misplaced(message: Message) -> Message:
    setattr(message, "payloda", b"")  # noqa: B010
    return message


@pytest.mark.parametrize(
    "function",
    [
        _kept,
        _dropped,
        _upper,
        _emptied_and_looked_at,
        _structured,
        _tagged,
        _told_apart,
        _no_bytes,
        _no_bytes_and_looked_at,
        _misspelled,
        _misplaced,
    ],
)
def test_a_message_that_a_processor_has_in_hand_is_like_any_other(
    function: Callable[[Message], Message | None],
) -> None:
    def batch() -> lazy.MessageBatch:
        messages = [Message(b"a"), Message(b""), Message(structured=["s"]), Message(b"b", metadata={"k": 1}, error="e")]
        return lazy.MessageBatch(messages=[*(message.to_wire() for message in messages), lazy.Message()])

    def sent(result: object) -> bytes:
        return result.to_wire().SerializeToString() if isinstance(result, Message) else repr(result).encode()

    handed, plain = batch(), batch()
    outcomes: dict[int, object] = {}
    Message.each(
        handed.messages,
        function,
        lambda index, result: outcomes.update({index: sent(result)}),
        lambda index, error: outcomes.update({index: type(error)}),
    )
    for index, message in enumerate(Message.from_wire(plain)):
        try:
            expected: object = sent(function(message))
        except (TypeError, AttributeError) as error:
            expected = type(error)
        assert outcomes.get(index, handed.messages[index].SerializeToString()) == expected, index


def _never(index: int, said: object) -> None:
    raise AssertionError((index, said))


def test_of_a_message_that_only_has_another_payload_there_is_nothing_to_say() -> None:
    handed = lazy.MessageBatch(messages=[lazy.Message(bytes=b"a"), lazy.Message()])
    Message.each(handed.messages, _upper, _never, _never)
    assert [wire.bytes for wire in handed.messages] == [b"A", b""]


class _Keeper:
    """Keeps its messages, in one way or another, and returns them as they are."""

    def __init__(self) -> None:
        self.kept: list[Callable[[], Message]] = []

    def itself(self, message: Message) -> Message:
        self.kept.append(lambda: message)
        return message

    def method(self, message: Message) -> Message:
        copy = message.copy
        self.kept.append(copy)
        return message

    def frame(self, message: Message) -> Message:
        def wait() -> Iterator[Message]:
            yield message

        waiting = wait()
        self.kept.append(lambda: next(waiting))
        return message

    def traceback(self, message: Message) -> Message:
        try:
            raise ValueError
        except ValueError as error:
            trace = error.__traceback__
        assert trace is not None
        self.kept.append(lambda: trace.tb_frame.f_locals["message"])
        return message

    def thread(self, message: Message) -> Message:
        go, seen = threading.Event(), list[Message]()

        def wait(message: Message) -> None:
            go.wait(10)
            seen.append(message)

        thread = threading.Thread(target=wait, args=(message,))
        thread.start()

        def end() -> Message:
            go.set()
            thread.join(10)
            return seen[0]

        self.kept.append(end)
        return message


@pytest.mark.parametrize("way", [_Keeper.itself, _Keeper.method, _Keeper.frame, _Keeper.traceback, _Keeper.thread])
def test_a_message_that_a_processor_keeps_stays_what_it_is(way: Callable[[_Keeper, Message], Message]) -> None:
    payloads = [b"%d" % number for number in range(5)]
    keeper = _Keeper()
    Message.each([lazy.Message(bytes=one) for one in payloads], partial(way, keeper), _never, _never)
    assert [one().payload for one in keeper.kept] == payloads


def test_messages_that_nobody_keeps_are_one_and_the_same() -> None:
    seen: set[int] = set()

    def look(message: Message) -> Message:
        seen.add(id(message))
        return message

    Message.each([lazy.Message(bytes=b"a") for _ in range(1000)], look, _never, _never)
    assert len(seen) == 1


def test_what_a_message_in_hand_lacks_is_named_as_for_any_other() -> None:
    said: list[str] = []

    def look(message: Message) -> Message:
        with pytest.raises(AttributeError) as caught:
            _misspelled(message)
        said.append(str(caught.value))
        return message

    Message.each([lazy.Message(bytes=b"a"), lazy.Message()], look, _never, _never)
    assert said == ["'Message' object has no attribute 'payloda'"] * 2
