"""The generated code is that of proto/, and its messages are linked with the published ones."""

from __future__ import annotations

import runpy
from pathlib import Path

from google.api import annotations_pb2
from google.protobuf.descriptor import ServiceDescriptor
from temporalio.api.workflowservice.v1 import (
    PollWorkflowTaskQueueResponse,
    RespondActivityTaskFailedRequest,
    RespondActivityTaskFailedResponse,
)

from engine.handlers import handler
from engine.protocol import cell_pb2, tasks_pb2
from engine.protocol.tasks_pb2 import PollTasksResponse, TaskCompletion, TaskCompletionResult
from tests.house.tree import ROOT, product_files

TASK_SERVICE: ServiceDescriptor = tasks_pb2.DESCRIPTOR.services_by_name["TaskService"]
CELL_SERVICE: ServiceDescriptor = cell_pb2.DESCRIPTOR.services_by_name["CellService"]


def test_generating_again_changes_nothing(tmp_path: Path) -> None:
    committed = {
        path.name: path.read_text()
        for path in (ROOT / "engine/protocol").iterdir()
        if "_pb2" in path.name and path.is_file()
    }
    written = runpy.run_path(str(ROOT / "proto/generate.py"))["generate"](tmp_path)
    assert {path.name: path.read_text() for path in written} == committed, "run `./dev proto`"


def test_a_polled_task_is_the_published_message() -> None:
    polled = PollTasksResponse(workflow_tasks=[PollWorkflowTaskQueueResponse(task_token=b"t")])
    task = PollTasksResponse.FromString(polled.SerializeToString()).workflow_tasks[0]
    assert isinstance(task, PollWorkflowTaskQueueResponse)
    assert task.task_token == b"t"


def test_a_completion_and_its_result_are_the_published_messages() -> None:
    completion = TaskCompletion(
        activity_task_failed=RespondActivityTaskFailedRequest(task_token=b"t")
    )
    assert isinstance(completion.activity_task_failed, RespondActivityTaskFailedRequest)
    result = TaskCompletionResult(activity_task_failed=RespondActivityTaskFailedResponse())
    assert result.WhichOneof("result") == completion.WhichOneof("completion")


def test_the_public_calls_have_paths_below_their_namespace_and_the_internal_ones_none() -> None:
    for method in TASK_SERVICE.methods:
        rule = method.GetOptions().Extensions[annotations_pb2.http]
        assert (rule.get or rule.post).startswith("/api/v1/namespaces/{namespace}/")
    for method in CELL_SERVICE.methods:
        assert not method.GetOptions().HasExtension(annotations_pb2.http)


def test_every_request_is_named_after_its_call() -> None:
    for method in (*TASK_SERVICE.methods, *CELL_SERVICE.methods):
        assert method.input_type.name == f"{method.name}Request"
        assert method.output_type.name == f"{method.name}Response"


def test_the_cell_s_internal_service_is_spelled_in_one_place() -> None:
    assert handler.TASK_SERVICE == f"{TASK_SERVICE.full_name}."
    assert handler.CELL_SERVICE == f"{CELL_SERVICE.full_name}."
    spelled = [
        path
        for path in product_files(".py")
        if path.startswith(("api/", "engine/"))
        and not path.endswith("_pb2.py")
        and CELL_SERVICE.full_name in (ROOT / path).read_text()
    ]
    assert spelled == ["engine/handlers/handler.py"]
