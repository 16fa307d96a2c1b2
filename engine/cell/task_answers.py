"""The answers of polls: a task with all that its worker needs, as serialized messages.

Histories are kept and sent as the bytes they were stored as: an answer is its header, serialized,
and the history field behind it.
"""

from __future__ import annotations

from typing import NamedTuple

from temporalio.api.common.v1 import WorkflowExecution, WorkflowType
from temporalio.api.history.v1 import ActivityTaskScheduledEventAttributes
from temporalio.api.query.v1 import WorkflowQuery
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import (
    PollActivityTaskQueueResponse,
    PollWorkflowTaskQueueResponse,
)

from engine.cell.history_reader import HistoryReader
from engine.cell.loaded_run import LoadedRun
from engine.history import workflow_task
from engine.history.protobuf import (
    event_size_prefixed,
    length_prefixed,
    message_tag,
    set_timestamp,
    to_duration,
)
from engine.history.state import Activity, RunState
from engine.history.workflow_task import NORMAL
from engine.limits import HISTORY_PAGE_BYTES_MAX
from engine.tokens import (
    ActivityTaskToken,
    HistoryPageToken,
    QueryTaskToken,
    Tokens,
    WorkflowTaskToken,
)

HISTORY_TAG = message_tag(PollWorkflowTaskQueueResponse, "history")


class HistoryAnswer(NamedTuple):
    """An answer whose history is yet to be read, from `first_event_id` to `last_event_id`.

    `virtual` are the events of a transient task, which no history holds.
    """

    run: LoadedRun
    header: PollWorkflowTaskQueueResponse
    first_event_id: int
    last_event_id: int
    virtual: bytes


class TaskAnswers:
    """Builds them. What a task says is fixed when it starts; its history is read afterwards."""

    def __init__(self, tokens: Tokens, history: HistoryReader) -> None:
        self._tokens = tokens
        self._history = history

    def workflow_task(self, run: LoadedRun, *, sticky: bool) -> HistoryAnswer:
        """The workflow task that is started now."""
        state, task = run.state, run.state.task
        token = WorkflowTaskToken(
            *state.key,
            task.scheduled_event_id,
            task.started_event_id,
            task.attempt,
            task.started_at_ns,
        )
        header = self._header(state)
        header.task_token = self._tokens.seal(token)
        header.started_event_id = task.started_event_id
        header.attempt = task.attempt
        set_timestamp(header.scheduled_time, task.scheduled_at_ns)
        set_timestamp(header.started_time, task.started_at_ns)
        for query_id, query in run.queries.to_send().items():
            header.queries[query_id].CopyFrom(query)
        virtual = b"".join(map(event_size_prefixed, workflow_task.virtual_events(state)))
        return self._with_history(run, header, virtual, sticky=sticky)

    def query_task(
        self, run: LoadedRun, query_id: str, query: WorkflowQuery, *, sticky: bool
    ) -> HistoryAnswer:
        """A query that travels alone."""
        header = self._header(run.state)
        header.task_token = self._tokens.seal(QueryTaskToken(*run.key, query_id))
        header.attempt = 1
        header.query.CopyFrom(query)
        return self._with_history(run, header, b"", sticky=sticky)

    def workflow_bytes_now(self, answer: HistoryAnswer) -> bytes | None:
        """The whole answer where memory holds its history, else None."""
        history = self._history.cached(answer.run, answer.first_event_id, answer.last_event_id)
        if history is None or len(history) > HISTORY_PAGE_BYTES_MAX:
            return None
        return _join(answer.header, history + answer.virtual)

    async def workflow_bytes(self, answer: HistoryAnswer) -> bytes:
        """The whole answer, or its first page with a token for the next."""
        history, reached = await self._history.page(
            answer.run, answer.first_event_id, answer.last_event_id, HISTORY_PAGE_BYTES_MAX
        )
        if reached == answer.last_event_id:
            return _join(answer.header, history + answer.virtual)
        answer.header.next_page_token = self._tokens.seal(
            HistoryPageToken(*answer.run.key, reached + 1)
        )
        return _join(answer.header, history)

    def activity_task(
        self,
        run: LoadedRun,
        activity: Activity,
        scheduled: ActivityTaskScheduledEventAttributes,
        namespace: str,
    ) -> bytes:
        """The attempt of the activity that is started now."""
        key, attempt = run.key, activity.attempt
        token = ActivityTaskToken(
            *key, activity.scheduled_event_id, attempt.number, attempt.started_at_ns
        )
        answer = PollActivityTaskQueueResponse(
            task_token=self._tokens.seal(token),
            workflow_namespace=namespace,
            workflow_type=WorkflowType(name=run.state.run.workflow_type),
            workflow_execution=WorkflowExecution(workflow_id=key.workflow_id, run_id=key.run_id),
            activity_type=scheduled.activity_type,
            activity_id=scheduled.activity_id,
            attempt=attempt.number,
            schedule_to_close_timeout=to_duration(activity.schedule_to_close_ns),
            start_to_close_timeout=to_duration(activity.start_to_close_ns),
            heartbeat_timeout=to_duration(activity.heartbeat_ns),
            retry_policy=scheduled.retry_policy,
        )
        set_timestamp(answer.scheduled_time, activity.scheduled_at_ns)
        set_timestamp(answer.current_attempt_scheduled_time, attempt.scheduled_at_ns)
        set_timestamp(answer.started_time, attempt.started_at_ns)
        if scheduled.HasField("header"):
            answer.header.CopyFrom(scheduled.header)
        if scheduled.HasField("input"):
            answer.input.CopyFrom(scheduled.input)
        if scheduled.HasField("priority"):
            answer.priority.CopyFrom(scheduled.priority)
        if attempt.heartbeat_details:
            answer.heartbeat_details.ParseFromString(attempt.heartbeat_details)
        return answer.SerializeToString()

    def _header(self, state: RunState) -> PollWorkflowTaskQueueResponse:
        key, run = state.key, state.run
        return PollWorkflowTaskQueueResponse(
            workflow_execution=WorkflowExecution(workflow_id=key.workflow_id, run_id=key.run_id),
            workflow_type=WorkflowType(name=run.workflow_type),
            previous_started_event_id=run.completed_started_event_id,
            workflow_execution_task_queue=TaskQueue(name=run.task_queue, kind=NORMAL),
        )

    def _with_history(
        self,
        run: LoadedRun,
        header: PollWorkflowTaskQueueResponse,
        virtual: bytes,
        *,
        sticky: bool,
    ) -> HistoryAnswer:
        first = run.state.run.completed_started_event_id + 1 if sticky else 1
        return HistoryAnswer(run, header, first, run.state.run.next_event_id - 1, virtual)


def _join(header: PollWorkflowTaskQueueResponse, history: bytes) -> bytes:
    return header.SerializeToString() + length_prefixed(HISTORY_TAG, history)
