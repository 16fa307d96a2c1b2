"""The served OpenAPI document: each of its operations can succeed."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.product.operation_samples import OPENAPI, TEXT, operations, sample_of, send
from tests.product.sample import Sample
from tests.product.stock import Stock, written

WITH_A_WORKER = {"WorkflowService_QueryWorkflow", "WorkflowService_RespondQueryTaskCompleted"}
"""Each needs the other: `test_flow.py` and the test below make them succeed together."""


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
        answer = await send(stock.access, stock, verb, path, sample)
        assert answer.is_success, (operation_id, answer.status_code, answer.text)
        succeeded.add(operation_id)
    succeeded |= await query_together(stock, document)
    assert {operation_id for operation_id, _, _ in listed} == succeeded


async def query_together(stock: Stock, document: Any) -> set[str]:
    """A query and the worker's answer to it, each over its own path of the document."""
    paths = {id: (verb, path) for id, verb, path in operations(document) if id in WITH_A_WORKER}
    workflow_id = await stock.quiet_workflow()
    asked = Sample({"workflow_id": workflow_id, "query_type": "state"}, {})
    asking = asyncio.create_task(
        send(stock.access, stock, *paths["WorkflowService_QueryWorkflow"], asked)
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
        stock.access, stock, *paths["WorkflowService_RespondQueryTaskCompleted"], told
    )
    assert answered.is_success, answered.text
    result = await asking
    assert result.is_success, result.text
    return set(paths)
