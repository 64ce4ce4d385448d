"""A message has one payload in two forms, keeps what nobody looked at, and shares nothing with its copies."""

from datetime import UTC, datetime, timedelta, timezone
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goplugin.batch import BadValue, Message, Value
from goplugin.proto import redpanda


def over_the_wire(message: Message) -> Message:
    batch = redpanda.MessageBatch()
    message.to_wire(batch.messages.add())
    (back,) = Message.from_wire(redpanda.MessageBatch.FromString(batch.SerializeToString()))
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
    (message,) = Message.from_wire(redpanda.MessageBatch(messages=[redpanda.Message()]))
    assert (message.payload, message.metadata, message.error) == (b"", {}, None)


def test_an_error_with_an_empty_text_is_no_error() -> None:
    (message,) = Message.from_wire(redpanda.MessageBatch(messages=[redpanda.Message(error=redpanda.Error())]))
    assert message.error is None


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
        over_the_wire(Message(cast("bytes", "text")))


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
