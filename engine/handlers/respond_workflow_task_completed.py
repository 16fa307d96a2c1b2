"""RespondWorkflowTaskCompleted."""

from __future__ import annotations

from collections.abc import Callable

from temporalio.api.enums.v1 import QueryResultType, WorkflowTaskFailedCause
from temporalio.api.workflowservice.v1 import (
    RespondWorkflowTaskCompletedRequest,
    RespondWorkflowTaskCompletedResponse,
)

from engine.call import Call
from engine.cell.inline import Inline
from engine.cell.loaded_run import LoadedRun
from engine.cell.namespaces import Namespace
from engine.cell.services import Services
from engine.cell.shard import Shard
from engine.errors import InvalidArgument, NotFound
from engine.handlers import checks, polling, routing
from engine.handlers.handler import WORKFLOW_SERVICE, Handler
from engine.handlers.started_task import check_workflow_task
from engine.history import commands, completion, workflow_task
from engine.history.commands.rejection import CommandRejected
from engine.history.protobuf import length_prefixed, message_tag
from engine.matching.task import PollerInfo
from engine.tokens import WorkflowTaskToken
from engine.visibility import search_attributes

BAD_ATTRIBUTES = WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_BAD_SEARCH_ATTRIBUTES
ANSWERED = QueryResultType.QUERY_RESULT_TYPE_ANSWERED
WORKFLOW_TASK_TAG = message_tag(RespondWorkflowTaskCompletedResponse, "workflow_task")
ACTIVITY_TASK_TAG = message_tag(RespondWorkflowTaskCompletedResponse, "activity_tasks")


async def handle(
    services: Services, request: RespondWorkflowTaskCompletedRequest, call: Call
) -> bytes:
    checks.identifier("identity", request.identity, required=False)
    sticky = request.sticky_attributes
    checks.identifier(
        "sticky_attributes.worker_task_queue.name", sticky.worker_task_queue.name, required=False
    )
    checks.duration("sticky_attributes.schedule_to_start_timeout", sticky.schedule_to_start_timeout)
    token = services.tokens.open(
        WorkflowTaskToken, request.task_token, "task_token", call.namespace_id
    )
    namespace = await services.namespaces.get(call.namespace_id)
    shard, run = await services.run(call.namespace_id, token.workflow_id, token.run_id)
    check_workflow_task(run, token)
    commands.check(list(request.commands))
    _refuse_long_heartbeat(shard, run, request)
    inline = _inline(services, request)
    rejection = _complete(shard, run, request, namespace, inline)
    await shard.durable(run)
    if rejection is not None:
        raise InvalidArgument(completion.rejection_text(rejection))
    workflow_tasks = await inline.workflow_tasks()
    activity_tasks = await inline.activity_tasks()
    return b"".join(
        [
            *(length_prefixed(WORKFLOW_TASK_TAG, task) for task in workflow_tasks),
            *(length_prefixed(ACTIVITY_TASK_TAG, task) for task in activity_tasks),
        ]
    )


def _complete(
    shard: Shard,
    run: LoadedRun,
    request: RespondWorkflowTaskCompletedRequest,
    namespace: Namespace,
    inline: Inline,
) -> CommandRejected | None:
    """Decide the completion; a command that may not be fails the task instead."""
    saved = run.state.checkpoint()
    t = shard.begin(run)
    try:
        _check_attributes(request, namespace)
        completion.complete(t, request)
    except CommandRejected as rejection:
        run.state.restore(saved)
        t = shard.begin(run)
        completion.reject(t, rejection, request.identity)
        if t.batch or t.effects:
            shard.record(run, t)
        return rejection
    except Exception:
        run.state.restore(saved)
        raise
    answers = _query_answers(run, request)
    shard.record(run, t, inline)
    for answer in answers:
        shard.after_commit(run, answer)
    return None


def _check_attributes(request: RespondWorkflowTaskCompletedRequest, namespace: Namespace) -> None:
    """Search attributes are known to the namespace, not to the deciding core."""
    types = namespace.settings.search_attributes
    for index, command in enumerate(request.commands):
        if command.HasField("upsert_workflow_search_attributes_command_attributes"):
            upsert = command.upsert_workflow_search_attributes_command_attributes
            fields = upsert.search_attributes.indexed_fields
        elif command.HasField("continue_as_new_workflow_execution_command_attributes"):
            following = command.continue_as_new_workflow_execution_command_attributes
            fields = following.search_attributes.indexed_fields
        else:
            continue
        try:
            search_attributes.check(fields, types, namespace.name)
        except InvalidArgument as error:
            raise CommandRejected(BAD_ATTRIBUTES, f"commands[{index}]: {error}") from error


def _refuse_long_heartbeat(
    shard: Shard, run: LoadedRun, request: RespondWorkflowTaskCompletedRequest
) -> None:
    if not completion.is_heartbeat(request):
        return
    t = shard.begin(run)
    if completion.heartbeat_expired(t):
        workflow_task.time_out(t)
        shard.record(run, t)
        raise NotFound("workflow task heartbeat timeout")


def _query_answers(
    run: LoadedRun, request: RespondWorkflowTaskCompletedRequest
) -> list[Callable[[], None]]:
    """What tells the callers of queries their answers, which leave with this completion."""
    answers = []
    for query_id in request.query_results:
        result = request.query_results[query_id]
        query = run.queries.take(query_id)
        if query is None:
            continue
        if result.result_type == ANSWERED:
            answers.append(query.answering(result.answer))
        else:
            failure = result.failure.SerializeToString()
            answers.append(query.refusing(result.error_message, failure))
    return answers


def _inline(services: Services, request: RespondWorkflowTaskCompletedRequest) -> Inline:
    eager = {
        command.schedule_activity_task_command_attributes.activity_id
        for command in request.commands
        if command.schedule_activity_task_command_attributes.request_eager_execution
    }
    return Inline(
        services.dispatcher,
        PollerInfo(request.identity, polling.request_id(services)),
        workflow_task=request.return_new_workflow_task,
        activity_ids=eager,
    )


HANDLER = Handler(
    WORKFLOW_SERVICE + "RespondWorkflowTaskCompleted",
    RespondWorkflowTaskCompletedRequest,
    routing.by_token(WorkflowTaskToken),
    handle,
)
