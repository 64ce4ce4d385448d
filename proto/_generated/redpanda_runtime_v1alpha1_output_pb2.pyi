# pyright: reportUnusedImport=false
from . import redpanda_runtime_v1alpha1_message_pb2 as _message_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class BatchPolicy(_message.Message):
    __slots__ = ("byte_size", "count", "check", "period")
    BYTE_SIZE_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    CHECK_FIELD_NUMBER: _ClassVar[int]
    PERIOD_FIELD_NUMBER: _ClassVar[int]
    byte_size: int
    count: int
    check: str
    period: str
    def __init__(self, byte_size: _Optional[int] = ..., count: _Optional[int] = ..., check: _Optional[str] = ..., period: _Optional[str] = ...) -> None: ...

class BatchOutputInitRequest(_message.Message):
    __slots__ = ("config",)
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    config: _message_pb2.Value
    def __init__(self, config: _Optional[_Union[_message_pb2.Value, _Mapping[str, object]]] = ...) -> None: ...

class BatchOutputInitResponse(_message.Message):
    __slots__ = ("error", "max_in_flight", "batch_policy")
    ERROR_FIELD_NUMBER: _ClassVar[int]
    MAX_IN_FLIGHT_FIELD_NUMBER: _ClassVar[int]
    BATCH_POLICY_FIELD_NUMBER: _ClassVar[int]
    error: _message_pb2.Error
    max_in_flight: int
    batch_policy: BatchPolicy
    def __init__(self, error: _Optional[_Union[_message_pb2.Error, _Mapping[str, object]]] = ..., max_in_flight: _Optional[int] = ..., batch_policy: _Optional[_Union[BatchPolicy, _Mapping[str, object]]] = ...) -> None: ...

class BatchOutputConnectRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class BatchOutputConnectResponse(_message.Message):
    __slots__ = ("error",)
    ERROR_FIELD_NUMBER: _ClassVar[int]
    error: _message_pb2.Error
    def __init__(self, error: _Optional[_Union[_message_pb2.Error, _Mapping[str, object]]] = ...) -> None: ...

class BatchOutputSendRequest(_message.Message):
    __slots__ = ("batch",)
    BATCH_FIELD_NUMBER: _ClassVar[int]
    batch: _message_pb2.MessageBatch
    def __init__(self, batch: _Optional[_Union[_message_pb2.MessageBatch, _Mapping[str, object]]] = ...) -> None: ...

class BatchOutputSendResponse(_message.Message):
    __slots__ = ("error",)
    ERROR_FIELD_NUMBER: _ClassVar[int]
    error: _message_pb2.Error
    def __init__(self, error: _Optional[_Union[_message_pb2.Error, _Mapping[str, object]]] = ...) -> None: ...

class BatchOutputCloseRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class BatchOutputCloseResponse(_message.Message):
    __slots__ = ("error",)
    ERROR_FIELD_NUMBER: _ClassVar[int]
    error: _message_pb2.Error
    def __init__(self, error: _Optional[_Union[_message_pb2.Error, _Mapping[str, object]]] = ...) -> None: ...
