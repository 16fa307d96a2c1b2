import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from engine.protocol import tasks_pb2 as _tasks_pb2
from temporalio.api.enums.v1 import common_pb2 as _common_pb2
from temporalio.api.enums.v1 import namespace_pb2 as _namespace_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class PutNamespaceRequest(_message.Message):
    __slots__ = ("id", "name", "description", "workflow_execution_retention", "search_attributes", "state")
    class SearchAttributesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: _common_pb2.IndexedValueType.ValueType
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[_common_pb2.IndexedValueType.ValueType, str]] = ...) -> None: ...
    ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    WORKFLOW_EXECUTION_RETENTION_FIELD_NUMBER: _ClassVar[int]
    SEARCH_ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    id: str
    name: str
    description: str
    workflow_execution_retention: _duration_pb2.Duration
    search_attributes: _containers.ScalarMap[str, _common_pb2.IndexedValueType.ValueType]
    state: _namespace_pb2.NamespaceState.ValueType
    def __init__(self, id: _Optional[str] = ..., name: _Optional[str] = ..., description: _Optional[str] = ..., workflow_execution_retention: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., search_attributes: _Optional[_Mapping[str, _common_pb2.IndexedValueType.ValueType]] = ..., state: _Optional[_Union[_namespace_pb2.NamespaceState.ValueType, str]] = ...) -> None: ...

class PutNamespaceResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class DeleteNamespaceRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class DeleteNamespaceResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ReadFactsRequest(_message.Message):
    __slots__ = ("after_position", "limit")
    AFTER_POSITION_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    after_position: int
    limit: int
    def __init__(self, after_position: _Optional[int] = ..., limit: _Optional[int] = ...) -> None: ...

class ReadFactsResponse(_message.Message):
    __slots__ = ("rows",)
    ROWS_FIELD_NUMBER: _ClassVar[int]
    rows: _containers.RepeatedCompositeFieldContainer[FactRow]
    def __init__(self, rows: _Optional[_Iterable[_Union[FactRow, _Mapping]]] = ...) -> None: ...

class FactRow(_message.Message):
    __slots__ = ("position", "shard_id", "sequence", "blob")
    POSITION_FIELD_NUMBER: _ClassVar[int]
    SHARD_ID_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    BLOB_FIELD_NUMBER: _ClassVar[int]
    position: int
    shard_id: int
    sequence: int
    blob: bytes
    def __init__(self, position: _Optional[int] = ..., shard_id: _Optional[int] = ..., sequence: _Optional[int] = ..., blob: _Optional[bytes] = ...) -> None: ...

class DeleteFactsRequest(_message.Message):
    __slots__ = ("up_to_position",)
    UP_TO_POSITION_FIELD_NUMBER: _ClassVar[int]
    up_to_position: int
    def __init__(self, up_to_position: _Optional[int] = ...) -> None: ...

class DeleteFactsResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ReadMeasuresRequest(_message.Message):
    __slots__ = ("namespace_ids",)
    NAMESPACE_IDS_FIELD_NUMBER: _ClassVar[int]
    namespace_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, namespace_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class ReadMeasuresResponse(_message.Message):
    __slots__ = ("measures",)
    MEASURES_FIELD_NUMBER: _ClassVar[int]
    measures: bytes
    def __init__(self, measures: _Optional[bytes] = ...) -> None: ...

class CompleteTaskRequest(_message.Message):
    __slots__ = ("completion", "sticky_task_queue")
    COMPLETION_FIELD_NUMBER: _ClassVar[int]
    STICKY_TASK_QUEUE_FIELD_NUMBER: _ClassVar[int]
    completion: _tasks_pb2.TaskCompletion
    sticky_task_queue: str
    def __init__(self, completion: _Optional[_Union[_tasks_pb2.TaskCompletion, _Mapping]] = ..., sticky_task_queue: _Optional[str] = ...) -> None: ...

class CompleteTaskResponse(_message.Message):
    __slots__ = ("result",)
    RESULT_FIELD_NUMBER: _ClassVar[int]
    result: _tasks_pb2.TaskCompletionResult
    def __init__(self, result: _Optional[_Union[_tasks_pb2.TaskCompletionResult, _Mapping]] = ...) -> None: ...
