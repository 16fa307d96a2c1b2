"""The published descriptors are the list of all there is: nothing in them goes unmentioned."""

from __future__ import annotations

import re

import pytest
from temporalio.api.command.v1 import Command
from temporalio.api.enums.v1 import CommandType, EventType
from temporalio.api.history.v1 import HistoryEvent

from engine.errors import InvalidArgument
from engine.history.commands import COMMANDS, NOT_OFFERED, check
from engine.history.events import EVENTS

EVENTS_NOT_OFFERED = frozenset(
    """
    START_CHILD_WORKFLOW_EXECUTION_INITIATED START_CHILD_WORKFLOW_EXECUTION_FAILED
    CHILD_WORKFLOW_EXECUTION_STARTED CHILD_WORKFLOW_EXECUTION_COMPLETED
    CHILD_WORKFLOW_EXECUTION_FAILED CHILD_WORKFLOW_EXECUTION_CANCELED
    CHILD_WORKFLOW_EXECUTION_TIMED_OUT CHILD_WORKFLOW_EXECUTION_TERMINATED
    SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_FAILED
    EXTERNAL_WORKFLOW_EXECUTION_SIGNALED
    REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED
    REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_FAILED
    EXTERNAL_WORKFLOW_EXECUTION_CANCEL_REQUESTED
    WORKFLOW_EXECUTION_UPDATE_ADMITTED WORKFLOW_EXECUTION_UPDATE_ACCEPTED
    WORKFLOW_EXECUTION_UPDATE_REJECTED WORKFLOW_EXECUTION_UPDATE_COMPLETED
    WORKFLOW_EXECUTION_OPTIONS_UPDATED WORKFLOW_EXECUTION_PAUSED WORKFLOW_EXECUTION_UNPAUSED
    WORKFLOW_EXECUTION_TIME_SKIPPING_TRANSITIONED
    WORKFLOW_PROPERTIES_MODIFIED_EXTERNALLY ACTIVITY_PROPERTIES_MODIFIED_EXTERNALLY
    NEXUS_OPERATION_SCHEDULED NEXUS_OPERATION_STARTED NEXUS_OPERATION_COMPLETED
    NEXUS_OPERATION_FAILED NEXUS_OPERATION_CANCELED NEXUS_OPERATION_TIMED_OUT
    NEXUS_OPERATION_CANCEL_REQUESTED NEXUS_OPERATION_CANCEL_REQUEST_COMPLETED
    NEXUS_OPERATION_CANCEL_REQUEST_FAILED
    """.split()
)
"""Events of the published API that this cell never writes."""


def attribute_fields(message: type[Command] | type[HistoryEvent]) -> set[str]:
    """The fields of a message's attributes."""
    return {field.name for field in message.DESCRIPTOR.oneofs_by_name["attributes"].fields}


def noun(field: str) -> str:
    """`timer_fired_event_attributes` is about TIMER_FIRED."""
    return re.sub("_(command|event)_attributes$", "", field).upper()


def test_every_command_is_decided_or_listed_as_not_offered() -> None:
    fields = attribute_fields(Command)
    assert COMMANDS.keys() | NOT_OFFERED == fields
    assert not COMMANDS.keys() & NOT_OFFERED


def test_every_command_type_has_attributes() -> None:
    """So that the test above, which counts attributes, misses no type."""
    types = {name.removeprefix("COMMAND_TYPE_") for name in CommandType.keys()} - {"UNSPECIFIED"}
    assert types == {noun(field) for field in attribute_fields(Command)}


@pytest.mark.parametrize("field", sorted(NOT_OFFERED))
def test_a_command_that_is_not_offered_is_refused_by_name(field: str) -> None:
    command = Command()
    getattr(command, field).SetInParent()
    word = field.removesuffix("_command_attributes")
    with pytest.raises(InvalidArgument, match=f"{word} is not offered by this cell; leave it out"):
        check([command])


def test_every_event_is_applied_or_listed_as_not_offered() -> None:
    applied = {
        EventType.Name(kind.event_type).removeprefix("EVENT_TYPE_") for kind in EVENTS.values()
    }
    types = {name.removeprefix("EVENT_TYPE_") for name in EventType.keys()} - {"UNSPECIFIED"}
    assert applied | EVENTS_NOT_OFFERED == types
    assert not applied & EVENTS_NOT_OFFERED


def test_every_row_of_events_agrees_with_its_descriptor() -> None:
    for attributes, kind in EVENTS.items():
        assert isinstance(getattr(HistoryEvent(), kind.field), attributes)
        assert EventType.Name(kind.event_type) == f"EVENT_TYPE_{noun(kind.field)}"
