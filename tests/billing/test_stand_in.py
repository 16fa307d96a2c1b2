"""The stand-in answers Stripe's own library as Stripe would."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import httpx
import pytest
import stripe

from billing.stand_in import StandIn
from billing.stand_in.events import ATTEMPTS_MAX, EventSender
from billing.stripe import Connection, StripeSettings

KEY = "sk_standin_1"


class World:
    """A stand-in, its clock, and Stripe's client before it."""

    def __init__(self, path: Path | None = None, key: str = KEY) -> None:
        self.at = datetime(2026, 3, 1, tzinfo=UTC)
        self.stand_in = StandIn(
            key=KEY, now=lambda: self.at, token_bytes=Random(str(path)).randbytes, path=path
        )
        self.connection = Connection(
            StripeSettings(key, ()), httpx.ASGITransport(app=self.stand_in), retries_max=2
        )

    async def client(self) -> stripe.StripeClient:
        return (await self.connection.opened()).client

    async def close(self) -> None:
        await self.connection.aclose()
        self.stand_in.close()


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = World()
    yield world
    await world.close()


async def test_parameters_that_the_library_does_not_know_are_refused(world: World) -> None:
    client = await world.client()
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await client.v1.customers.create_async({"nmae": "Ada"})  # type: ignore[arg-type]
    assert refused.value.param == "nmae"
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await client.v1.invoice_items.create_async(
            {"amount": "much", "currency": "usd"}  # type: ignore[arg-type]
        )
    assert refused.value.param == "amount"


async def test_a_key_answers_again_for_a_day_and_only_the_same_request(world: World) -> None:
    client = await world.client()
    options: stripe.RequestOptions = {"idempotency_key": "one"}
    first = await client.v1.customers.create_async({"name": "Ada"}, options)
    world.at += timedelta(hours=23, minutes=59)
    again = await client.v1.customers.create_async({"name": "Ada"}, options)
    assert first.id == again.id
    with pytest.raises(stripe.IdempotencyError):
        await client.v1.customers.create_async({"name": "Eve"}, options)
    world.at += timedelta(minutes=1)
    assert (await client.v1.customers.create_async({"name": "Ada"}, options)).id != first.id


async def test_faults_are_tried_again_with_one_key(world: World) -> None:
    world.stand_in.faults += [500, 503]
    client = await world.client()
    await client.v1.customers.create_async({"name": "Ada"})
    assert len(world.stand_in.store.all("customer")) == 1


async def test_another_key_is_nobody() -> None:
    world = World(key="sk_standin_2")
    with pytest.raises(stripe.AuthenticationError):
        await (await world.client()).v1.customers.create_async({})
    await world.close()


async def test_a_restart_keeps_customers_and_keys(tmp_path: Path) -> None:
    path = tmp_path / "stand-in.db"
    ids = []
    for _ in range(2):
        world = World(path)
        client = await world.client()
        made = await client.v1.customers.create_async({"name": "Ada"}, {"idempotency_key": "one"})
        ids.append((await client.v1.customers.retrieve_async(made.id)).id)
        await world.close()
    assert ids[0] == ids[1]


async def test_lists_come_in_pages(world: World) -> None:
    client = await world.client()
    customer = await client.v1.customers.create_async({})
    made = [(await client.v1.invoices.create_async({"customer": customer.id})).id for _ in range(5)]
    page = await client.v1.invoices.list_async({"customer": customer.id, "limit": 2})
    assert [each.id async for each in page.auto_paging_iter()] == made[::-1]


async def test_a_finalized_invoice_takes_no_items(world: World) -> None:
    client = await world.client()
    customer = await client.v1.customers.create_async({})
    invoice = await client.v1.invoices.create_async({"customer": customer.id, "number": "A-1"})
    with pytest.raises(stripe.InvalidRequestError):
        await client.v1.invoices.create_async({"customer": customer.id, "number": "A-1"})
    item: stripe.params.InvoiceItemCreateParams = {
        "customer": customer.id,
        "invoice": invoice.id,
        "amount": 5,
        "currency": "usd",
    }
    await client.v1.invoice_items.create_async(item)
    done = await client.v1.invoices.finalize_invoice_async(invoice.id, {"auto_advance": False})
    assert (done.status, done.total, done.attempted) == ("open", 5, False)
    with pytest.raises(stripe.InvalidRequestError):
        await client.v1.invoice_items.create_async(item)
    with pytest.raises(stripe.CardError):
        await client.v1.invoices.pay_async(invoice.id)
    told = await client.v1.invoices.retrieve_async(invoice.id)
    assert (told.status, told.attempt_count) == ("open", 1)


async def test_an_event_is_sent_until_it_is_taken(world: World) -> None:
    statuses = [500, 503, 200]
    heard: list[str] = []

    async def take(request: httpx.Request) -> httpx.Response:
        stripe.WebhookSignature.verify_header(
            request.content.decode(), request.headers["stripe-signature"], "s", tolerance=None
        )
        heard.append(request.content.decode())
        return httpx.Response(statuses.pop(0))

    sender = EventSender(
        world.stand_in, secret="s", address="http://us/", transport=httpx.MockTransport(take)
    )
    await (await world.client()).v1.customers.create_async({})
    assert world.stand_in.told.is_set()
    for _ in range(5):
        await sender.send()
        world.at += timedelta(hours=1)
    await sender.aclose()
    assert len(heard) == 3
    assert len(set(heard)) == 1


@pytest.mark.allow_log("event_given_up")
async def test_an_event_that_nobody_ever_takes_is_given_up(world: World) -> None:
    tries = 0

    async def refuse(request: httpx.Request) -> httpx.Response:
        nonlocal tries
        tries += 1
        raise httpx.ConnectError("nobody is there")

    sender = EventSender(
        world.stand_in, secret="s", address="http://us/", transport=httpx.MockTransport(refuse)
    )
    await (await world.client()).v1.customers.create_async({})
    for _ in range(ATTEMPTS_MAX + 3):
        await sender.send()
        world.at += timedelta(hours=2)
    await sender.aclose()
    assert tries == ATTEMPTS_MAX
