"""Signals: recorded once per request id, seen by the next workflow task."""

from __future__ import annotations

from temporalio.api.history.v1 import WorkflowExecutionSignaledEventAttributes
from temporalio.api.workflowservice.v1 import (
    SignalWithStartWorkflowExecutionRequest,
    SignalWorkflowExecutionRequest,
)

from engine.history import closing, workflow_task
from engine.history.transition import Transition
from engine.metering.facts import FactKind


def attributes_of(
    request: SignalWorkflowExecutionRequest | SignalWithStartWorkflowExecutionRequest,
) -> WorkflowExecutionSignaledEventAttributes:
    attributes = WorkflowExecutionSignaledEventAttributes(
        signal_name=request.signal_name, identity=request.identity, request_id=request.request_id
    )
    if isinstance(request, SignalWithStartWorkflowExecutionRequest):
        if request.HasField("signal_input"):
            attributes.input.CopyFrom(request.signal_input)
    elif request.HasField("input"):
        attributes.input.CopyFrom(request.input)
    if request.HasField("header"):
        attributes.header.CopyFrom(request.header)
    return attributes


def signal(
    t: Transition, attributes: WorkflowExecutionSignaledEventAttributes, fact: FactKind
) -> None:
    """Record the signal and have the workflow look at it."""
    t.append(attributes, fact=fact)
    t.state.remember_signal_request(attributes.request_id)
    closing.enforce_history_limits(t)
    workflow_task.schedule(t)
