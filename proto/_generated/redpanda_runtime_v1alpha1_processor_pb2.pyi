# pyright: reportUnusedImport=false
from . import redpanda_runtime_v1alpha1_message_pb2 as _message_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class BatchProcessorInitRequest(_message.Message):
    __slots__ = ("config",)
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    config: _message_pb2.Value
    def __init__(self, config: _Optional[_Union[_message_pb2.Value, _Mapping[str, object]]] = ...) -> None: ...

class BatchProcessorInitResponse(_message.Message):
    __slots__ = ("error",)
    ERROR_FIELD_NUMBER: _ClassVar[int]
    error: _message_pb2.Error
    def __init__(self, error: _Optional[_Union[_message_pb2.Error, _Mapping[str, object]]] = ...) -> None: ...

class BatchProcessorProcessBatchRequest(_message.Message):
    __slots__ = ("batch",)
    BATCH_FIELD_NUMBER: _ClassVar[int]
    batch: _message_pb2.MessageBatch
    def __init__(self, batch: _Optional[_Union[_message_pb2.MessageBatch, _Mapping[str, object]]] = ...) -> None: ...

class BatchProcessorProcessBatchResponse(_message.Message):
    __slots__ = ("batches", "error")
    BATCHES_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    batches: _containers.RepeatedCompositeFieldContainer[_message_pb2.MessageBatch]
    error: _message_pb2.Error
    def __init__(self, batches: _Optional[_Iterable[_Union[_message_pb2.MessageBatch, _Mapping[str, object]]]] = ..., error: _Optional[_Union[_message_pb2.Error, _Mapping[str, object]]] = ...) -> None: ...

class BatchProcessorCloseRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class BatchProcessorCloseResponse(_message.Message):
    __slots__ = ("error",)
    ERROR_FIELD_NUMBER: _ClassVar[int]
    error: _message_pb2.Error
    def __init__(self, error: _Optional[_Union[_message_pb2.Error, _Mapping[str, object]]] = ...) -> None: ...
