# pyright: reportUnusedImport=false
import builtins as _builtins
from . import redpanda_runtime_v1alpha1_message_pb2 as _message_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Message(_message.Message):
    __slots__ = ("bytes", "structured", "metadata", "error")
    BYTES_FIELD_NUMBER: _ClassVar[int]
    STRUCTURED_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    bytes: _builtins.bytes
    structured: _builtins.bytes
    metadata: _builtins.bytes
    error: _builtins.bytes
    def __init__(self, bytes: _Optional[_builtins.bytes] = ..., structured: _Optional[_builtins.bytes] = ..., metadata: _Optional[_builtins.bytes] = ..., error: _Optional[_builtins.bytes] = ...) -> None: ...

class MessageBatch(_message.Message):
    __slots__ = ("messages",)
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    messages: _containers.RepeatedCompositeFieldContainer[Message]
    def __init__(self, messages: _Optional[_Iterable[_Union[Message, _Mapping[str, object]]]] = ...) -> None: ...

class Batches(_message.Message):
    __slots__ = ("batches", "error")
    BATCHES_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    batches: _containers.RepeatedCompositeFieldContainer[MessageBatch]
    error: _message_pb2.Error
    def __init__(self, batches: _Optional[_Iterable[_Union[MessageBatch, _Mapping[str, object]]]] = ..., error: _Optional[_Union[_message_pb2.Error, _Mapping[str, object]]] = ...) -> None: ...

class BatchRead(_message.Message):
    __slots__ = ("batch_id", "batch", "error")
    BATCH_ID_FIELD_NUMBER: _ClassVar[int]
    BATCH_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    batch_id: int
    batch: MessageBatch
    error: _message_pb2.Error
    def __init__(self, batch_id: _Optional[int] = ..., batch: _Optional[_Union[MessageBatch, _Mapping[str, object]]] = ..., error: _Optional[_Union[_message_pb2.Error, _Mapping[str, object]]] = ...) -> None: ...
