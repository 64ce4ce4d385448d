"""The message: what flows through a pipeline. Decides what a payload is; never looks at where it goes."""

import base64
import copy
import enum
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from sys import getrefcount, version_info
from typing import Final, Literal, TypeAlias, cast

from google.protobuf.message import DecodeError

from ..proto import lazy, redpanda
from ._errors import BadValue
from ._failures import read_error
from ._value import Value, naive, read_fields, read_value, write_fields, write_value

_new = object.__new__
# The least count of references to a local variable's object: the call that asks holds one, too, before 3.14.
_ALONE = 2 if version_info < (3, 14) else 1


class _Unread(enum.Enum):
    """Stands for what nobody has asked for yet: the wire has it."""

    UNREAD = None


_UNREAD: Final = _Unread.UNREAD
_Unlooked: TypeAlias = Literal[_Unread.UNREAD]


class Message:
    """A payload with metadata, and with an error if some processor failed on it.

    The payload is bytes or structured, as in Redpanda Connect, and each form is made from the other when it is asked
    for: `payload` of a structured message is its JSON text, `structured` of a message of bytes is its JSON parsed.
    """

    # _wire is the message as it is sent; _looked, if it is there, has what somebody looked at in it, and may have
    # changed: that counts, and is written back when the message is sent. The other two are those of a _Handed.
    __slots__ = ("_held", "_looked", "_payload", "_wire")
    _held: lazy.Message
    _payload: bytes
    _wire: lazy.Message
    _looked: "_Looked | None"

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

        Raises:
            TypeError: the payload is not bytes.
        """
        self._wire, self._looked = lazy.Message(), None
        if payload is None:
            self.structured = structured
        else:
            self.payload = payload
        if metadata:
            self.metadata = dict(metadata)
        if error:
            self.error = error

    @property
    def payload(self) -> bytes:
        """The payload as bytes; of a structured message, its JSON text: keys sorted, bytes in base64, RFC 3339 times.

        A message that came without any payload has an empty one.

        Raises:
            ValueError: a structured payload that JSON cannot say, such as NaN.
            BadValue: a datetime in it is naive; or as `structured`.
        """
        payload = self._wire.bytes
        return payload if payload or not self.is_structured else _json(self.structured)

    @payload.setter
    def payload(self, payload: bytes) -> None:
        self._wire.bytes = payload
        if self._looked is not None:
            self._looked.structured = _UNREAD

    @property
    def text(self) -> str:
        """The payload as UTF-8 text.

        Raises:
            UnicodeDecodeError: it is none.
        """
        return self.payload.decode()

    @text.setter
    def text(self, text: str) -> None:
        self.payload = text.encode()

    @property
    def is_structured(self) -> bool:
        """Whether the payload is structured rather than bytes."""
        return self._wire.HasField("structured")

    @property
    def structured(self) -> Value:
        """The payload as a value, which from now on **is** the payload: a change made in it counts.

        Look with `json` instead to leave the bytes of the message as they are.

        Raises:
            ValueError: the payload is bytes that are not JSON.
            BadValue: it came over the wire with a value that Python cannot have.
        """
        looked = self._look()
        if looked.structured is _UNREAD:
            wire = self._wire
            self.structured = _read_structured(wire.structured) if self.is_structured else _parsed(wire.bytes)
        return cast("Value", looked.structured)

    @structured.setter
    def structured(self, value: Value) -> None:
        self._look().structured = value
        self._wire.structured = b""  # for now: it says which form the payload has

    def json(self) -> Value:
        """Return a copy of the payload as a value; the message stays as it is.

        Raises:
            ValueError: the payload is bytes that are not JSON; NaN and the infinities are not.
            BadValue: as `structured`.
        """
        return copy.deepcopy(self.structured) if self.is_structured else _parsed(self._wire.bytes)

    @property
    def metadata(self) -> dict[str, Value]:
        """The metadata, to read and to change.

        Raises:
            BadValue: as `structured`.
        """
        looked = self._look()
        if looked.metadata is _UNREAD:
            looked.metadata = _read_metadata(self._wire.metadata)
        return looked.metadata

    @metadata.setter
    def metadata(self, metadata: dict[str, Value]) -> None:
        self._look().metadata = metadata

    @property
    def error(self) -> str | None:
        """Why a processor failed on this message, or None.

        A marked message flows on like any other; a processor that has put it right sets None.

        Raises:
            BadValue: what came over the wire is no error.
        """
        error = self._wire.error
        return _read_error(error) if error else None

    @error.setter
    def error(self, error: str | None) -> None:
        self._wire.error = redpanda.Error(message=error).SerializeToString() if error else b""

    def copy(self) -> "Message":
        """Return a message that is equal and shares nothing that can change: what a processor splits with."""
        twin = _new(Message)
        twin._wire, twin._looked = lazy.Message(), copy.deepcopy(self._looked)
        twin._wire.CopyFrom(self._wire)
        return twin

    @staticmethod
    def many(payloads: Iterable[bytes], metadata: bytes) -> "list[Message]":
        """Return a message of each payload, all with ``metadata``: a serialized `redpanda.StructValue`."""
        make = lazy.Message
        return list(Message.over(make(bytes=payload, metadata=metadata) for payload in payloads))

    @staticmethod
    def from_wire(source: lazy.MessageBatch) -> "list[Message]":
        """Return the messages of ``source``, which belong to them from now on: a change of theirs changes it."""
        return list(Message.over(source.messages))

    @staticmethod
    def over(wires: Iterable[lazy.Message]) -> "Iterator[Message]":
        """Yield the messages of ``wires`` one by one: those nobody keeps never add up, which spares collections."""
        for wire in wires:
            message = _new(Message)
            message._wire, message._looked = wire, None
            yield message

    @staticmethod
    def each(
        wires: Iterable[lazy.Message],
        function: "Callable[[Message], object]",
        made: Callable[[int, object], None],
        failed: Callable[[int, BaseException], None],
    ) -> None:
        """Call ``function`` with the messages of ``wires`` one by one; say by index what it made and what it raised.

        Of a message that comes back as it is, with nothing to write back, there is nothing to say. What ``made`` raises
        is a failure of that message; what ``failed`` raises ends the work and comes out.
        """
        new, handed, references, alone = _new, _Handed, getrefcount, _ALONE
        message: Message = new(handed)
        for index, wire in enumerate(wires):
            if payload := wire.bytes:
                if references(message) != alone:  # else nobody has kept the last one, and it serves again
                    message = new(handed)
                message._held = wire
                message.payload = payload
            else:  # it may be structured
                message = new(Message)
                message._wire, message._looked = wire, None
            try:
                result = function(message)
                if result is message and type(message) is handed:
                    result = None
                    if (now := message.payload) is not payload:
                        wire.bytes = now
                    continue
                if result is not message or message._looked is not None:
                    made(index, result)
            except BaseException as error:  # noqa: BLE001 - it belongs to this message
                failed(index, error)
            message = new(handed)  # nobody knows what the last one is by now

    def to_wire(self) -> lazy.Message:
        """Return this message as it is sent; it still belongs to this message, so copy or send it.

        Raises:
            BadValue: it holds what the wire cannot.
        """
        if self._looked is not None:
            self._looked.write_back(self._wire)
        return self._wire

    @staticmethod
    def seen(batch: "Iterable[Message]") -> "list[int]":
        """Return the places of those messages that have something to write back."""
        return [index for index, message in enumerate(batch) if message._looked is not None]

    @property
    def was_seen(self) -> bool:
        """Whether somebody looked at a part that `to_wire` has to write back."""
        return self._looked is not None

    def _look(self) -> "_Looked":
        if self._looked is None:
            self._looked = _Looked()
        return self._looked

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Message):
            return NotImplemented
        return self._parts() == other._parts()

    __hash__ = None  # type: ignore[assignment] # it can change

    def __reduce__(self) -> tuple[object, ...]:
        # What came over the wire cannot be pickled, and a message may have to cross to another process.
        return _remade, self._parts()

    def _parts(self) -> tuple[bytes | None, Value, dict[str, Value], str | None]:
        structured = self.is_structured
        return (
            None if structured else self._wire.bytes,
            self.structured if structured else None,
            self.metadata,
            self.error,
        )

    def __repr__(self) -> str:
        payload, structured, metadata, error = self._parts()
        shown = [f"structured={structured!r}" if payload is None else repr(payload)]
        shown += [f"metadata={metadata!r}"] if metadata else []
        shown += [f"error={error!r}"] if error else []
        return f"Message({', '.join(shown)})"


class _Handed(Message):
    """A message of bytes that a processor has in hand: its payload is an attribute, not a property, which costs a call.

    It becomes a `Message` like any other when somebody looks at more than its payload, for that is not there.
    """

    __slots__ = ()

    def __getattr__(self, name: str) -> object:
        if name not in ("_looked", "_wire"):
            raise AttributeError(f"'Message' object has no attribute {name!r}")
        wire, payload = self._held, self.payload
        self.__class__ = Message  # type: ignore[assignment] # its slots are the same
        self._wire, self._looked = wire, None
        wire.bytes = payload
        return getattr(self, name)


setattr(_Handed, "payload", vars(Message)["_payload"])  # noqa: B010 - to type checkers it stays the property


Batch: TypeAlias = list[Message]
"""Messages that travel together."""


class _Looked:
    """What somebody looked at in a message; each part is _UNREAD until then."""

    __slots__ = ("metadata", "structured")
    structured: Value | _Unlooked
    metadata: dict[str, Value] | _Unlooked

    def __init__(self) -> None:
        self.structured = self.metadata = _UNREAD

    def write_back(self, wire: lazy.Message) -> None:
        if self.structured is not _UNREAD:
            value = redpanda.Value()
            write_value(value, self.structured)
            wire.structured = value.SerializeToString()
        if self.metadata is not _UNREAD:
            fields = redpanda.StructValue()
            write_fields(fields, self.metadata)
            wire.metadata = fields.SerializeToString()


def _remade(payload: bytes | None, structured: Value, metadata: dict[str, Value], error: str | None) -> Message:
    return Message(payload, structured=structured, metadata=metadata, error=error)


def _read_structured(part: bytes) -> Value:
    try:
        return read_value(redpanda.Value.FromString(part))
    except DecodeError:
        raise BadValue(got="a structured payload that is no Value", want="one") from None


def _read_metadata(part: bytes) -> dict[str, Value]:
    try:
        return read_fields(redpanda.StructValue.FromString(part))
    except DecodeError:
        raise BadValue(got="metadata that is no StructValue", want="one") from None


def _read_error(part: bytes) -> str | None:
    try:
        return read_error(redpanda.Error.FromString(part)) or None
    except DecodeError:
        raise BadValue(got="an error that is no Error", want="one") from None


def _parsed(payload: bytes) -> Value:
    import json  # a start need not wait for it

    value: Value = json.loads(payload, parse_constant=_refuse_constant)
    return value


def _json(value: Value) -> bytes:
    import json

    text = json.dumps(
        value, separators=(",", ":"), ensure_ascii=False, allow_nan=False, sort_keys=True, default=_json_extra
    )
    return text.encode()


def _json_extra(value: object) -> str:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, datetime):
        if value.utcoffset() is None:  # astimezone would take it for local time
            raise naive(value)
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    raise TypeError(f"JSON cannot say a {type(value).__name__}")


def _refuse_constant(name: str) -> Value:
    raise ValueError(f"{name} is not JSON")
