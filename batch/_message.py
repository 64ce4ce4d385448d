"""The message: what flows through a pipeline. Decides what a payload is; never looks at where it goes."""

import base64
import copy
import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeAlias

from ._value import Value, read_fields, read_value, write_fields, write_value

if TYPE_CHECKING:
    from typing_extensions import TypeIs

    from ..proto import redpanda


_new = object.__new__


class Message:
    """A payload with metadata, and with an error if some processor failed on it.

    The payload is bytes or structured, as in Redpanda Connect, and each form is made from the other when it is asked
    for: `payload` of a structured message is its JSON text, `structured` of a message of bytes is its JSON parsed.

    Attributes:
        error: why a processor failed on this message, or None. A marked message flows on like any other; a
            processor that has put it right sets None.
    """

    # What came over the wire stays as it came until somebody looks at it: _structured and _metadata may hold
    # messages of the wire, which belong to a batch that nobody changes. _structured counts if _payload is None.
    __slots__ = ("_metadata", "_payload", "_structured", "error")
    _payload: bytes | None
    _structured: "Value | redpanda.Value"
    _metadata: "dict[str, Value] | redpanda.StructValue"
    error: str | None

    def __init__(
        self,
        payload: bytes | None = None,
        *,
        structured: Value = None,
        metadata: dict[str, Value] | None = None,
        error: str | None = None,
    ) -> None:
        """Make a message of ``payload``, or of ``structured`` if there is none; `text` serves for str.

        ``metadata`` is copied one level deep. A structured payload of None is JSON's null; for bytes of length zero
        say ``b""``.
        """
        self._payload, self._structured = payload, structured
        self._metadata = dict(metadata) if metadata else {}
        self.error = error

    @property
    def payload(self) -> bytes:
        """The payload as bytes; of a structured message, its JSON text: keys sorted, bytes in base64, RFC 3339 times.

        Raises:
            ValueError: a structured payload that JSON cannot say, such as NaN.
        """
        return _json(self.structured) if self._payload is None else self._payload

    @payload.setter
    def payload(self, payload: bytes) -> None:
        self._payload = payload

    @property
    def text(self) -> str:
        """The payload as UTF-8 text.

        Raises:
            UnicodeDecodeError: it is none.
        """
        return self.payload.decode()

    @text.setter
    def text(self, text: str) -> None:
        self._payload = text.encode()

    @property
    def is_structured(self) -> bool:
        """Whether the payload is structured rather than bytes."""
        return self._payload is None

    @property
    def structured(self) -> Value:
        """The payload as a value, which from now on **is** the payload: a change made in it counts.

        Look with `json` instead to leave the bytes of the message as they are.

        Raises:
            ValueError: the payload is bytes that are not JSON.
            BadValue: it came over the wire with a value that Python cannot have.
        """
        if self._payload is not None:
            self._structured = _parsed(self._payload)
            self._payload = None
        structured = self._structured
        if _unread(structured):
            self._structured = structured = read_value(structured)
        return structured

    @structured.setter
    def structured(self, value: Value) -> None:
        self._structured, self._payload = value, None

    def json(self) -> Value:
        """Return a copy of the payload as a value; the message stays as it is.

        Raises:
            ValueError: the payload is bytes that are not JSON; NaN and the infinities are not.
            BadValue: as `structured`.
        """
        return copy.deepcopy(self.structured) if self._payload is None else _parsed(self._payload)

    @property
    def metadata(self) -> dict[str, Value]:
        """The metadata, to read and to change.

        Raises:
            BadValue: as `structured`.
        """
        metadata = self._metadata
        if not isinstance(metadata, dict):
            self._metadata = metadata = read_fields(metadata)
        return metadata

    @metadata.setter
    def metadata(self, metadata: dict[str, Value]) -> None:
        self._metadata = metadata

    def copy(self) -> "Message":
        """Return a message that is equal and shares nothing that can change: what a processor splits with."""
        twin = _new(Message)
        twin._payload, twin.error = self._payload, self.error
        twin._structured = copy.deepcopy(self._structured) if self._payload is None else None
        twin._metadata = copy.deepcopy(self._metadata)
        return twin

    @staticmethod
    def many(payloads: Iterable[bytes], metadata: "redpanda.StructValue") -> "list[Message]":
        """Return a message of each payload, all with ``metadata``, of which each makes its own when somebody looks."""
        batch: list[Message] = []
        for payload in payloads:
            message = _new(Message)
            message._payload, message._structured, message._metadata, message.error = payload, None, metadata, None
            batch.append(message)
        return batch

    @staticmethod
    def from_wire(source: "redpanda.MessageBatch") -> "list[Message]":
        """Return the messages of ``source``, which must not change while they live: they read parts of it later."""
        batch: list[Message] = []
        add = batch.append
        for origin in source.messages:
            message = _new(Message)
            has = origin.HasField
            if has("structured"):
                message._payload, message._structured = None, origin.structured
            else:  # a missing payload is an empty one
                message._payload, message._structured = origin.bytes, None
            message._metadata = origin.metadata if has("metadata") else {}
            message.error = (origin.error.message or None) if has("error") else None
            add(message)
        return batch

    def to_wire(self, target: "redpanda.Message") -> None:
        """Write this message into ``target``, which must be empty.

        Raises:
            BadValue: it holds what the wire cannot; ``target`` may then be half written.
            TypeError: the payload is not bytes.
        """
        payload, structured, metadata = self._payload, self._structured, self._metadata
        if payload is not None:
            target.bytes = payload
        elif _unread(structured):
            target.structured.CopyFrom(structured)
        else:
            write_value(target.structured, structured)
        if not isinstance(metadata, dict):
            # Nobody looked, so it crosses as it came: one copy in C, no conversion.
            target.metadata.CopyFrom(metadata)
        elif metadata:
            write_fields(target.metadata, metadata)
        if self.error:
            target.error.message = self.error

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Message):
            return NotImplemented
        if self.is_structured != other.is_structured or self.error != other.error or self.metadata != other.metadata:
            return False
        return self.structured == other.structured if self.is_structured else self._payload == other._payload

    __hash__ = None  # type: ignore[assignment] # it can change

    def __repr__(self) -> str:
        parts = [f"structured={self.structured!r}" if self.is_structured else repr(self._payload)]
        parts += [f"metadata={self.metadata!r}"] if self.metadata else []
        parts += [f"error={self.error!r}"] if self.error else []
        return f"Message({', '.join(parts)})"


Batch: TypeAlias = list[Message]
"""Messages that travel together."""


def _unread(value: "Value | redpanda.Value") -> "TypeIs[redpanda.Value]":
    """Return whether this is still the message that came over the wire; asked so as not to load protobuf here."""
    return hasattr(value, "DESCRIPTOR")


def _parsed(payload: bytes) -> Value:
    value: Value = json.loads(payload, parse_constant=_refuse_constant)
    return value


def _json(value: Value) -> bytes:
    text = json.dumps(
        value, separators=(",", ":"), ensure_ascii=False, allow_nan=False, sort_keys=True, default=_json_extra
    )
    return text.encode()


def _json_extra(value: object) -> str:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    raise TypeError(f"JSON cannot say a {type(value).__name__}")


def _refuse_constant(name: str) -> Value:
    raise ValueError(f"{name} is not JSON")
