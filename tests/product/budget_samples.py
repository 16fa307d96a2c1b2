"""What the operations of budgets take to succeed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.product.sample import Make, Sample, of
from tests.product.stock import Stock

PATH = "/api/v1/budgets"
WANTED = {"name": "ours", "amount": "250.00", "webhook_url": "https://127.0.0.1/"}


async def known(stock: Stock) -> Any:
    """The budget of the namespace; it is made if it is not there."""
    owner, namespace = stock.access.owner, stock.access.namespace
    for budget in (await owner.get(PATH))["budgets"]:
        if budget["namespace"] == namespace:
            return budget
    made = await owner.post(PATH, {**WANTED, "name": stock.secret, "namespace": namespace})
    return made["budget"]


async def one(stock: Stock) -> Sample:
    return Sample({"budget_id": (await known(stock))["id"]})


async def changed(stock: Stock) -> Sample:
    budget = await known(stock)
    body = {**WANTED, "name": stock.secret, "resource_version": budget["resource_version"]}
    return Sample({"budget_id": budget["id"]}, body)


async def deleted(stock: Stock) -> Sample:
    budget = await known(stock)
    version = str(budget["resource_version"])
    return Sample({"budget_id": budget["id"]}, query={"resource_version": version})


BUDGET_SAMPLES: Mapping[str, Make] = {
    "show_all_api_v1_budgets_get": of(Sample()),
    "create_api_v1_budgets_post": of(Sample(body=WANTED)),
    "show_api_v1_budgets__budget_id__get": one,
    "update_api_v1_budgets__budget_id__put": changed,
    "renew_secret_api_v1_budgets__budget_id__webhook_secret_post": one,
    "test_webhook_api_v1_budgets__budget_id__webhook_test_post": one,
    "delete_api_v1_budgets__budget_id__delete": deleted,
}
