from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class GetName(_message.Message):
    __slots__ = ()
    class Request(_message.Message):
        __slots__ = ()
        def __init__(self) -> None: ...
    class Response(_message.Message):
        __slots__ = ("name",)
        NAME_FIELD_NUMBER: _ClassVar[int]
        name: str
        def __init__(self, name: _Optional[str] = ...) -> None: ...
    def __init__(self) -> None: ...

class GetVersion(_message.Message):
    __slots__ = ()
    class Request(_message.Message):
        __slots__ = ()
        def __init__(self) -> None: ...
    class Response(_message.Message):
        __slots__ = ("version",)
        VERSION_FIELD_NUMBER: _ClassVar[int]
        version: str
        def __init__(self, version: _Optional[str] = ...) -> None: ...
    def __init__(self) -> None: ...

class GetVersionConstraint(_message.Message):
    __slots__ = ()
    class Request(_message.Message):
        __slots__ = ()
        def __init__(self) -> None: ...
    class Response(_message.Message):
        __slots__ = ("constraint",)
        CONSTRAINT_FIELD_NUMBER: _ClassVar[int]
        constraint: str
        def __init__(self, constraint: _Optional[str] = ...) -> None: ...
    def __init__(self) -> None: ...

class GetSDKVersion(_message.Message):
    __slots__ = ()
    class Request(_message.Message):
        __slots__ = ()
        def __init__(self) -> None: ...
    class Response(_message.Message):
        __slots__ = ("version",)
        VERSION_FIELD_NUMBER: _ClassVar[int]
        version: str
        def __init__(self, version: _Optional[str] = ...) -> None: ...
    def __init__(self) -> None: ...

class GetRuleNames(_message.Message):
    __slots__ = ()
    class Request(_message.Message):
        __slots__ = ()
        def __init__(self) -> None: ...
    class Response(_message.Message):
        __slots__ = ("names",)
        NAMES_FIELD_NUMBER: _ClassVar[int]
        names: _containers.RepeatedScalarFieldContainer[str]
        def __init__(self, names: _Optional[_Iterable[str]] = ...) -> None: ...
    def __init__(self) -> None: ...

class GetConfigSchema(_message.Message):
    __slots__ = ()
    class Request(_message.Message):
        __slots__ = ()
        def __init__(self) -> None: ...
    class Response(_message.Message):
        __slots__ = ("schema",)
        SCHEMA_FIELD_NUMBER: _ClassVar[int]
        schema: BodySchema
        def __init__(self, schema: _Optional[_Union[BodySchema, _Mapping[str, object]]] = ...) -> None: ...
    def __init__(self) -> None: ...

class ApplyGlobalConfig(_message.Message):
    __slots__ = ()
    class Config(_message.Message):
        __slots__ = ("rules", "disabled_by_default", "only", "fix")
        class RulesEntry(_message.Message):
            __slots__ = ("key", "value")
            KEY_FIELD_NUMBER: _ClassVar[int]
            VALUE_FIELD_NUMBER: _ClassVar[int]
            key: str
            value: ApplyGlobalConfig.RuleConfig
            def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[ApplyGlobalConfig.RuleConfig, _Mapping[str, object]]] = ...) -> None: ...
        RULES_FIELD_NUMBER: _ClassVar[int]
        DISABLED_BY_DEFAULT_FIELD_NUMBER: _ClassVar[int]
        ONLY_FIELD_NUMBER: _ClassVar[int]
        FIX_FIELD_NUMBER: _ClassVar[int]
        rules: _containers.MessageMap[str, ApplyGlobalConfig.RuleConfig]
        disabled_by_default: bool
        only: _containers.RepeatedScalarFieldContainer[str]
        fix: bool
        def __init__(self, rules: _Optional[_Mapping[str, ApplyGlobalConfig.RuleConfig]] = ..., disabled_by_default: _Optional[bool] = ..., only: _Optional[_Iterable[str]] = ..., fix: _Optional[bool] = ...) -> None: ...
    class RuleConfig(_message.Message):
        __slots__ = ("name", "enabled")
        NAME_FIELD_NUMBER: _ClassVar[int]
        ENABLED_FIELD_NUMBER: _ClassVar[int]
        name: str
        enabled: bool
        def __init__(self, name: _Optional[str] = ..., enabled: _Optional[bool] = ...) -> None: ...
    class Request(_message.Message):
        __slots__ = ("config",)
        CONFIG_FIELD_NUMBER: _ClassVar[int]
        config: ApplyGlobalConfig.Config
        def __init__(self, config: _Optional[_Union[ApplyGlobalConfig.Config, _Mapping[str, object]]] = ...) -> None: ...
    class Response(_message.Message):
        __slots__ = ()
        def __init__(self) -> None: ...
    def __init__(self) -> None: ...

class ApplyConfig(_message.Message):
    __slots__ = ()
    class Request(_message.Message):
        __slots__ = ("content",)
        CONTENT_FIELD_NUMBER: _ClassVar[int]
        content: BodyContent
        def __init__(self, content: _Optional[_Union[BodyContent, _Mapping[str, object]]] = ...) -> None: ...
    class Response(_message.Message):
        __slots__ = ()
        def __init__(self) -> None: ...
    def __init__(self) -> None: ...

class Check(_message.Message):
    __slots__ = ()
    class Request(_message.Message):
        __slots__ = ("runner",)
        RUNNER_FIELD_NUMBER: _ClassVar[int]
        runner: int
        def __init__(self, runner: _Optional[int] = ...) -> None: ...
    class Response(_message.Message):
        __slots__ = ()
        def __init__(self) -> None: ...
    def __init__(self) -> None: ...

class GetModulePath(_message.Message):
    __slots__ = ()
    class Request(_message.Message):
        __slots__ = ()
        def __init__(self) -> None: ...
    class Response(_message.Message):
        __slots__ = ("path",)
        PATH_FIELD_NUMBER: _ClassVar[int]
        path: _containers.RepeatedScalarFieldContainer[str]
        def __init__(self, path: _Optional[_Iterable[str]] = ...) -> None: ...
    def __init__(self) -> None: ...

class GetModuleContent(_message.Message):
    __slots__ = ()
    class Option(_message.Message):
        __slots__ = ("module_ctx", "expand_mode")
        MODULE_CTX_FIELD_NUMBER: _ClassVar[int]
        EXPAND_MODE_FIELD_NUMBER: _ClassVar[int]
        module_ctx: int
        expand_mode: int
        def __init__(self, module_ctx: _Optional[int] = ..., expand_mode: _Optional[int] = ...) -> None: ...
    class Request(_message.Message):
        __slots__ = ("schema", "option")
        SCHEMA_FIELD_NUMBER: _ClassVar[int]
        OPTION_FIELD_NUMBER: _ClassVar[int]
        schema: BodySchema
        option: GetModuleContent.Option
        def __init__(self, schema: _Optional[_Union[BodySchema, _Mapping[str, object]]] = ..., option: _Optional[_Union[GetModuleContent.Option, _Mapping[str, object]]] = ...) -> None: ...
    class Response(_message.Message):
        __slots__ = ("content",)
        CONTENT_FIELD_NUMBER: _ClassVar[int]
        content: BodyContent
        def __init__(self, content: _Optional[_Union[BodyContent, _Mapping[str, object]]] = ...) -> None: ...
    def __init__(self) -> None: ...

class GetFiles(_message.Message):
    __slots__ = ()
    class Request(_message.Message):
        __slots__ = ()
        def __init__(self) -> None: ...
    class Response(_message.Message):
        __slots__ = ("files",)
        class FilesEntry(_message.Message):
            __slots__ = ("key", "value")
            KEY_FIELD_NUMBER: _ClassVar[int]
            VALUE_FIELD_NUMBER: _ClassVar[int]
            key: str
            value: bytes
            def __init__(self, key: _Optional[str] = ..., value: _Optional[bytes] = ...) -> None: ...
        FILES_FIELD_NUMBER: _ClassVar[int]
        files: _containers.ScalarMap[str, bytes]
        def __init__(self, files: _Optional[_Mapping[str, bytes]] = ...) -> None: ...
    def __init__(self) -> None: ...

class EmitIssue(_message.Message):
    __slots__ = ()
    class Rule(_message.Message):
        __slots__ = ("name", "enabled", "severity", "link")
        NAME_FIELD_NUMBER: _ClassVar[int]
        ENABLED_FIELD_NUMBER: _ClassVar[int]
        SEVERITY_FIELD_NUMBER: _ClassVar[int]
        LINK_FIELD_NUMBER: _ClassVar[int]
        name: str
        enabled: bool
        severity: int
        link: str
        def __init__(self, name: _Optional[str] = ..., enabled: _Optional[bool] = ..., severity: _Optional[int] = ..., link: _Optional[str] = ...) -> None: ...
    class Request(_message.Message):
        __slots__ = ("rule", "message", "range", "fixable")
        RULE_FIELD_NUMBER: _ClassVar[int]
        MESSAGE_FIELD_NUMBER: _ClassVar[int]
        RANGE_FIELD_NUMBER: _ClassVar[int]
        FIXABLE_FIELD_NUMBER: _ClassVar[int]
        rule: EmitIssue.Rule
        message: str
        range: Range
        fixable: bool
        def __init__(self, rule: _Optional[_Union[EmitIssue.Rule, _Mapping[str, object]]] = ..., message: _Optional[str] = ..., range: _Optional[_Union[Range, _Mapping[str, object]]] = ..., fixable: _Optional[bool] = ...) -> None: ...
    class Response(_message.Message):
        __slots__ = ("applied",)
        APPLIED_FIELD_NUMBER: _ClassVar[int]
        applied: bool
        def __init__(self, applied: _Optional[bool] = ...) -> None: ...
    def __init__(self) -> None: ...

class BodySchema(_message.Message):
    __slots__ = ("blocks",)
    class Block(_message.Message):
        __slots__ = ("type", "label_names", "body")
        TYPE_FIELD_NUMBER: _ClassVar[int]
        LABEL_NAMES_FIELD_NUMBER: _ClassVar[int]
        BODY_FIELD_NUMBER: _ClassVar[int]
        type: str
        label_names: _containers.RepeatedScalarFieldContainer[str]
        body: BodySchema
        def __init__(self, type: _Optional[str] = ..., label_names: _Optional[_Iterable[str]] = ..., body: _Optional[_Union[BodySchema, _Mapping[str, object]]] = ...) -> None: ...
    BLOCKS_FIELD_NUMBER: _ClassVar[int]
    blocks: _containers.RepeatedCompositeFieldContainer[BodySchema.Block]
    def __init__(self, blocks: _Optional[_Iterable[_Union[BodySchema.Block, _Mapping[str, object]]]] = ...) -> None: ...

class BodyContent(_message.Message):
    __slots__ = ("blocks",)
    class Block(_message.Message):
        __slots__ = ("type", "labels", "body", "def_range")
        TYPE_FIELD_NUMBER: _ClassVar[int]
        LABELS_FIELD_NUMBER: _ClassVar[int]
        BODY_FIELD_NUMBER: _ClassVar[int]
        DEF_RANGE_FIELD_NUMBER: _ClassVar[int]
        type: str
        labels: _containers.RepeatedScalarFieldContainer[str]
        body: BodyContent
        def_range: Range
        def __init__(self, type: _Optional[str] = ..., labels: _Optional[_Iterable[str]] = ..., body: _Optional[_Union[BodyContent, _Mapping[str, object]]] = ..., def_range: _Optional[_Union[Range, _Mapping[str, object]]] = ...) -> None: ...
    BLOCKS_FIELD_NUMBER: _ClassVar[int]
    blocks: _containers.RepeatedCompositeFieldContainer[BodyContent.Block]
    def __init__(self, blocks: _Optional[_Iterable[_Union[BodyContent.Block, _Mapping[str, object]]]] = ...) -> None: ...

class Range(_message.Message):
    __slots__ = ("filename", "start", "end")
    class Pos(_message.Message):
        __slots__ = ("line", "column", "byte")
        LINE_FIELD_NUMBER: _ClassVar[int]
        COLUMN_FIELD_NUMBER: _ClassVar[int]
        BYTE_FIELD_NUMBER: _ClassVar[int]
        line: int
        column: int
        byte: int
        def __init__(self, line: _Optional[int] = ..., column: _Optional[int] = ..., byte: _Optional[int] = ...) -> None: ...
    FILENAME_FIELD_NUMBER: _ClassVar[int]
    START_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    filename: str
    start: Range.Pos
    end: Range.Pos
    def __init__(self, filename: _Optional[str] = ..., start: _Optional[_Union[Range.Pos, _Mapping[str, object]]] = ..., end: _Optional[_Union[Range.Pos, _Mapping[str, object]]] = ...) -> None: ...
