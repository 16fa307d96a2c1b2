import datetime

from google.api import annotations_pb2 as _annotations_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.rpc import status_pb2 as _status_pb2
from temporalio.api.common.v1 import message_pb2 as _message_pb2
from temporalio.api.deployment.v1 import message_pb2 as _message_pb2_1
from temporalio.api.enums.v1 import task_queue_pb2 as _task_queue_pb2
from temporalio.api.taskqueue.v1 import message_pb2 as _message_pb2_1_1
from temporalio.api.workflowservice.v1 import request_response_pb2 as _request_response_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class PollTasksRequest(_message.Message):
    __slots__ = ("namespace", "task_queue", "identity", "workflow_task_count_max", "activity_task_count_max", "worker_instance_key", "deployment_options", "task_queue_metadata")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    TASK_QUEUE_FIELD_NUMBER: _ClassVar[int]
    IDENTITY_FIELD_NUMBER: _ClassVar[int]
    WORKFLOW_TASK_COUNT_MAX_FIELD_NUMBER: _ClassVar[int]
    ACTIVITY_TASK_COUNT_MAX_FIELD_NUMBER: _ClassVar[int]
    WORKER_INSTANCE_KEY_FIELD_NUMBER: _ClassVar[int]
    DEPLOYMENT_OPTIONS_FIELD_NUMBER: _ClassVar[int]
    TASK_QUEUE_METADATA_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    task_queue: _message_pb2_1_1.TaskQueue
    identity: str
    workflow_task_count_max: int
    activity_task_count_max: int
    worker_instance_key: str
    deployment_options: _message_pb2_1.WorkerDeploymentOptions
    task_queue_metadata: _message_pb2_1_1.TaskQueueMetadata
    def __init__(self, namespace: _Optional[str] = ..., task_queue: _Optional[_Union[_message_pb2_1_1.TaskQueue, _Mapping]] = ..., identity: _Optional[str] = ..., workflow_task_count_max: _Optional[int] = ..., activity_task_count_max: _Optional[int] = ..., worker_instance_key: _Optional[str] = ..., deployment_options: _Optional[_Union[_message_pb2_1.WorkerDeploymentOptions, _Mapping]] = ..., task_queue_metadata: _Optional[_Union[_message_pb2_1_1.TaskQueueMetadata, _Mapping]] = ...) -> None: ...

class PollTasksResponse(_message.Message):
    __slots__ = ("workflow_tasks", "activity_tasks")
    WORKFLOW_TASKS_FIELD_NUMBER: _ClassVar[int]
    ACTIVITY_TASKS_FIELD_NUMBER: _ClassVar[int]
    workflow_tasks: _containers.RepeatedCompositeFieldContainer[_request_response_pb2.PollWorkflowTaskQueueResponse]
    activity_tasks: _containers.RepeatedCompositeFieldContainer[_request_response_pb2.PollActivityTaskQueueResponse]
    def __init__(self, workflow_tasks: _Optional[_Iterable[_Union[_request_response_pb2.PollWorkflowTaskQueueResponse, _Mapping]]] = ..., activity_tasks: _Optional[_Iterable[_Union[_request_response_pb2.PollActivityTaskQueueResponse, _Mapping]]] = ...) -> None: ...

class CompleteTasksRequest(_message.Message):
    __slots__ = ("namespace", "completions", "sticky_task_queue")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    COMPLETIONS_FIELD_NUMBER: _ClassVar[int]
    STICKY_TASK_QUEUE_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    completions: _containers.RepeatedCompositeFieldContainer[TaskCompletion]
    sticky_task_queue: str
    def __init__(self, namespace: _Optional[str] = ..., completions: _Optional[_Iterable[_Union[TaskCompletion, _Mapping]]] = ..., sticky_task_queue: _Optional[str] = ...) -> None: ...

class TaskCompletion(_message.Message):
    __slots__ = ("workflow_task_completed", "workflow_task_failed", "query_task_completed", "activity_task_completed", "activity_task_failed", "activity_task_canceled")
    WORKFLOW_TASK_COMPLETED_FIELD_NUMBER: _ClassVar[int]
    WORKFLOW_TASK_FAILED_FIELD_NUMBER: _ClassVar[int]
    QUERY_TASK_COMPLETED_FIELD_NUMBER: _ClassVar[int]
    ACTIVITY_TASK_COMPLETED_FIELD_NUMBER: _ClassVar[int]
    ACTIVITY_TASK_FAILED_FIELD_NUMBER: _ClassVar[int]
    ACTIVITY_TASK_CANCELED_FIELD_NUMBER: _ClassVar[int]
    workflow_task_completed: _request_response_pb2.RespondWorkflowTaskCompletedRequest
    workflow_task_failed: _request_response_pb2.RespondWorkflowTaskFailedRequest
    query_task_completed: _request_response_pb2.RespondQueryTaskCompletedRequest
    activity_task_completed: _request_response_pb2.RespondActivityTaskCompletedRequest
    activity_task_failed: _request_response_pb2.RespondActivityTaskFailedRequest
    activity_task_canceled: _request_response_pb2.RespondActivityTaskCanceledRequest
    def __init__(self, workflow_task_completed: _Optional[_Union[_request_response_pb2.RespondWorkflowTaskCompletedRequest, _Mapping]] = ..., workflow_task_failed: _Optional[_Union[_request_response_pb2.RespondWorkflowTaskFailedRequest, _Mapping]] = ..., query_task_completed: _Optional[_Union[_request_response_pb2.RespondQueryTaskCompletedRequest, _Mapping]] = ..., activity_task_completed: _Optional[_Union[_request_response_pb2.RespondActivityTaskCompletedRequest, _Mapping]] = ..., activity_task_failed: _Optional[_Union[_request_response_pb2.RespondActivityTaskFailedRequest, _Mapping]] = ..., activity_task_canceled: _Optional[_Union[_request_response_pb2.RespondActivityTaskCanceledRequest, _Mapping]] = ...) -> None: ...

class CompleteTasksResponse(_message.Message):
    __slots__ = ("results",)
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[TaskCompletionResult]
    def __init__(self, results: _Optional[_Iterable[_Union[TaskCompletionResult, _Mapping]]] = ...) -> None: ...

class TaskCompletionResult(_message.Message):
    __slots__ = ("error", "workflow_task_completed", "workflow_task_failed", "query_task_completed", "activity_task_completed", "activity_task_failed", "activity_task_canceled", "workflow_task")
    ERROR_FIELD_NUMBER: _ClassVar[int]
    WORKFLOW_TASK_COMPLETED_FIELD_NUMBER: _ClassVar[int]
    WORKFLOW_TASK_FAILED_FIELD_NUMBER: _ClassVar[int]
    QUERY_TASK_COMPLETED_FIELD_NUMBER: _ClassVar[int]
    ACTIVITY_TASK_COMPLETED_FIELD_NUMBER: _ClassVar[int]
    ACTIVITY_TASK_FAILED_FIELD_NUMBER: _ClassVar[int]
    ACTIVITY_TASK_CANCELED_FIELD_NUMBER: _ClassVar[int]
    WORKFLOW_TASK_FIELD_NUMBER: _ClassVar[int]
    error: _status_pb2.Status
    workflow_task_completed: _request_response_pb2.RespondWorkflowTaskCompletedResponse
    workflow_task_failed: _request_response_pb2.RespondWorkflowTaskFailedResponse
    query_task_completed: _request_response_pb2.RespondQueryTaskCompletedResponse
    activity_task_completed: _request_response_pb2.RespondActivityTaskCompletedResponse
    activity_task_failed: _request_response_pb2.RespondActivityTaskFailedResponse
    activity_task_canceled: _request_response_pb2.RespondActivityTaskCanceledResponse
    workflow_task: _request_response_pb2.PollWorkflowTaskQueueResponse
    def __init__(self, error: _Optional[_Union[_status_pb2.Status, _Mapping]] = ..., workflow_task_completed: _Optional[_Union[_request_response_pb2.RespondWorkflowTaskCompletedResponse, _Mapping]] = ..., workflow_task_failed: _Optional[_Union[_request_response_pb2.RespondWorkflowTaskFailedResponse, _Mapping]] = ..., query_task_completed: _Optional[_Union[_request_response_pb2.RespondQueryTaskCompletedResponse, _Mapping]] = ..., activity_task_completed: _Optional[_Union[_request_response_pb2.RespondActivityTaskCompletedResponse, _Mapping]] = ..., activity_task_failed: _Optional[_Union[_request_response_pb2.RespondActivityTaskFailedResponse, _Mapping]] = ..., activity_task_canceled: _Optional[_Union[_request_response_pb2.RespondActivityTaskCanceledResponse, _Mapping]] = ..., workflow_task: _Optional[_Union[_request_response_pb2.PollWorkflowTaskQueueResponse, _Mapping]] = ...) -> None: ...

class ListTaskQueuesRequest(_message.Message):
    __slots__ = ("namespace", "page_size", "next_page_token")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    page_size: int
    next_page_token: bytes
    def __init__(self, namespace: _Optional[str] = ..., page_size: _Optional[int] = ..., next_page_token: _Optional[bytes] = ...) -> None: ...

class ListTaskQueuesResponse(_message.Message):
    __slots__ = ("task_queues", "next_page_token")
    TASK_QUEUES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    task_queues: _containers.RepeatedCompositeFieldContainer[TaskQueueSummary]
    next_page_token: bytes
    def __init__(self, task_queues: _Optional[_Iterable[_Union[TaskQueueSummary, _Mapping]]] = ..., next_page_token: _Optional[bytes] = ...) -> None: ...

class TaskQueueSummary(_message.Message):
    __slots__ = ("name", "type", "poller_count", "last_polled_at", "backlog_count_hint")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    POLLER_COUNT_FIELD_NUMBER: _ClassVar[int]
    LAST_POLLED_AT_FIELD_NUMBER: _ClassVar[int]
    BACKLOG_COUNT_HINT_FIELD_NUMBER: _ClassVar[int]
    name: str
    type: _task_queue_pb2.TaskQueueType.ValueType
    poller_count: int
    last_polled_at: _timestamp_pb2.Timestamp
    backlog_count_hint: int
    def __init__(self, name: _Optional[str] = ..., type: _Optional[_Union[_task_queue_pb2.TaskQueueType.ValueType, str]] = ..., poller_count: _Optional[int] = ..., last_polled_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., backlog_count_hint: _Optional[int] = ...) -> None: ...

class ListRunSummariesRequest(_message.Message):
    __slots__ = ("namespace", "page_size", "next_page_token")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    page_size: int
    next_page_token: bytes
    def __init__(self, namespace: _Optional[str] = ..., page_size: _Optional[int] = ..., next_page_token: _Optional[bytes] = ...) -> None: ...

class ListRunSummariesResponse(_message.Message):
    __slots__ = ("summaries", "next_page_token")
    SUMMARIES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    summaries: _containers.RepeatedCompositeFieldContainer[RunSummary]
    next_page_token: bytes
    def __init__(self, summaries: _Optional[_Iterable[_Union[RunSummary, _Mapping]]] = ..., next_page_token: _Optional[bytes] = ...) -> None: ...

class RunSummary(_message.Message):
    __slots__ = ("execution", "workflow_type", "task_queue", "counters")
    EXECUTION_FIELD_NUMBER: _ClassVar[int]
    WORKFLOW_TYPE_FIELD_NUMBER: _ClassVar[int]
    TASK_QUEUE_FIELD_NUMBER: _ClassVar[int]
    COUNTERS_FIELD_NUMBER: _ClassVar[int]
    execution: _message_pb2.WorkflowExecution
    workflow_type: str
    task_queue: str
    counters: _containers.RepeatedCompositeFieldContainer[RunCounter]
    def __init__(self, execution: _Optional[_Union[_message_pb2.WorkflowExecution, _Mapping]] = ..., workflow_type: _Optional[str] = ..., task_queue: _Optional[str] = ..., counters: _Optional[_Iterable[_Union[RunCounter, _Mapping]]] = ...) -> None: ...

class RunCounter(_message.Message):
    __slots__ = ("kind", "hour", "count")
    KIND_FIELD_NUMBER: _ClassVar[int]
    HOUR_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    kind: str
    hour: int
    count: int
    def __init__(self, kind: _Optional[str] = ..., hour: _Optional[int] = ..., count: _Optional[int] = ...) -> None: ...
