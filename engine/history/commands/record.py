"""Commands that only record something: markers, search attributes, memo."""

from __future__ import annotations

from temporalio.api.command.v1 import (
    Command,
    ModifyWorkflowPropertiesCommandAttributes,
    RecordMarkerCommandAttributes,
    UpsertWorkflowSearchAttributesCommandAttributes,
)
from temporalio.api.enums.v1 import WorkflowTaskFailedCause
from temporalio.api.history.v1 import (
    MarkerRecordedEventAttributes,
    UpsertWorkflowSearchAttributesEventAttributes,
    WorkflowPropertiesModifiedEventAttributes,
)

from engine.history.commands.metadata import metadata_of
from engine.history.commands.rejection import CommandRejected
from engine.history.transition import Transition
from engine.metering.facts import FactKind

BAD_MARKER = WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_BAD_RECORD_MARKER_ATTRIBUTES

FREE_MARKERS = frozenset({"core_patch", "Version"})
"""Markers of the SDKs' patching API; they are bookkeeping and cost nothing."""

FREE_ATTRIBUTES = frozenset({"TemporalChangeVersion"})
"""Search attributes that patching sets."""


def record_marker(
    t: Transition, completed_event_id: int, command: Command, a: RecordMarkerCommandAttributes
) -> None:
    if not a.marker_name:
        raise CommandRejected(BAD_MARKER, "marker_name is required")
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
    t.append(
        WorkflowPropertiesModifiedEventAttributes(
            workflow_task_completed_event_id=completed_event_id, upserted_memo=a.upserted_memo
        ),
        metadata=metadata_of(command),
    )
