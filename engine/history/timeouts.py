"""What a run does when a deadline comes. A look that finds nothing changes nothing."""

from __future__ import annotations

from temporalio.api.history.v1 import TimerFiredEventAttributes

from engine.history import activity, begin, closing, workflow_task
from engine.history.state import RunState
from engine.history.transition import OfferActivityTask, Transition


def look(t: Transition) -> bool:
    """Do what is due; whether the run's retention ended and its rows must go."""
    state = t.state
    for _, kind, name in state.due_deadlines(t.now_ns):
        if kind == "retention":
            if not state.is_open and _retention_over(t):
                return True
        elif not state.is_open:
            continue
        elif kind == "timer":
            _timer(t, name)
        elif kind == "activity":
            _activity(t, int(name))
        elif kind == "retry":
            _retry(t, name)
        elif kind == "task":
            _task(t, name)
        elif kind == "sticky":
            _sticky(t, name)
        elif kind == "backoff":
            _backoff(t)
        else:
            _run(t)
    return False


def arm_all(state: RunState) -> None:
    """Derive every deadline of a run that was read back from its rows."""
    if not state.is_open:
        state.add_deadline(state.run.close_at_ns + state.volatile.retention_ns, "retention")
        return
    begin.arm(state)
    if state.task.scheduled_event_id:
        workflow_task.arm(state)
    for timer in state.timers.values():
        state.add_deadline(timer.due_at_ns, "timer", timer.timer_id)
    for pending in state.activities.values():
        activity.arm(state, pending)
        if not pending.attempt.started_at_ns and pending.attempt.number > 1:
            activity.arm_dispatch(state, pending)


def _retention_over(t: Transition) -> bool:
    return t.now_ns >= t.state.run.close_at_ns + t.state.volatile.retention_ns


def _timer(t: Transition, timer_id: str) -> None:
    timer = t.state.timers.get(timer_id)
    if timer is None or timer.due_at_ns > t.now_ns:
        return
    t.append(TimerFiredEventAttributes(timer_id=timer_id, started_event_id=timer.started_event_id))
    workflow_task.schedule(t)


def _activity(t: Transition, scheduled_event_id: int) -> None:
    pending = t.state.activities.get(scheduled_event_id)
    if pending is None:
        return
    over = [(at_ns, kind) for at_ns, kind in activity.timeouts(pending) if at_ns <= t.now_ns]
    if over:
        activity.time_out(t, pending, min(over)[1])
    else:
        activity.arm(t.state, pending)


def _retry(t: Transition, name: str) -> None:
    scheduled_event_id, _, number = name.partition(".")
    pending = t.state.activities.get(int(scheduled_event_id))
    if pending is None or pending.attempt.started_at_ns or str(pending.attempt.number) != number:
        return
    t.ask(OfferActivityTask(pending.scheduled_event_id, pending.attempt.number))


def _task(t: Transition, name: str) -> None:
    task = t.state.task
    if task.started_event_id and name == f"{task.scheduled_event_id}.{task.attempt}":
        workflow_task.time_out(t)


def _sticky(t: Transition, name: str) -> None:
    task = t.state.task
    waiting = task.sticky and not task.started_event_id
    if waiting and name == f"{task.scheduled_event_id}.{task.attempt}":
        workflow_task.time_out_sticky(t)


def _backoff(t: Transition) -> None:
    if 0 < t.state.volatile.backoff_until_ns <= t.now_ns:
        t.state.volatile.backoff_until_ns = 0
        workflow_task.schedule(t)


def _run(t: Transition) -> None:
    expires_at_ns = closing.expires_at_ns(t)
    if expires_at_ns and t.now_ns >= expires_at_ns:
        closing.time_out(t)
