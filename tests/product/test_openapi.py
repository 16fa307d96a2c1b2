"""The served OpenAPI document: each operation can succeed, and no request breaks the service."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from tests.control.visitor import PASSWORD
from tests.product.billing_samples import BILLING_SAMPLES
from tests.product.budget_samples import BUDGET_SAMPLES
from tests.product.client import Access, open_account, program
from tests.product.people_samples import PEOPLE_SAMPLES, PUBLIC_LINKS
from tests.product.sample import Make, Sample, of
from tests.product.server import Product
from tests.product.sign_on_samples import SIGN_ON_SAMPLES
from tests.product.stock import Stock, forms, written
from tests.single_sign_on.identity_provider import IdentityProvider

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


async def trusting_namespace(stock: Stock) -> Sample:
    return Sample(query={"namespace": stock.access.namespace})


async def lost_certificate(stock: Stock) -> Sample:
    return Sample(body={"namespace": stock.access.namespace, "fingerprint": "ab" * 32})


async def denied_certificate(stock: Stock) -> Sample:
    lost = {"namespace": stock.access.namespace, "fingerprint": "cd" * 32}
    await stock.access.owner.post("/api/v1/denied-certificates", lost)
    return Sample({"fingerprint": lost["fingerprint"]}, query={"namespace": stock.access.namespace})


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
    "get_client_certificates_api_v1_client_certificates_get": trusting_namespace,
    "deny_certificate_api_v1_denied_certificates_post": lost_certificate,
    "allow_certificate_api_v1_denied_certificates__fingerprint__delete": denied_certificate,
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
WITH_A_WORKER = {"WorkflowService_QueryWorkflow", "WorkflowService_RespondQueryTaskCompleted"}
"""Each needs the other: `test_flow.py` and the test below make them succeed together."""


FOREIGN_NAMES = (
    "{namespace}",
    "{budget_id}",
    "{invoice_id}",
    "{user_id}",
    "{key_id}",
    "{async_operation_id}",
)
NAMED_ELSEWHERE = (
    "WorkflowService_ScanWorkflowExecutions",
    "usage_api_v1_usage_get",
    "get_client_certificates_api_v1_client_certificates_get",
    "deny_certificate_api_v1_denied_certificates_post",
    "allow_certificate_api_v1_denied_certificates__fingerprint__delete",
)
"""These name a namespace in the body or in the query."""

SESSIONS = ("sign_up", "log_in", "log_out", "current_session", *PUBLIC_LINKS)


@asynccontextmanager
async def stocked(
    product: Product, identity_provider: IdentityProvider, secret: str
) -> AsyncIterator[Stock]:
    """A new account with something of everything."""
    access = await open_account(product)
    shop = program(product, access)
    async with shop.http, aclosing(access.owner.http):
        stock = Stock(access, shop, secret, data=product.data, identity_provider=identity_provider)
        await stock.furnish()
        yield stock


@pytest.fixture
async def stock(
    loopback_product: Product, identity_provider: IdentityProvider
) -> AsyncIterator[Stock]:
    async with stocked(loopback_product, identity_provider, "ours alone") as stock:
        yield stock


@pytest.fixture
async def rival_stock(
    loopback_product: Product, identity_provider: IdentityProvider
) -> AsyncIterator[Stock]:
    async with stocked(loopback_product, identity_provider, "canary-51c7d0be94a2f386") as stock:
        yield stock


def operations(document: Any) -> list[tuple[str, str, str]]:
    """(operation id, verb, path) of the whole document."""
    return [
        (operation["operationId"], verb.upper(), path)
        for path, verbs in document["paths"].items()
        for verb, operation in verbs.items()
    ]


async def test_every_operation_of_the_document_succeeds(stock: Stock) -> None:
    document = (await stock.program.http.get(OPENAPI)).json()
    listed = operations(document)
    succeeded = set()
    # The log-out ends the session that others of them need.
    for operation_id, verb, path in sorted(listed, key=lambda each: each[0].startswith("log_out")):
        make = sample_of(operation_id)
        if make is None:
            continue
        sample = await make(stock)
        answer = await send(stock.access, stock.program.http, verb, path, sample)
        assert answer.is_success, (operation_id, answer.status_code, answer.text)
        succeeded.add(operation_id)
    succeeded |= await query_together(stock, document)
    assert {operation_id for operation_id, _, _ in listed} == succeeded


def sample_of(operation_id: str) -> Make | None:
    """A second path of a method has its number behind it."""
    return SAMPLES.get(operation_id) or SAMPLES.get(operation_id.removesuffix("_2"))


async def test_every_operation_hides_and_spares_what_another_account_has(
    stock: Stock, rival_stock: Stock
) -> None:
    """Each call would succeed for the rival."""
    document = (await stock.program.http.get(OPENAPI)).json()
    calls = [
        (operation_id, verb, path, await make(rival_stock))
        for operation_id, verb, path in operations(document)
        if not operation_id.startswith(SESSIONS) and (make := sample_of(operation_id))
    ]
    before = await rival_stock.state()
    for operation_id, verb, path, sample in calls:
        answer = await send(rival_stock.access, stock.program.http, verb, path, sample)
        told = (operation_id, answer.status_code, answer.text)
        if operation_id in NAMED_ELSEWHERE or any(name in path for name in FOREIGN_NAMES):
            assert answer.status_code == 404, told
        assert not any(secret in answer.content for secret in forms(rival_stock.secret)), told
    assert await rival_stock.state() == before


async def send(
    access: Access, http: httpx.AsyncClient, verb: str, path: str, sample: Sample
) -> httpx.Response:
    values = {"namespace": access.namespace, **sample.path}
    body = sample.body
    if body is not None and "{workflow_id}" not in path and "workflow_id" in sample.path:
        body = {**body, "workflowId": sample.path["workflow_id"]}
    filled = path.format(**{name: quote(value, safe="") for name, value in values.items()})
    client = access.owner.http if sample.as_owner else http
    headers = sample.headers
    if headers:
        # What is signed is signed as it is written here.
        content, headers = json.dumps(body), {**headers, "content-type": "application/json"}
        return await client.request(verb, filled, content=content, headers=headers)
    return await client.request(verb, filled, json=body, params=sample.query)


async def query_together(stock: Stock, document: Any) -> set[str]:
    """A query and the worker's answer to it, each over its own path of the document."""
    paths = {id: (verb, path) for id, verb, path in operations(document) if id in WITH_A_WORKER}
    workflow_id = await stock.quiet_workflow()
    http = stock.program.http
    asked = Sample({"workflow_id": workflow_id, "query_type": "state"}, {})
    asking = asyncio.create_task(
        send(stock.access, http, *paths["WorkflowService_QueryWorkflow"], asked)
    )
    task = await stock.poll_workflow(workflow_id)
    assert task.HasField("query"), "a query of a workflow at rest comes in a task of its own"
    body = {
        "taskToken": written(task.task_token),
        "completedType": "QUERY_RESULT_TYPE_ANSWERED",
        "queryResult": TEXT,
    }
    told = Sample({}, body)
    answered = await send(
        stock.access, http, *paths["WorkflowService_RespondQueryTaskCompleted"], told
    )
    assert answered.is_success, answered.text
    result = await asking
    assert result.is_success, result.text
    return set(paths)
