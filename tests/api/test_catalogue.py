"""No RPC without a policy, and no field that leads out of its namespace unseen."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from temporalio.api.command.v1 import (
    Command,
    RequestCancelExternalWorkflowExecutionCommandAttributes,
    ScheduleNexusOperationCommandAttributes,
    SignalExternalWorkflowExecutionCommandAttributes,
    StartChildWorkflowExecutionCommandAttributes,
)
from temporalio.api.common.v1 import Callback, Link
from temporalio.api.workflowservice.v1 import (
    DescribeNamespaceRequest,
    ExecuteMultiOperationRequest,
    RespondActivityTaskCompletedRequest,
    RespondWorkflowTaskCompletedRequest,
    StartWorkflowExecutionRequest,
)

from api import complete_tasks
from api.catalogue import CATALOGUE, METHODS, SERVICES, Plane, Row, Scope, catalogue
from api.catalogue.references import (
    _BY_FIELD,
    _BY_NAME,
    Reference,
    ReferenceCheck,
    is_suspect,
    reference,
)
from api.catalogue.row import not_served
from api.cloud.service import HANDLERS as CONTROL_HANDLERS
from api.transports.errors import CatalogueGap, ForeignReference
from engine.handlers import HANDLERS as CELL_HANDLERS
from engine.protocol.tasks_pb2 import CompleteTasksRequest, TaskCompletion

SERVED = {name: row for name, row in CATALOGUE.items() if row.plane is not Plane.NONE}


def rows_of(*names: str) -> dict[str, dict[str, Row]]:
    service = SERVICES[1]
    return {service.full_name: {name: not_served() for name in names}}


def test_a_method_without_a_row_and_a_row_without_a_method_stop_the_start() -> None:
    names = [method.name for method in SERVICES[1].methods]
    assert len(catalogue([SERVICES[1]], rows_of(*names))) == len(names)
    with pytest.raises(CatalogueGap, match=r"TaskService\.PollTasks"):
        catalogue([SERVICES[1]], rows_of(*names[1:]))
    with pytest.raises(CatalogueGap, match=r"TaskService\.Nothing"):
        catalogue([SERVICES[1]], rows_of(*names, "Nothing"))


def test_the_cells_own_service_is_behind_no_door() -> None:
    assert not [name for name in METHODS if "CellService" in name]


def test_what_the_catalogue_offers_is_what_there_are_handlers_for() -> None:
    def offered(plane: Plane) -> set[str]:
        return {name for name, row in CATALOGUE.items() if row.plane is plane}

    published = {name for name in CELL_HANDLERS if "CellService" not in name}
    assert offered(Plane.CELL) == published | {complete_tasks.METHOD}
    assert offered(Plane.CONTROL) == CONTROL_HANDLERS.keys()


def test_nobody_has_access_to_what_is_not_served_and_somebody_to_what_is() -> None:
    for name, row in CATALOGUE.items():
        if row.plane is Plane.NONE:
            assert (row.access, row.is_open) == ((), False), name
        else:
            assert row.access or row.is_open, name


def test_every_served_call_that_may_begin_a_run_says_so() -> None:
    """Or budgets and unpaid invoices would not stop it."""
    words = ("Start", "MultiOperation", "CreateSchedule", "TriggerWorkflowRule")
    begin = {
        name
        for name, row in CATALOGUE.items()
        if row.plane is not Plane.NONE and any(word in name.rpartition(".")[2] for word in words)
    }
    assert begin
    assert begin == {name for name, row in CATALOGUE.items() if row.starts_work}


def test_every_served_call_about_a_namespace_names_it() -> None:
    for name, row in SERVED.items():
        names_one = "namespace" in METHODS[name].input_type.fields_by_name
        assert row.plane is Plane.CONTROL or names_one == (row.scope is Scope.NAMESPACE), name


def fields_of(message: Descriptor, seen: set[str]) -> Iterator[FieldDescriptor]:
    """All fields of a message and of the messages inside it, each type once."""
    if message.full_name not in seen:
        seen.add(message.full_name)
        for field in message.fields:
            yield field
            if field.message_type is not None:
                yield from fields_of(field.message_type, seen)


def request_fields() -> list[FieldDescriptor]:
    seen: set[str] = set()
    return [field for m in METHODS.values() for field in fields_of(m.input_type, seen)]


def test_every_request_field_that_could_lead_outside_is_classified() -> None:
    suspects = [field for field in request_fields() if is_suspect(field)]
    assert len(suspects) > 200
    assert [field.full_name for field in suspects if reference(field) is None] == []


def test_every_classification_is_of_a_field_that_exists() -> None:
    names = {field.full_name.removeprefix("temporal.api.") for field in request_fields()}
    assert _BY_FIELD.keys() <= names
    for pattern, _ in _BY_NAME:
        assert any(pattern.search(name) for name in names), pattern


def test_a_field_is_not_classified_by_accident() -> None:
    fields = StartWorkflowExecutionRequest.DESCRIPTOR.fields_by_name
    assert [reference(fields[name]) for name in ("identity", "workflow_id")] == [None, None]
    assert reference(fields["namespace"]) is Reference.ROUTE


CHECKS = ReferenceCheck()
OWN, OTHER = "orders.acme", "orders.rival"


def check(request: Message) -> None:
    checked = CHECKS.for_request(cast(Descriptor, request.DESCRIPTOR))
    assert checked is not None
    checked(request, OWN)


def completing(*commands: Command) -> RespondWorkflowTaskCompletedRequest:
    return RespondWorkflowTaskCompletedRequest(namespace=OWN, commands=commands)


def commands_into(namespace: str) -> list[Command]:
    return [
        Command(
            start_child_workflow_execution_command_attributes=(
                StartChildWorkflowExecutionCommandAttributes(namespace=namespace)
            )
        ),
        Command(
            signal_external_workflow_execution_command_attributes=(
                SignalExternalWorkflowExecutionCommandAttributes(namespace=namespace)
            )
        ),
        Command(
            request_cancel_external_workflow_execution_command_attributes=(
                RequestCancelExternalWorkflowExecutionCommandAttributes(namespace=namespace)
            )
        ),
    ]


@pytest.mark.parametrize("index", range(3))
def test_a_command_into_another_namespace_is_refused_by_name(index: int) -> None:
    check(completing(*commands_into(OWN), *commands_into("")))
    with pytest.raises(ForeignReference) as refusal:
        check(completing(Command(), commands_into(OTHER)[index]))
    path = refusal.value.field_path
    assert path.startswith("commands[1].")
    assert path.endswith("CommandAttributes.namespace")


def test_an_inner_request_has_the_namespace_of_the_outer_one() -> None:
    def operations(namespace: str) -> ExecuteMultiOperationRequest:
        start = StartWorkflowExecutionRequest(namespace=namespace)
        operation = ExecuteMultiOperationRequest.Operation(start_workflow=start)
        return ExecuteMultiOperationRequest(namespace=OWN, operations=[operation])

    def completions(namespace: str) -> CompleteTasksRequest:
        completed = RespondActivityTaskCompletedRequest(namespace=namespace)
        completion = TaskCompletion(activity_task_completed=completed)
        return CompleteTasksRequest(namespace=OWN, completions=[completion])

    for make, path in (
        (operations, "operations[0].startWorkflow.namespace"),
        (completions, "completions[0].activityTaskCompleted.namespace"),
    ):
        check(make(OWN))
        check(make(""))
        with pytest.raises(ForeignReference) as refusal:
            check(make(OTHER))
        assert refusal.value.field_path == path


@pytest.mark.parametrize(
    "callback",
    [
        Callback(nexus=Callback.Nexus(url="http://169.254.169.254/")),
        Callback(internal=Callback.Internal(data=b"x")),
    ],
)
def test_a_callback_is_refused(callback: Callback) -> None:
    check(StartWorkflowExecutionRequest(namespace=OWN, completion_callbacks=[Callback()]))
    with pytest.raises(ForeignReference, match=r"completionCallbacks\[0\]\..*not offered"):
        check(StartWorkflowExecutionRequest(namespace=OWN, completion_callbacks=[callback]))


def test_other_names_of_a_namespace_and_nexus_endpoints_are_refused() -> None:
    with pytest.raises(ForeignReference, match="id: is not offered"):
        check(DescribeNamespaceRequest(namespace=OWN, id="id-foreign"))
    attributes = ScheduleNexusOperationCommandAttributes(endpoint="theirs")
    with pytest.raises(ForeignReference, match="endpoint: is not offered"):
        check(completing(Command(schedule_nexus_operation_command_attributes=attributes)))


def test_a_link_is_only_shown_and_may_name_anything() -> None:
    link = Link(workflow_event=Link.WorkflowEvent(namespace=OTHER))
    check(StartWorkflowExecutionRequest(namespace=OWN, links=[link]))
