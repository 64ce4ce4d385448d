# pyright: reportUnusedImport=false
from . import redpanda_runtime_v1alpha1_message_pb2 as _message_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class BatchInputInitRequest(_message.Message):
    __slots__ = ("config",)
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    config: _message_pb2.Value
    def __init__(self, config: _Optional[_Union[_message_pb2.Value, _Mapping[str, object]]] = ...) -> None: ...

class BatchInputInitResponse(_message.Message):
    __slots__ = ("error", "auto_replay_nacks")
    ERROR_FIELD_NUMBER: _ClassVar[int]
    AUTO_REPLAY_NACKS_FIELD_NUMBER: _ClassVar[int]
    error: _message_pb2.Error
    auto_replay_nacks: bool
    def __init__(self, error: _Optional[_Union[_message_pb2.Error, _Mapping[str, object]]] = ..., auto_replay_nacks: _Optional[bool] = ...) -> None: ...

class BatchInputConnectRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class BatchInputConnectResponse(_message.Message):
    __slots__ = ("error",)
    ERROR_FIELD_NUMBER: _ClassVar[int]
    error: _message_pb2.Error
    def __init__(self, error: _Optional[_Union[_message_pb2.Error, _Mapping[str, object]]] = ...) -> None: ...

class BatchInputReadRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class BatchInputReadResponse(_message.Message):
    __slots__ = ("batch_id", "batch", "error")
    BATCH_ID_FIELD_NUMBER: _ClassVar[int]
    BATCH_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    batch_id: int
    batch: _message_pb2.MessageBatch
    error: _message_pb2.Error
    def __init__(self, batch_id: _Optional[int] = ..., batch: _Optional[_Union[_message_pb2.MessageBatch, _Mapping[str, object]]] = ..., error: _Optional[_Union[_message_pb2.Error, _Mapping[str, object]]] = ...) -> None: ...

class BatchInputAckRequest(_message.Message):
    __slots__ = ("batch_id", "error")
    BATCH_ID_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    batch_id: int
    error: _message_pb2.Error
    def __init__(self, batch_id: _Optional[int] = ..., error: _Optional[_Union[_message_pb2.Error, _Mapping[str, object]]] = ...) -> None: ...

class BatchInputAckResponse(_message.Message):
    __slots__ = ("error",)
    ERROR_FIELD_NUMBER: _ClassVar[int]
    error: _message_pb2.Error
    def __init__(self, error: _Optional[_Union[_message_pb2.Error, _Mapping[str, object]]] = ...) -> None: ...

class BatchInputCloseRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class BatchInputCloseResponse(_message.Message):
    __slots__ = ("error",)
    ERROR_FIELD_NUMBER: _ClassVar[int]
    error: _message_pb2.Error
    def __init__(self, error: _Optional[_Union[_message_pb2.Error, _Mapping[str, object]]] = ...) -> None: ...
