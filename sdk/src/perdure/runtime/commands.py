"""Commands that workflow code gives, and their comparison with history events."""

from __future__ import annotations

import collections
import json
from base64 import b64decode, b64encode
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from perdure.exceptions import NondeterminismError
from perdure.protojson import Message

PATCH_MARKER = "core_patch"
PATCH_DETAIL = "patch-data"
CHANGE_VERSION = "TemporalChangeVersion"


@dataclass(frozen=True)
class CommandKind:
    """A command type: where its attributes live, the event it becomes, what must agree."""

    command_type: str
    event_type: str
    identity: tuple[str, ...] = ()
    closes: bool = False

    @property
    def attributes_field(self) -> str:
        """The name of the command's attributes field."""
        return _camel(self.command_type) + "CommandAttributes"


def _camel(name: str) -> str:
    head, *rest = name.lower().split("_")
    return head + "".join(part.capitalize() for part in rest)


SCHEDULE_ACTIVITY = CommandKind(
    "SCHEDULE_ACTIVITY_TASK", "ACTIVITY_TASK_SCHEDULED", ("activityId", "activityType.name")
)
CANCEL_ACTIVITY = CommandKind(
    "REQUEST_CANCEL_ACTIVITY_TASK", "ACTIVITY_TASK_CANCEL_REQUESTED", ("scheduledEventId",)
)
START_TIMER = CommandKind("START_TIMER", "TIMER_STARTED", ("timerId",))
CANCEL_TIMER = CommandKind("CANCEL_TIMER", "TIMER_CANCELED", ("timerId",))
RECORD_MARKER = CommandKind("RECORD_MARKER", "MARKER_RECORDED", ("markerName",))
UPSERT_SEARCH_ATTRIBUTES = CommandKind(
    "UPSERT_WORKFLOW_SEARCH_ATTRIBUTES", "UPSERT_WORKFLOW_SEARCH_ATTRIBUTES"
)
MODIFY_PROPERTIES = CommandKind("MODIFY_WORKFLOW_PROPERTIES", "WORKFLOW_PROPERTIES_MODIFIED")
COMPLETE_WORKFLOW = CommandKind(
    "COMPLETE_WORKFLOW_EXECUTION", "WORKFLOW_EXECUTION_COMPLETED", closes=True
)
FAIL_WORKFLOW = CommandKind("FAIL_WORKFLOW_EXECUTION", "WORKFLOW_EXECUTION_FAILED", closes=True)
CANCEL_WORKFLOW = CommandKind(
    "CANCEL_WORKFLOW_EXECUTION", "WORKFLOW_EXECUTION_CANCELED", closes=True
)
CONTINUE_AS_NEW = CommandKind(
    "CONTINUE_AS_NEW_WORKFLOW_EXECUTION", "WORKFLOW_EXECUTION_CONTINUED_AS_NEW", closes=True
)

COMMAND_EVENT_TYPES = frozenset(
    kind.event_type for kind in list(globals().values()) if isinstance(kind, CommandKind)
)


class Command:
    """One command; the event that history holds for it gives it its event id."""

    def __init__(self, kind: CommandKind, attributes: Message, summary: Message | None = None):
        self.kind = kind
        self.attributes = attributes
        self.event_id: int | None = None
        self._summary = summary

    def to_message(self) -> Message:
        """The wire form."""
        message: Message = {
            "commandType": f"COMMAND_TYPE_{self.kind.command_type}",
            self.kind.attributes_field: self.attributes,
        }
        if self._summary is not None:
            message["userMetadata"] = {"summary": self._summary}
        return message

    def __str__(self) -> str:
        parts = [str(_at(self.attributes, path)) for path in self.kind.identity]
        if (patch := patch_of(self.attributes)) is not None:
            parts.append(patch[0])
        return f"{self.kind.command_type}({', '.join(parts)})"


def _at(message: Message, path: str) -> Any:
    value: Any = message
    for name in path.split("."):
        value = (value or {}).get(name)
    return value


def event_kind(event: Message) -> str:
    """The event's type without its prefix."""
    return str(event.get("eventType", "")).removeprefix("EVENT_TYPE_")


def event_attributes(event: Message) -> Message:
    """The event's one attributes message."""
    for name, value in event.items():
        if name.endswith("EventAttributes"):
            return dict(value)
    return {}


def patch_details(patch_id: str, deprecated: bool) -> Message:
    """A patch marker's details; clear JSON, since other workers must read them."""
    data = json.dumps({"id": patch_id, "deprecated": deprecated}, separators=(",", ":"))
    encoding = b64encode(b"json/plain").decode()
    payload = {"metadata": {"encoding": encoding}, "data": b64encode(data.encode()).decode()}
    return {PATCH_DETAIL: {"payloads": [payload]}}


def patch_of(marker: Message) -> tuple[str, bool] | None:
    """The patch id of marker attributes and whether it is deprecated; None for no patch."""
    if marker.get("markerName") != PATCH_MARKER:
        return None
    payloads = marker.get("details", {}).get(PATCH_DETAIL, {}).get("payloads", [])
    data = json.loads(b64decode(payloads[0]["data"])) if payloads else {}
    return str(data.get("id", "")), bool(data.get("deprecated"))


def _is_change_version(attributes: Message) -> bool:
    fields = attributes.get("searchAttributes", {}).get("indexedFields", {})
    return set(fields) == {CHANGE_VERSION}


class CommandMatcher:
    """Pairs the commands of the last activation with the events history holds for them."""

    def __init__(self) -> None:
        self._expected: collections.deque[Command] = collections.deque()

    def expect(self, commands: Iterable[Command]) -> None:
        """These commands must be the next command events."""
        self._expected.extend(commands)

    def match(self, event: Message) -> Command | None:
        """Take the command of an event; None for an event that needs none."""
        kind, attributes = event_kind(event), event_attributes(event)
        upserts_change = kind == UPSERT_SEARCH_ATTRIBUTES.event_type and _is_change_version(
            attributes
        )
        if not upserts_change:
            self._skip_change_versions()
        head = self._expected[0] if self._expected else None
        if upserts_change and not (head and _is_change_version(head.attributes)):
            # Written by a patch marker that the code no longer mentions, or before this version.
            return None
        patch = patch_of(attributes) if kind == RECORD_MARKER.event_type else None
        given = patch_of(head.attributes) if head else None
        if patch and patch[1] and (given is None or given[0] != patch[0]):
            # A deprecated patch marker may outlive the call that made it.
            return None
        if head is None or not _agree(head, kind, attributes, patch):
            event_id = int(event.get("eventId", 0))
            raise NondeterminismError(
                f"history event {event_id} is {_shown(kind, attributes, patch)}, "
                f"but the workflow code gives {head or 'nothing'}",
                event_id,
            )
        self._expected.popleft()
        head.event_id = int(event.get("eventId", 0))
        return head

    def finish(self, event_id: int) -> None:
        """No more command events follow; raises NondeterminismError if commands are left."""
        self._skip_change_versions()
        if self._expected:
            raise NondeterminismError(
                f"the workflow code gives {self._expected[0]}, "
                f"but history has no such event before event {event_id}",
                event_id,
            )

    def _skip_change_versions(self) -> None:
        while self._expected and _is_change_version(self._expected[0].attributes):
            self._expected.popleft()


def _agree(
    command: Command, kind: str, attributes: Message, patch: tuple[str, bool] | None
) -> bool:
    if command.kind.event_type != kind:
        return False
    given = patch_of(command.attributes)
    if (given and given[0]) != (patch and patch[0]):
        return False
    return all(
        str(_at(command.attributes, path)) == str(_at(attributes, path))
        for path in command.kind.identity
    )


def _shown(kind: str, attributes: Message, patch: tuple[str, bool] | None) -> str:
    names = (_at(attributes, "activityType.name"), _at(attributes, "timerId"))
    parts = [str(name) for name in (*names, patch and patch[0]) if name]
    return f"{kind}({', '.join(parts)})"
