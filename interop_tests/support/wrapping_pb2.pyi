from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class TypeRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class TypeResponse(_message.Message):
    __slots__ = ("type",)
    TYPE_FIELD_NUMBER: _ClassVar[int]
    type: str
    def __init__(self, type: _Optional[str] = ...) -> None: ...

class KeyIdRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class KeyIdResponse(_message.Message):
    __slots__ = ("key_id",)
    KEY_ID_FIELD_NUMBER: _ClassVar[int]
    key_id: str
    def __init__(self, key_id: _Optional[str] = ...) -> None: ...

class SetConfigRequest(_message.Message):
    __slots__ = ("options",)
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    options: Options
    def __init__(self, options: _Optional[_Union[Options, _Mapping[str, object]]] = ...) -> None: ...

class SetConfigResponse(_message.Message):
    __slots__ = ("wrapper_config",)
    WRAPPER_CONFIG_FIELD_NUMBER: _ClassVar[int]
    wrapper_config: WrapperConfig
    def __init__(self, wrapper_config: _Optional[_Union[WrapperConfig, _Mapping[str, object]]] = ...) -> None: ...

class EncryptRequest(_message.Message):
    __slots__ = ("plaintext", "options")
    PLAINTEXT_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    plaintext: bytes
    options: Options
    def __init__(self, plaintext: _Optional[bytes] = ..., options: _Optional[_Union[Options, _Mapping[str, object]]] = ...) -> None: ...

class EncryptResponse(_message.Message):
    __slots__ = ("ciphertext",)
    CIPHERTEXT_FIELD_NUMBER: _ClassVar[int]
    ciphertext: BlobInfo
    def __init__(self, ciphertext: _Optional[_Union[BlobInfo, _Mapping[str, object]]] = ...) -> None: ...

class DecryptRequest(_message.Message):
    __slots__ = ("ciphertext", "options")
    CIPHERTEXT_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    ciphertext: BlobInfo
    options: Options
    def __init__(self, ciphertext: _Optional[_Union[BlobInfo, _Mapping[str, object]]] = ..., options: _Optional[_Union[Options, _Mapping[str, object]]] = ...) -> None: ...

class DecryptResponse(_message.Message):
    __slots__ = ("plaintext",)
    PLAINTEXT_FIELD_NUMBER: _ClassVar[int]
    plaintext: bytes
    def __init__(self, plaintext: _Optional[bytes] = ...) -> None: ...

class WrapperConfig(_message.Message):
    __slots__ = ("metadata",)
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    METADATA_FIELD_NUMBER: _ClassVar[int]
    metadata: _containers.ScalarMap[str, str]
    def __init__(self, metadata: _Optional[_Mapping[str, str]] = ...) -> None: ...

class BlobInfo(_message.Message):
    __slots__ = ("ciphertext", "key_info")
    CIPHERTEXT_FIELD_NUMBER: _ClassVar[int]
    KEY_INFO_FIELD_NUMBER: _ClassVar[int]
    ciphertext: bytes
    key_info: KeyInfo
    def __init__(self, ciphertext: _Optional[bytes] = ..., key_info: _Optional[_Union[KeyInfo, _Mapping[str, object]]] = ...) -> None: ...

class KeyInfo(_message.Message):
    __slots__ = ("key_id",)
    KEY_ID_FIELD_NUMBER: _ClassVar[int]
    key_id: str
    def __init__(self, key_id: _Optional[str] = ...) -> None: ...

class Options(_message.Message):
    __slots__ = ("with_key_id", "with_aad", "with_config_map")
    class WithConfigMapEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    WITH_KEY_ID_FIELD_NUMBER: _ClassVar[int]
    WITH_AAD_FIELD_NUMBER: _ClassVar[int]
    WITH_CONFIG_MAP_FIELD_NUMBER: _ClassVar[int]
    with_key_id: str
    with_aad: bytes
    with_config_map: _containers.ScalarMap[str, str]
    def __init__(self, with_key_id: _Optional[str] = ..., with_aad: _Optional[bytes] = ..., with_config_map: _Optional[_Mapping[str, str]] = ...) -> None: ...
