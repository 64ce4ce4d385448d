from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class RuleSeverity(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RULE_SEVERITY_UNSPECIFIED: _ClassVar[RuleSeverity]
    RULE_SEVERITY_NOTE: _ClassVar[RuleSeverity]
    RULE_SEVERITY_WARNING: _ClassVar[RuleSeverity]
    RULE_SEVERITY_ERROR: _ClassVar[RuleSeverity]
RULE_SEVERITY_UNSPECIFIED: RuleSeverity
RULE_SEVERITY_NOTE: RuleSeverity
RULE_SEVERITY_WARNING: RuleSeverity
RULE_SEVERITY_ERROR: RuleSeverity

class ListRulesRequest(_message.Message):
    __slots__ = ("verbose", "fix_mode")
    VERBOSE_FIELD_NUMBER: _ClassVar[int]
    FIX_MODE_FIELD_NUMBER: _ClassVar[int]
    verbose: bool
    fix_mode: bool
    def __init__(self, verbose: _Optional[bool] = ..., fix_mode: _Optional[bool] = ...) -> None: ...

class ListRulesResponse(_message.Message):
    __slots__ = ("rules",)
    class Rule(_message.Message):
        __slots__ = ("id", "purpose", "severity")
        ID_FIELD_NUMBER: _ClassVar[int]
        PURPOSE_FIELD_NUMBER: _ClassVar[int]
        SEVERITY_FIELD_NUMBER: _ClassVar[int]
        id: str
        purpose: str
        severity: RuleSeverity
        def __init__(self, id: _Optional[str] = ..., purpose: _Optional[str] = ..., severity: _Optional[_Union[RuleSeverity, str]] = ...) -> None: ...
    RULES_FIELD_NUMBER: _ClassVar[int]
    rules: _containers.RepeatedCompositeFieldContainer[ListRulesResponse.Rule]
    def __init__(self, rules: _Optional[_Iterable[_Union[ListRulesResponse.Rule, _Mapping[str, object]]]] = ...) -> None: ...

class ApplyRequest(_message.Message):
    __slots__ = ("id", "path")
    ID_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    id: str
    path: str
    def __init__(self, id: _Optional[str] = ..., path: _Optional[str] = ...) -> None: ...

class ApplyResponse(_message.Message):
    __slots__ = ("failures",)
    class Position(_message.Message):
        __slots__ = ("offset", "line", "column")
        OFFSET_FIELD_NUMBER: _ClassVar[int]
        LINE_FIELD_NUMBER: _ClassVar[int]
        COLUMN_FIELD_NUMBER: _ClassVar[int]
        offset: int
        line: int
        column: int
        def __init__(self, offset: _Optional[int] = ..., line: _Optional[int] = ..., column: _Optional[int] = ...) -> None: ...
    class Failure(_message.Message):
        __slots__ = ("message", "pos")
        MESSAGE_FIELD_NUMBER: _ClassVar[int]
        POS_FIELD_NUMBER: _ClassVar[int]
        message: str
        pos: ApplyResponse.Position
        def __init__(self, message: _Optional[str] = ..., pos: _Optional[_Union[ApplyResponse.Position, _Mapping[str, object]]] = ...) -> None: ...
    FAILURES_FIELD_NUMBER: _ClassVar[int]
    failures: _containers.RepeatedCompositeFieldContainer[ApplyResponse.Failure]
    def __init__(self, failures: _Optional[_Iterable[_Union[ApplyResponse.Failure, _Mapping[str, object]]]] = ...) -> None: ...
