"""What each operation of the served OpenAPI document takes to succeed, and how it is called."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import httpx

from tests.control.visitor import PASSWORD
from tests.product.billing_samples import BILLING_SAMPLES
from tests.product.budget_samples import BUDGET_SAMPLES
from tests.product.certificate_samples import CERTIFICATE_SAMPLES
from tests.product.client import Access
from tests.product.people_samples import PEOPLE_SAMPLES
from tests.product.sample import Make, Sample, of
from tests.product.sign_on_samples import SIGN_ON_SAMPLES
from tests.product.stock import Stock

OPENAPI = "/api/v1/openapi.json"
SHORT_WAIT = {"timeout": "0.1"}
VALID = {"workflowType": {"name": "Order"}, "taskQueue": {"name": "walk"}}
TEXT = {"payloads": [{"metadata": {"encoding": "anNvbi9wbGFpbg=="}, "data": "MQ=="}]}


def of_workflow(body: Any = None, **path: str) -> Make:
    """A call to a workflow that is waiting."""

    async def make(stock: Stock) -> Sample:
        return Sample({"workflow_id": await stock.quiet_workflow(), **path}, body)

    return make


def of_workflow_task(**body: Any) -> Make:
    async def make(stock: Stock) -> Sample:
        return Sample({}, {"taskToken": await stock.workflow_task(), **body})

    return make


def of_activity(*, is_cancelled: bool = False, **body: Any) -> Make:
    async def make(stock: Stock) -> Sample:
        _, token = await stock.activity(is_cancelled=is_cancelled)
        return Sample({}, {"taskToken": token, **body})

    return make


def of_activity_by_id(*, is_cancelled: bool = False, **body: Any) -> Make:
    """Both paths: one names the workflow, the other leaves it to the body."""

    async def make(stock: Stock) -> Sample:
        workflow_id, _ = await stock.activity(is_cancelled=is_cancelled)
        return Sample({"workflow_id": workflow_id, "activity_id": "1"}, body)

    return make


async def closed(stock: Stock) -> Sample:
    return Sample({"workflow_id": await stock.closed_workflow()})


async def complete_tasks(stock: Stock) -> Sample:
    _, token = await stock.activity()
    return Sample({}, {"completions": [{"activityTaskCompleted": {"taskToken": token}}]})


async def known_key(stock: Stock) -> Sample:
    return Sample({"key_id": stock.known["key_id"]})


async def changed_key(stock: Stock) -> Sample:
    path = f"/cloud/api-keys/{stock.known['key_id']}"
    key = (await stock.access.owner.get(path))["apiKey"]
    spec = {**key["spec"], "displayName": "changed"}
    body = {"spec": spec, "resourceVersion": key["resourceVersion"]}
    return Sample({"key_id": stock.known["key_id"]}, body)


async def new_key(stock: Stock) -> Sample:
    owner = stock.access.owner
    made = await owner.post("/cloud/api-keys", {"spec": {"displayName": "gone"}})
    key = (await owner.get(f"/cloud/api-keys/{made['keyId']}"))["apiKey"]
    query = {"resourceVersion": key["resourceVersion"]}
    return Sample({"key_id": made["keyId"]}, query=query)


async def changed_namespace(stock: Stock) -> Sample:
    name = await stock.access.owner.namespace("changing")
    namespace = (await stock.access.owner.get(f"/cloud/namespaces/{name}"))["namespace"]
    spec = {**namespace["spec"], "retentionDays": 9}
    body = {"spec": spec, "resourceVersion": namespace["resourceVersion"]}
    return Sample({"namespace": name}, body)


async def new_namespace(stock: Stock) -> Sample:
    name = await stock.access.owner.namespace("going")
    namespace = (await stock.access.owner.get(f"/cloud/namespaces/{name}"))["namespace"]
    query = {"resourceVersion": namespace["resourceVersion"]}
    return Sample({"namespace": name}, query=query)


async def known_user(stock: Stock) -> Sample:
    return Sample({"user_id": stock.known["user_id"]})


async def known_operation(stock: Stock) -> Sample:
    return Sample({"async_operation_id": stock.known["async_operation_id"]})


async def some_region(stock: Stock) -> Sample:
    regions = (await stock.access.owner.get("/cloud/regions"))["regions"]
    return Sample({"region": regions[0]["id"]})


async def added_attribute(stock: Stock) -> Sample:
    path = stock.program.below("/search-attributes")
    attributes = {"Going": "INDEXED_VALUE_TYPE_KEYWORD"}
    await stock.access.owner.post(path, {"searchAttributes": attributes})
    return Sample({}, {"searchAttributes": ["Going"]})


async def scanned(stock: Stock) -> Sample:
    return Sample(body={"namespace": stock.access.namespace})


async def own_usage(stock: Stock) -> Sample:
    return Sample(query={"namespace": stock.access.namespace})


async def credentials(stock: Stock) -> Sample:
    owner = stock.access.owner
    return Sample(body={"email": owner.email, "password": PASSWORD})


WORKFLOW_SAMPLES: dict[str, Make] = {
    "DescribeNamespace": of(Sample()),
    "StartWorkflowExecution": of(Sample({"workflow_id": "walk"}, VALID)),
    "DeleteWorkflowExecution": closed,
    "DescribeWorkflowExecution": of_workflow(),
    "GetWorkflowExecutionHistory": of_workflow(),
    "GetWorkflowExecutionHistoryReverse": of_workflow(),
    "PollWorkflowTaskQueue": of(Sample({"task_queue": "idle"}, {}, SHORT_WAIT)),
    "PollActivityTaskQueue": of(Sample({"task_queue": "idle"}, {}, SHORT_WAIT)),
    "RespondWorkflowTaskCompleted": of_workflow_task(),
    "RespondWorkflowTaskFailed": of_workflow_task(failure={"message": "a bug"}),
    "RecordActivityTaskHeartbeat": of_activity(details=TEXT),
    "RecordActivityTaskHeartbeatById": of_activity_by_id(details=TEXT),
    "RespondActivityTaskCompleted": of_activity(result=TEXT),
    "RespondActivityTaskCompletedById": of_activity_by_id(result=TEXT),
    "RespondActivityTaskFailed": of_activity(failure={"message": "no"}),
    "RespondActivityTaskFailedById": of_activity_by_id(failure={"message": "no"}),
    "RespondActivityTaskCanceled": of_activity(is_cancelled=True),
    "RespondActivityTaskCanceledById": of_activity_by_id(is_cancelled=True),
    "RequestCancelWorkflowExecution": of_workflow({}),
    "SignalWorkflowExecution": of_workflow({"input": TEXT}, signal_name="add"),
    "SignalWithStartWorkflowExecution": of_workflow(VALID, signal_name="add"),
    "TerminateWorkflowExecution": of_workflow({}),
    "ListWorkflowExecutions": of(Sample()),
    "ScanWorkflowExecutions": scanned,
    "CountWorkflowExecutions": of(Sample()),
    "ResetStickyTaskQueue": of_workflow({}),
    "ShutdownWorker": of(Sample(body={"stickyTaskQueue": "gone", "identity": "walk"})),
    "DescribeTaskQueue": of(Sample({"task_queue": "walk"})),
    "GetSystemInfo": of(Sample()),
}
OTHER_SAMPLES: dict[str, Make] = {
    "TaskService_PollTasks": of(
        Sample({"task_queue": "idle"}, {"activityTaskCountMax": 1}, SHORT_WAIT)
    ),
    "TaskService_CompleteTasks": complete_tasks,
    "TaskService_ListTaskQueues": of(Sample()),
    "TaskService_ListRunSummaries": of(Sample()),
    "OperatorService_AddSearchAttributes": of(
        Sample(body={"searchAttributes": {"City": "INDEXED_VALUE_TYPE_KEYWORD"}})
    ),
    "OperatorService_ListSearchAttributes": of(Sample()),
    "OperatorService_RemoveSearchAttributes": added_attribute,
    "CloudService_GetCurrentIdentity": of(Sample()),
    "CloudService_GetUsers": of(Sample()),
    "CloudService_GetUser": known_user,
    "CloudService_GetAsyncOperation": known_operation,
    "CloudService_CreateNamespace": of(
        Sample(body={"spec": {"name": "walked", "retentionDays": 1}})
    ),
    "CloudService_GetNamespaces": of(Sample()),
    "CloudService_GetNamespace": of(Sample()),
    "CloudService_UpdateNamespace": changed_namespace,
    "CloudService_DeleteNamespace": new_namespace,
    "CloudService_GetRegions": of(Sample()),
    "CloudService_GetRegion": some_region,
    "CloudService_GetApiKeys": of(Sample()),
    "CloudService_CreateApiKey": of(Sample(body={"spec": {"displayName": "walked"}})),
    "CloudService_GetApiKey": known_key,
    "CloudService_UpdateApiKey": changed_key,
    "CloudService_DeleteApiKey": new_key,
    "CloudService_GetUsage": of(Sample()),
    "CloudService_GetAccount": of(Sample()),
    "sign_up_api_v1_sign_up_post": credentials,
    "log_in_api_v1_login_post": credentials,
    "current_session_api_v1_session_get": of(Sample(as_owner=True)),
    "create_scoped_key_api_v1_api_keys_post": of(
        Sample(body={"name": "walked", "account_permission": "read"})
    ),
    **CERTIFICATE_SAMPLES,
    **BILLING_SAMPLES,
    **BUDGET_SAMPLES,
    **PEOPLE_SAMPLES,
    **SIGN_ON_SAMPLES,
    "cost_api_v1_usage_cost_get": of(Sample()),
    "series_api_v1_usage_series_get": of(Sample(query={"from": "490896", "to": "490920"})),
    "usage_api_v1_usage_get": own_usage,
    "metrics_v1_metrics_get": of(Sample()),
    "descriptors_v1_descriptors_get": of(Sample()),
    "log_out_api_v1_logout_post": of(Sample(as_owner=True)),
}
SAMPLES = {
    **{f"WorkflowService_{name}": make for name, make in WORKFLOW_SAMPLES.items()},
    **OTHER_SAMPLES,
}


def operations(document: Any) -> list[tuple[str, str, str]]:
    """(operation id, verb, path) of the whole document."""
    return [
        (operation["operationId"], verb.upper(), path)
        for path, verbs in document["paths"].items()
        for verb, operation in verbs.items()
    ]


def sample_of(operation_id: str) -> Make | None:
    """A second path of a method has its number behind it."""
    return SAMPLES.get(operation_id) or SAMPLES.get(operation_id.removesuffix("_2"))


async def send(
    named: Access, caller: Stock, verb: str, path: str, sample: Sample
) -> httpx.Response:
    """The operation on what `named` has, asked for by the caller's program or browser."""
    values = {"namespace": named.namespace, **sample.path}
    body = sample.body
    if body is not None and "{workflow_id}" not in path and "workflow_id" in sample.path:
        body = {**body, "workflowId": sample.path["workflow_id"]}
    filled = path.format(**{name: quote(value, safe="") for name, value in values.items()})
    client = caller.access.owner.http if sample.as_owner else caller.program.http
    headers = sample.headers
    if headers:
        # What is signed is signed as it is written here.
        content, headers = json.dumps(body), {**headers, "content-type": "application/json"}
        return await client.request(verb, filled, content=content, headers=headers)
    return await client.request(verb, filled, json=body, params=sample.query)
