"""Every message against bytes composed by hand, from numbers and types as the protocol gives them.

The composing knows nothing of our definitions: three of protobuf's wire types in a line each.
"""

import struct
from datetime import UTC, datetime, timedelta

import pytest
from google.protobuf.message import Message

from goplugin.proto import lazy
from goplugin.proto import plugin as go
from goplugin.proto import redpanda as rp
from goplugin.proto import reflection as rf


def varint(number: int, value: int) -> bytes:
    return _varint(number << 3 | 0) + _varint(value)


def fixed64(number: int, value: float) -> bytes:
    return _varint(number << 3 | 1) + struct.pack("<d", value)


def sized(number: int, *parts: bytes) -> bytes:
    content = b"".join(parts)
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    value &= 0xFFFF_FFFF_FFFF_FFFF  # a negative number travels as its 64-bit complement
    groups: list[int] = []
    while value > 0x7F:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*groups, value])


NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
TEXT = rp.Value(string_value="a")
TEXT_BYTES = sized(2, b"a")
ERROR = rp.Error(message="no")
ERROR_BYTES = sized(1, b"no")
BATCH = rp.MessageBatch(messages=[rp.Message(bytes=b"x")])
BATCH_BYTES = sized(1, sized(1, b"x"))
LAZY_BATCH = lazy.MessageBatch(messages=[lazy.Message(bytes=b"x")])

GOLDEN: list[tuple[Message, bytes]] = [
    # plugin
    (
        go.ConnInfo(service_id=2**32 - 1, network="unix", address="/a", knock=go.ConnInfo.Knock(ack=True)),
        varint(1, 2**32 - 1) + sized(2, b"unix") + sized(3, b"/a") + sized(4, varint(2, 1)),
    ),
    (
        go.ConnInfo.Knock(knock=True, ack=True, error="no"),
        varint(1, 1) + varint(2, 1) + sized(3, b"no"),
    ),
    (go.StdioData(channel=go.StdioData.INVALID, data=b"\xff"), sized(2, b"\xff")),
    (go.StdioData(channel=go.StdioData.STDOUT), varint(1, 1)),
    (go.StdioData(channel=go.StdioData.STDERR), varint(1, 2)),
    (go.Empty(), b""),
    (go.GoogleEmpty(), b""),
    # redpanda.runtime.v1alpha1: values
    (rp.Value(null_value=rp.NULL_VALUE), varint(1, 0)),
    (rp.Value(string_value="ä"), sized(2, b"\xc3\xa4")),
    (rp.Value(integer_value=-(2**63)), varint(3, -(2**63))),
    (rp.Value(double_value=-0.5), fixed64(4, -0.5)),
    (rp.Value(bool_value=False), varint(5, 0)),
    (rp.Value(timestamp_value=NOON), sized(6, varint(1, int(NOON.timestamp())))),
    (rp.Value(bytes_value=b"\xff"), sized(7, b"\xff")),
    (rp.Value(struct_value=rp.StructValue()), sized(8)),
    (rp.Value(list_value=rp.ListValue()), sized(9)),
    (rp.StructValue(fields={"k": TEXT}), sized(1, sized(1, b"k"), sized(2, TEXT_BYTES))),
    (rp.ListValue(values=[TEXT, TEXT]), sized(1, TEXT_BYTES) + sized(1, TEXT_BYTES)),
    # redpanda.runtime.v1alpha1: messages
    (
        rp.Error(message="no", backoff=timedelta(seconds=1, microseconds=1)),
        sized(1, b"no") + sized(2, varint(1, 1), varint(2, 1000)),
    ),
    (rp.Error(not_connected=rp.Error.NotConnected()), sized(3)),
    (rp.Error(end_of_input=rp.Error.EndOfInput()), sized(4)),
    (rp.Error.NotConnected(), b""),
    (rp.Error.EndOfInput(), b""),
    (
        rp.Message(bytes=b"", metadata=rp.StructValue(fields={"k": TEXT}), error=ERROR),
        sized(1) + sized(3, sized(1, sized(1, b"k"), sized(2, TEXT_BYTES))) + sized(4, ERROR_BYTES),
    ),
    (rp.Message(structured=TEXT), sized(2, TEXT_BYTES)),
    (BATCH, BATCH_BYTES),
    # the same, with parts left alone
    (
        lazy.Message(bytes=b"", metadata=sized(1, sized(1, b"k"), sized(2, TEXT_BYTES)), error=ERROR_BYTES),
        sized(1) + sized(3, sized(1, sized(1, b"k"), sized(2, TEXT_BYTES))) + sized(4, ERROR_BYTES),
    ),
    (lazy.Message(structured=TEXT_BYTES), sized(2, TEXT_BYTES)),
    (LAZY_BATCH, BATCH_BYTES),
    (lazy.Batches(batches=[LAZY_BATCH], error=ERROR), sized(1, BATCH_BYTES) + sized(2, ERROR_BYTES)),
    (
        lazy.BatchRead(batch_id=2**64 - 1, batch=LAZY_BATCH, error=ERROR),
        varint(1, 2**64 - 1) + sized(2, BATCH_BYTES) + sized(3, ERROR_BYTES),
    ),
    # redpanda.runtime.v1alpha1: input
    (rp.BatchInputInitRequest(config=TEXT), sized(1, TEXT_BYTES)),
    (rp.BatchInputInitResponse(error=ERROR, auto_replay_nacks=True), sized(1, ERROR_BYTES) + varint(2, 1)),
    (rp.BatchInputConnectRequest(), b""),
    (rp.BatchInputConnectResponse(error=ERROR), sized(1, ERROR_BYTES)),
    (rp.BatchInputReadRequest(), b""),
    (
        rp.BatchInputReadResponse(batch_id=2**64 - 1, batch=BATCH, error=ERROR),
        varint(1, 2**64 - 1) + sized(2, BATCH_BYTES) + sized(3, ERROR_BYTES),
    ),
    (
        rp.BatchInputAckRequest(batch_id=2**64 - 1, error=ERROR),
        varint(1, 2**64 - 1) + sized(2, ERROR_BYTES),
    ),
    (rp.BatchInputAckResponse(error=ERROR), sized(2, ERROR_BYTES)),
    (rp.BatchInputCloseRequest(), b""),
    (rp.BatchInputCloseResponse(error=ERROR), sized(1, ERROR_BYTES)),
    # redpanda.runtime.v1alpha1: processor
    (rp.BatchProcessorInitRequest(config=TEXT), sized(1, TEXT_BYTES)),
    (rp.BatchProcessorInitResponse(error=ERROR), sized(1, ERROR_BYTES)),
    (rp.BatchProcessorProcessBatchRequest(batch=BATCH), sized(1, BATCH_BYTES)),
    (
        rp.BatchProcessorProcessBatchResponse(batches=[BATCH, BATCH], error=ERROR),
        sized(1, BATCH_BYTES) + sized(1, BATCH_BYTES) + sized(2, ERROR_BYTES),
    ),
    (rp.BatchProcessorCloseRequest(), b""),
    (rp.BatchProcessorCloseResponse(error=ERROR), sized(1, ERROR_BYTES)),
    # redpanda.runtime.v1alpha1: output
    (rp.BatchOutputInitRequest(config=TEXT), sized(1, TEXT_BYTES)),
    (
        rp.BatchOutputInitResponse(error=ERROR, max_in_flight=-1, batch_policy=rp.BatchPolicy(count=1)),
        sized(1, ERROR_BYTES) + varint(2, -1) + sized(3, varint(2, 1)),
    ),
    (
        rp.BatchPolicy(byte_size=-(2**63), count=-(2**63), check="c", period="1s"),
        varint(1, -(2**63)) + varint(2, -(2**63)) + sized(3, b"c") + sized(4, b"1s"),
    ),
    (rp.BatchOutputConnectRequest(), b""),
    (rp.BatchOutputConnectResponse(error=ERROR), sized(1, ERROR_BYTES)),
    (rp.BatchOutputSendRequest(batch=BATCH), sized(1, BATCH_BYTES)),
    (rp.BatchOutputSendResponse(error=ERROR), sized(1, ERROR_BYTES)),
    (rp.BatchOutputCloseRequest(), b""),
    (rp.BatchOutputCloseResponse(error=ERROR), sized(1, ERROR_BYTES)),
    # grpc.reflection.v1
    (rf.ServerReflectionRequest(host="h", file_by_filename="f"), sized(1, b"h") + sized(3, b"f")),
    (rf.ServerReflectionRequest(file_containing_symbol="s"), sized(4, b"s")),
    (
        rf.ServerReflectionRequest(file_containing_extension=rf.ExtensionRequest(extension_number=1)),
        sized(5, varint(2, 1)),
    ),
    (rf.ServerReflectionRequest(all_extension_numbers_of_type="t"), sized(6, b"t")),
    (rf.ServerReflectionRequest(list_services="*"), sized(7, b"*")),
    (rf.ExtensionRequest(containing_type="t", extension_number=-1), sized(1, b"t") + varint(2, -1)),
    (
        rf.ServerReflectionResponse(
            valid_host="h",
            original_request=rf.ServerReflectionRequest(list_services="*"),
            file_descriptor_response=rf.FileDescriptorResponse(file_descriptor_proto=[b"\xff", b""]),
        ),
        sized(1, b"h") + sized(2, sized(7, b"*")) + sized(4, sized(1, b"\xff"), sized(1)),
    ),
    (
        rf.ServerReflectionResponse(all_extension_numbers_response=rf.ExtensionNumberResponse(base_type_name="t")),
        sized(5, sized(1, b"t")),
    ),
    (rf.ServerReflectionResponse(list_services_response=rf.ListServiceResponse()), sized(6)),
    (
        rf.ServerReflectionResponse(error_response=rf.ErrorResponse(error_code=5)),
        sized(7, varint(1, 5)),
    ),
    (rf.FileDescriptorResponse(file_descriptor_proto=[b"\xff"]), sized(1, b"\xff")),
    (
        rf.ExtensionNumberResponse(base_type_name="t", extension_number=[1, 2]),
        sized(1, b"t") + sized(2, b"\x01\x02"),  # packed, as proto3 packs numbers
    ),
    (rf.ListServiceResponse(service=[rf.ServiceResponse(name="s")]), sized(1, sized(1, b"s"))),
    (rf.ServiceResponse(name="s"), sized(1, b"s")),
    (rf.ErrorResponse(error_code=-1, error_message="no"), varint(1, -1) + sized(2, b"no")),
]


def described(index: int) -> str:
    message, expected = GOLDEN[index]
    return f"{message.DESCRIPTOR.name}-{expected.hex()[:16]}"


@pytest.mark.parametrize(("message", "expected"), GOLDEN, ids=map(described, range(len(GOLDEN))))
def test_a_message_is_these_bytes_and_comes_back_from_them(message: Message, expected: bytes) -> None:
    assert message.SerializeToString() == expected
    assert type(message).FromString(expected) == message


def test_every_field_of_every_message_has_golden_bytes() -> None:
    shown: dict[str, set[str]] = {}
    for message, _ in GOLDEN:
        fields = shown.setdefault(message.DESCRIPTOR.full_name, set())
        fields.update(field.name for field, _ in message.ListFields())
    for kind in public_messages():
        descriptor = kind.DESCRIPTOR
        # Nested ones too, but for those that stand for the entries of a map.
        nested = [inner for inner in descriptor.nested_types if not inner.GetOptions().map_entry]
        for part in (descriptor, *nested):
            assert shown.get(part.full_name) == set(part.fields_by_name), part.full_name


def public_messages() -> list[type[Message]]:
    values: list[object] = [getattr(part, name) for part in (go, rp, rf, lazy) for name in part.__all__]
    return [value for value in values if isinstance(value, type) and issubclass(value, Message)]


def test_the_lazy_methods_go_by_the_same_paths_and_speak_the_same_wire() -> None:
    for ours, theirs in (
        (lazy.INPUT_READ_BATCH, rp.INPUT_READ_BATCH),
        (lazy.PROCESSOR_PROCESS_BATCH, rp.PROCESSOR_PROCESS_BATCH),
        (lazy.OUTPUT_SEND, rp.OUTPUT_SEND),
    ):
        assert ours.path == theirs.path
        for kind, twin in ((ours.request, theirs.request), (ours.response, theirs.response)):
            fields = {field.number: field.name.removesuffix("es") for field in kind.DESCRIPTOR.fields}
            # One that also serves as the other's twin has a field more.
            assert (
                fields.items()
                >= {field.number: field.name.removesuffix("es") for field in twin.DESCRIPTOR.fields}.items()
            )


def test_max_in_flight_is_an_int32() -> None:
    with pytest.raises(ValueError, match="out of range"):
        rp.BatchOutputInitResponse(max_in_flight=2**31)


def test_redpandas_methods_have_these_paths() -> None:
    services = {
        "Input": ["Init", "Connect", "ReadBatch", "Ack", "Close"],
        "Processor": ["Init", "ProcessBatch", "Close"],
        "Output": ["Init", "Connect", "Send", "Close"],
    }
    tables = (rp.BATCH_INPUT, rp.BATCH_PROCESSOR, rp.BATCH_OUTPUT)
    assert [method.path for table in tables for method in table.methods] == [
        f"/redpanda.runtime.v1alpha1.Batch{kind}Service/{name}" for kind, names in services.items() for name in names
    ]
    assert not any(m.client_streaming or m.server_streaming for table in tables for m in table.methods)
