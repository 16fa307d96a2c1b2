"""Commands that only record something: markers, search attributes, memo."""

from __future__ import annotations

from temporalio.api.command.v1 import (
    Command,
    ModifyWorkflowPropertiesCommandAttributes,
    RecordMarkerCommandAttributes,
    UpsertWorkflowSearchAttributesCommandAttributes,
)
from temporalio.api.enums.v1 import WorkflowTaskFailedCause as Cause
from temporalio.api.history.v1 import (
    MarkerRecordedEventAttributes,
    UpsertWorkflowSearchAttributesEventAttributes,
    WorkflowPropertiesModifiedEventAttributes,
)

from engine.history.commands.metadata import metadata_of
from engine.history.commands.rejection import CommandRejected
from engine.history.payloads import merge_payloads
from engine.history.transition import Transition
from engine.limits import ID_BYTES_MAX, MEMO_BYTES_MAX
from engine.metering.facts import FactKind

BAD_MARKER = Cause.WORKFLOW_TASK_FAILED_CAUSE_BAD_RECORD_MARKER_ATTRIBUTES
BAD_MEMO = Cause.WORKFLOW_TASK_FAILED_CAUSE_BAD_MODIFY_WORKFLOW_PROPERTIES_ATTRIBUTES

FREE_MARKERS = frozenset({"core_patch", "Version"})
"""Markers of the SDKs' patching API; they are bookkeeping and cost nothing."""

FREE_ATTRIBUTES = frozenset({"TemporalChangeVersion"})
"""Search attributes that patching sets."""


def record_marker(
    t: Transition, completed_event_id: int, command: Command, a: RecordMarkerCommandAttributes
) -> None:
    if not a.marker_name or len(a.marker_name.encode()) > ID_BYTES_MAX:
        raise CommandRejected(BAD_MARKER, f"marker_name must have 1 to {ID_BYTES_MAX} bytes")
    attributes = MarkerRecordedEventAttributes(
        marker_name=a.marker_name,
        details=a.details,
        workflow_task_completed_event_id=completed_event_id,
    )
    if a.HasField("header"):
        attributes.header.CopyFrom(a.header)
    if a.HasField("failure"):
        attributes.failure.CopyFrom(a.failure)
    counted = any(fact.kind == FactKind.MARKERS_RECORDED for fact in t.facts)
    free = counted or a.marker_name in FREE_MARKERS
    t.append(
        attributes,
        metadata=metadata_of(command),
        fact=None if free else FactKind.MARKERS_RECORDED,
    )


def upsert_workflow_search_attributes(
    t: Transition,
    completed_event_id: int,
    command: Command,
    a: UpsertWorkflowSearchAttributesCommandAttributes,
) -> None:
    free = set(a.search_attributes.indexed_fields) <= FREE_ATTRIBUTES
    t.append(
        UpsertWorkflowSearchAttributesEventAttributes(
            workflow_task_completed_event_id=completed_event_id,
            search_attributes=a.search_attributes,
        ),
        metadata=metadata_of(command),
        fact=None if free else FactKind.SEARCH_ATTRIBUTES_UPSERTED,
    )


def modify_workflow_properties(
    t: Transition,
    completed_event_id: int,
    command: Command,
    a: ModifyWorkflowPropertiesCommandAttributes,
) -> None:
    memo = merge_payloads(t.state.run.memo, a.upserted_memo.fields)
    if sum(len(key.encode()) + len(value) for key, value in memo.items()) > MEMO_BYTES_MAX:
        detail = f"the memo would have more than {MEMO_BYTES_MAX} bytes; remove keys of it"
        raise CommandRejected(BAD_MEMO, detail)
    t.append(
        WorkflowPropertiesModifiedEventAttributes(
            workflow_task_completed_event_id=completed_event_id, upserted_memo=a.upserted_memo
        ),
        metadata=metadata_of(command),
    )
