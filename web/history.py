"""A workflow's history as the page shows it: events, and the steps that they belong to.

A step is what a workflow's author wrote as one call: an activity with its attempts, a timer, a
child. Which events form it is read from the ids with which events refer to the first one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from web.cloud import Answer
from web.formats import read_duration, read_time, span, words
from web.payloads import (
    FailureView,
    PayloadView,
    failure_views,
    is_payload,
    payload_view,
    payload_views,
    telling,
    texts,
)

EVENT_PREFIX = "EVENT_TYPE_"
FIRST_EVENT_KEYS = ("scheduledEventId", "initiatedEventId", "acceptedEventId")
SUMMARY_CHARACTERS_MAX = 120

# How an event's name ends says how its step stands; the first match counts.
OUTCOMES = (
    ("_COMPLETED", "completed"),
    ("_FIRED", "completed"),
    ("_FAILED", "failed"),
    ("_TIMED_OUT", "timed-out"),
    ("_CANCELED", "canceled"),
    ("_TERMINATED", "terminated"),
    ("_CONTINUED_AS_NEW", "continued-as-new"),
    ("_REJECTED", "failed"),
)
# The beginning of an event's name to the kind of its step; the first match counts.
KINDS = (
    ("WORKFLOW_TASK", "workflow task"),
    ("ACTIVITY", "activity"),
    ("TIMER", "timer"),
    ("START_CHILD", "child"),
    ("CHILD", "child"),
    ("NEXUS", "nexus"),
    ("SIGNAL_EXTERNAL", "signal"),
    ("EXTERNAL", "signal"),
    ("REQUEST_CANCEL_EXTERNAL", "signal"),
    ("WORKFLOW_EXECUTION_SIGNALED", "signal"),
    ("WORKFLOW_EXECUTION_UPDATE", "update"),
    ("MARKER", "marker"),
)
# Events whose reason somebody wrote, and the attribute that has it.
REASONS = {
    "WORKFLOW_EXECUTION_CANCEL_REQUESTED": "cause",
    "WORKFLOW_EXECUTION_TERMINATED": "reason",
}
OPENING = ("_SCHEDULED", "_INITIATED", "_ACCEPTED", "TIMER_STARTED")


@dataclass(frozen=True, slots=True)
class Field:
    """One attribute of an event, or one payload or failure of it."""

    name: str
    text: str = ""
    payloads: list[PayloadView] = field(default_factory=list)
    failures: list[FailureView] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Event:
    id: str
    name: str
    time: datetime | None
    attributes: Answer

    @property
    def title(self) -> str:
        return words(self.name)

    @property
    def fields(self) -> list[Field]:
        return list(_fields(self.attributes, ""))


@dataclass(slots=True)
class Step:
    """`status` is `open_status` until an event ends it."""

    kind: str
    label: str
    events: list[Event]
    open_status: str = "running"

    @property
    def id(self) -> str:
        return self.events[0].id

    @property
    def started_at(self) -> datetime | None:
        return self.events[0].time

    @property
    def status(self) -> str:
        unended = self.open_status if self.is_open else "recorded"
        return _outcome(self.events[-1].name) or unended

    @property
    def is_open(self) -> bool:
        last = self.events[-1].name
        return not _outcome(last) and (len(self.events) > 1 or last.endswith(OPENING))

    @property
    def ended_at(self) -> datetime | None:
        return None if self.is_open else self.events[-1].time

    @property
    def length(self) -> timedelta | None:
        if len(self.events) < 2 or self.ended_at is None or self.started_at is None:
            return None
        return self.ended_at - self.started_at

    @property
    def summary(self) -> str:
        """What came out of it, or what went in while nothing came out."""
        for event in reversed(self.events):
            attributes = event.attributes
            failures = failure_views(attributes.get("failure"))
            text = (
                telling(failures).message
                if failures
                else texts(payload_views(attributes.get("result") or attributes.get("input")))
                or str(attributes.get(REASONS.get(event.name, ""), ""))
            )
            if text:
                cut = len(text) > SUMMARY_CHARACTERS_MAX
                return text[:SUMMARY_CHARACTERS_MAX] + ("…" if cut else "")
        return ""


def read_events(history: Answer) -> list[Event]:
    events = (history.get("history") or {}).get("events") or []
    return [
        Event(
            id=str(event["eventId"]),
            name=event.get("eventType", "").removeprefix(EVENT_PREFIX),
            time=read_time(event.get("eventTime")),
            attributes=next((v for k, v in event.items() if k.endswith("Attributes")), {}),
        )
        for event in events
    ]


def steps_of(events: Iterable[Event], open_status: str = "running") -> list[Step]:
    """In the order of their first events. Workflow tasks are there too; see `is_noise`.

    `open_status` is how those stand that no event here ends.
    """
    steps: dict[str, Step] = {}
    for event in events:
        first = _first_event_id(event)
        known = steps.get(first) if first else None
        if known is None:
            kind = _kind(event.name)
            steps[event.id] = Step(kind, _label(kind, event), [event], open_status)
        else:
            known.events.append(event)
    return list(steps.values())


def is_noise(step: Step) -> bool:
    """A workflow task that ended well says nothing about what the workflow did."""
    return step.kind == "workflow task" and (
        step.is_open or step.status in ("completed", "recorded")
    )


def find(events: Iterable[Event], *names: str) -> Event | None:
    return next((event for event in events if event.name in names), None)


def _first_event_id(event: Event) -> str:
    for key in FIRST_EVENT_KEYS:
        if event.attributes.get(key):
            return str(event.attributes[key])
    if event.name in ("TIMER_FIRED", "TIMER_CANCELED"):
        return str(event.attributes.get("startedEventId", ""))
    return ""


def _kind(name: str) -> str:
    return next((kind for prefix, kind in KINDS if name.startswith(prefix)), "workflow")


def _outcome(name: str) -> str:
    return next((status for suffix, status in OUTCOMES if name.endswith(suffix)), "")


def _label(kind: str, event: Event) -> str:
    attributes = event.attributes
    if kind == "workflow task":
        return "Workflow task"
    if kind == "activity":
        return _name(attributes.get("activityType")) or "Activity"
    if kind == "timer":
        length = read_duration(attributes.get("startToFireTimeout"))
        return f"Timer of {span(length)}" if length else event.title
    if kind == "child":
        return _name(attributes.get("workflowType")) or "Child workflow"
    if kind == "signal":
        return str(attributes.get("signalName") or event.title)
    if kind == "marker":
        return str(attributes.get("markerName") or event.title)
    if kind == "nexus":
        return str(attributes.get("operation") or event.title)
    return event.title


def _name(value: object) -> str:
    return str(value.get("name", "")) if isinstance(value, dict) else str(value or "")


def _fields(value: Answer, prefix: str) -> Iterator[Field]:
    for key, inner in value.items():
        name = f"{prefix} · {words(key)}" if prefix else words(key)
        if inner in (None, "", {}, []):
            continue
        yield from _field(name, key, inner)


def _field(name: str, key: str, inner: Any) -> Iterator[Field]:
    if is_payload(inner):
        yield Field(name, payloads=[payload_view(inner)])
    elif isinstance(inner, dict):
        if isinstance(inner.get("payloads"), list):
            yield Field(name, payloads=payload_views(inner))
        elif key.lower().endswith("failure"):
            yield Field(name, failures=failure_views(inner))
        elif inner.keys() == {"name"}:
            yield Field(name, str(inner["name"]))
        else:
            yield from _fields(inner, name)
    elif isinstance(inner, list):
        for each in inner:
            yield from _field(name, key, each)
    else:
        yield Field(name, _scalar(inner))


def _scalar(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)
