"""Whether a token still names the task that is under way."""

from __future__ import annotations

from engine.cell.loaded_run import LoadedRun
from engine.errors import NotFound
from engine.history.state import Activity
from engine.tokens import ActivityTaskToken, WorkflowTaskToken

WORKFLOW_TASK_GONE = "workflow task not found."
ACTIVITY_GONE = "invalid activityID or activity already timed out or invoking workflow is completed"


def check_workflow_task(run: LoadedRun, token: WorkflowTaskToken) -> None:
    """Raises NotFound for a task that is over."""
    task = run.state.task
    current = (
        task.scheduled_event_id,
        task.started_event_id,
        task.attempt,
        task.started_at_ns,
    )
    named = (
        token.scheduled_event_id,
        token.started_event_id,
        token.attempt,
        token.started_at_ns,
    )
    if not run.state.is_open or current != named:
        raise NotFound(WORKFLOW_TASK_GONE, run_id=run.key.run_id)


def started_activity(run: LoadedRun, token: ActivityTaskToken) -> Activity:
    """The activity whose current attempt the token names. Raises NotFound."""
    activity = run.state.activities.get(token.scheduled_event_id)
    if activity is not None and run.state.is_open:
        attempt = activity.attempt
        if (attempt.number, attempt.started_at_ns) == (token.attempt, token.started_at_ns):
            return activity
    raise NotFound(ACTIVITY_GONE, run_id=run.key.run_id)


def activity_by_id(run: LoadedRun, activity_id: str, *, started: bool) -> Activity:
    """The pending activity of that id. Raises NotFound."""
    scheduled_event_id = run.state.activity_ids.get(activity_id)
    if scheduled_event_id is not None and run.state.is_open:
        activity = run.state.activities[scheduled_event_id]
        if activity.attempt.started_at_ns or not started:
            return activity
    raise NotFound(f"Can't find pending activity with such ID: {activity_id}")
