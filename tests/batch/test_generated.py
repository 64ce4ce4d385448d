"""Generated messages come in batches, at their interval, as many as were asked for."""

import threading
from time import monotonic

from goplugin.batch import Message
from goplugin.batch._components import GenerateInput
from goplugin.batch._document import locate
from goplugin.batch._generated import Generated
from goplugin.batch._mapping import parse_mapping


def source(text: str, interval: float = 0.0, count: int = 0, batch_size: int = 1) -> Generated:
    mapping = parse_mapping(locate(text, "p.yaml"))
    return Generated(GenerateInput(mapping=mapping, interval=interval, count=count, batch_size=batch_size))


def test_a_count_is_kept_and_the_last_batch_is_smaller() -> None:
    made = source("root = counter()", count=5, batch_size=2)
    found = [parcel.messages for _ in range(3) for parcel in made.read(None) or []]
    assert found == [
        [Message(structured=1), Message(structured=2)],
        [Message(structured=3), Message(structured=4)],
        [Message(structured=5)],
    ]
    assert made.read(None) is None
    assert (made.rest(), made.unfinished()) == ([], 0)


def test_each_counter_counts_for_itself() -> None:
    text = "root.a = counter()\nroot.b = [counter(), counter()]\nmeta c = counter()"
    (parcel,) = source(text, batch_size=2).read(None) or []
    assert [one.structured for one in parcel.messages] == [{"a": 1, "b": [1, 1]}, {"a": 2, "b": [2, 2]}]
    assert [one.metadata["c"] for one in parcel.messages] == [1, 2]


def test_a_string_is_the_payload_itself_and_metadata_comes_along() -> None:
    (parcel,) = source('root = "a"\nmeta k = uuid_v4()').read(None) or []
    (message,) = parcel.messages
    assert message.payload == b"a"
    assert len(str(message.metadata["k"])) == 36


def test_the_first_batch_is_due_at_once_and_the_second_after_the_interval() -> None:
    mapping = 'root = {"at": now(), "unix": timestamp_unix()}'
    made, begun = source(mapping, interval=0.2), monotonic()
    assert made.read(None)
    assert made.read(None)
    assert monotonic() - begun >= 0.2
    made = source(mapping, interval=3600.0)
    assert made.read(None)
    assert made.read(0.01) == []


def test_a_wait_can_be_interrupted() -> None:
    made = source("root = 1", interval=3600.0)
    made.read(None)
    threading.Timer(0.05, made.interrupt).start()
    assert made.read(None) == []
    made.close()
