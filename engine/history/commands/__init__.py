"""What a worker may decide: one function per command, keyed by the name of its attributes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from temporalio.api.command.v1 import Command

from engine.errors import InvalidArgument
from engine.history.commands import activity, completion, continue_as_new, record, timer
from engine.history.transition import Transition

COMMANDS: dict[str, Callable[[Transition, int, Command, Any], None]] = {
    "schedule_activity_task_command_attributes": activity.schedule_activity_task,
    "request_cancel_activity_task_command_attributes": activity.request_cancel_activity_task,
    "start_timer_command_attributes": timer.start_timer,
    "cancel_timer_command_attributes": timer.cancel_timer,
    "record_marker_command_attributes": record.record_marker,
    "upsert_workflow_search_attributes_command_attributes": (
        record.upsert_workflow_search_attributes
    ),
    "modify_workflow_properties_command_attributes": record.modify_workflow_properties,
    "complete_workflow_execution_command_attributes": completion.complete_workflow_execution,
    "fail_workflow_execution_command_attributes": completion.fail_workflow_execution,
    "cancel_workflow_execution_command_attributes": completion.cancel_workflow_execution,
    "continue_as_new_workflow_execution_command_attributes": (
        continue_as_new.continue_as_new_workflow_execution
    ),
}

NOT_OFFERED = frozenset(
    {
        "start_child_workflow_execution_command_attributes",
        "signal_external_workflow_execution_command_attributes",
        "request_cancel_external_workflow_execution_command_attributes",
        "protocol_message_command_attributes",
        "schedule_nexus_operation_command_attributes",
        "request_cancel_nexus_operation_command_attributes",
    }
)
"""Commands of the published API that this cell does not offer yet."""


def check(commands: list[Command]) -> None:
    """Refuse the whole completion for what no workflow code can mean.

    Raises InvalidArgument for a command without attributes or behind a closing one, and for one
    that this cell does not offer.
    """
    closed = False
    for index, command in enumerate(commands):
        name = command.WhichOneof("attributes")
        if name in NOT_OFFERED:
            word = name.removesuffix("_command_attributes")
            raise InvalidArgument(
                f"commands[{index}]: {word} is not offered by this cell; leave it out",
                f"commands[{index}]",
            )
        if name is None:
            raise InvalidArgument(
                f"commands[{index}]: attributes are required", f"commands[{index}]"
            )
        if closed:
            raise InvalidArgument(
                f"commands[{index}]: nothing may follow a closing command", f"commands[{index}]"
            )
        closed = COMMANDS[name] in CLOSING


CLOSING = frozenset(
    {
        completion.complete_workflow_execution,
        completion.fail_workflow_execution,
        completion.cancel_workflow_execution,
        continue_as_new.continue_as_new_workflow_execution,
    }
)


def run_command(t: Transition, completed_event_id: int, command: Command) -> None:
    """Decide one command. Raises CommandRejected where the workflow may not do that."""
    name = command.WhichOneof("attributes") or ""
    COMMANDS[name](t, completed_event_id, command, getattr(command, name))
