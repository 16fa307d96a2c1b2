"""Stripe's events: who may tell us, how often, in which order, and what if nobody does."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from billing.errors import PaymentsUnavailable, UnsignedEvent
from billing.stripe import Webhooks
from billing.stripe.customers import payer_of
from billing.stripe.webhooks import EVENT_KEPT_DAYS, SIGNATURE_SECONDS_MAX
from billing.tables import InvoiceState, ProviderEvent
from tenancy import Principal
from tests.billing.payments import MONTH, SECRET, Payments, Wire, after

OTHER_SECRET = "whsec_of_another_endpoint"
NEW_SECRET = "whsec_standin_that_comes_next"
DECLINED_LATER = "4000000000000341"
SIGNED_UP_AT = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
async def world(payments: Payments) -> AsyncIterator[Payments]:
    """With a wire of its own: `world.wire` counts."""
    made = Payments(payments.cloud, payments.stand_in, Wire(payments.wire), payments.database)
    yield made
    await made.connection.aclose()


def wire_of(world: Payments) -> Wire:
    assert isinstance(world.wire, Wire)
    return world.wire


def digest(body: bytes, at: int, secret: str = SECRET) -> str:
    return hmac.digest(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hex()


def signed(world: Payments, body: bytes, *, age: float = 0, secret: str = SECRET) -> str:
    """As Stripe wrote the header so many seconds ago."""
    at = int(world.cloud.clock.now().timestamp() - age)
    return f"t={at},v1={digest(body, at, secret)}"


def event(kind: str = "customer.updated", object_id: str = "cus_none", id: str = "evt_1") -> bytes:
    told = {"id": id, "object": "event", "type": kind, "data": {"object": {"id": object_id}}}
    return json.dumps(told).encode()


def waiting(world: Payments) -> list[bytes]:
    """All that Stripe has to tell, taken off its hands."""
    store = world.stand_in.store
    found = store.waiting(world.cloud.clock.now() + timedelta(days=1))
    for each in found:
        store.taken(each)
    return [each.body.encode() for each in found]


def kind_of(body: bytes) -> str:
    return str(json.loads(body)["type"])


def about(body: bytes) -> str:
    return str(json.loads(body)["data"]["object"]["id"])


async def hear(world: Payments, *bodies: bytes) -> None:
    for body in bodies:
        await world.webhooks.receive(body, signed(world, body))


async def unpaid(world: Payments, email: str = "ada@example.com") -> tuple[Principal, str]:
    """An owner whose card was declined when March was charged, and Stripe's id of the invoice."""
    world.cloud.clock.at = SIGNED_UP_AT
    owner = await world.cloud.owner(email)
    await world.put_card(owner, DECLINED_LATER)
    await world.use(owner.account_id, 1_000_000, namespace_id=email)
    world.cloud.clock.at = after(MONTH)
    await world.closing.close_account(owner.account_id, MONTH)
    there = world.stand_in.store.all("invoice")[0]
    assert await state(world, owner) is InvoiceState.FAILED
    return owner, there["id"]


async def state(world: Payments, owner: Principal) -> InvoiceState:
    (invoice,) = await world.invoices(owner.account_id)
    return invoice.state


def pay_there(world: Payments, invoice_id: str) -> None:
    """Paid at Stripe, by a card that we were not told of."""
    stand_in = world.stand_in
    there = stand_in.store.find(invoice_id)
    assert there is not None
    with stand_in.store.transaction():
        customer = there["customer"]
        card = stand_in.customers.attach_card(customer, "4242424242424242", 2031, 1)
        settings = {"default_payment_method": card["id"]}
        stand_in.customers.update({"invoice_settings": settings}, customer)
        stand_in.invoices.pay({}, invoice_id)


async def only_event_of(world: Payments, kind: str) -> ProviderEvent:
    (kept,) = [each for each in await world.events() if each.kind == kind]
    return kept


async def refused(world: Payments, body: bytes, signature: str) -> None:
    """Nothing of it is kept, and Stripe is not asked."""
    calls = wire_of(world).calls
    with pytest.raises(UnsignedEvent):
        await world.webhooks.receive(body, signature)
    assert wire_of(world).calls == calls
    assert await world.events() == []


async def test_an_event_is_taken_while_its_signature_is_fresh(world: Payments) -> None:
    for age in (-SIGNATURE_SECONDS_MAX, 0, SIGNATURE_SECONDS_MAX - 1, SIGNATURE_SECONDS_MAX):
        body = event(id=f"evt_{age}")
        await world.webhooks.receive(body, signed(world, body, age=age))
    kept = await world.events()
    assert {(it.kind, it.object_id) for it in kept} == {("customer.updated", "cus_none")}
    assert [it.acted_at for it in kept] == [world.cloud.clock.now()] * 4


async def test_a_signature_of_another_time_is_none(world: Payments) -> None:
    body = event()
    for age in (-86_400, -SIGNATURE_SECONDS_MAX - 1, SIGNATURE_SECONDS_MAX + 1, 86_400):
        await refused(world, body, signed(world, body, age=age))


async def test_who_overheard_an_event_cannot_date_it_anew(world: Payments) -> None:
    """A second time in the header: which of them was signed, and which is looked at?"""
    body = event()
    now = int(world.cloud.clock.now().timestamp())
    old = now - 86_400
    for stale in (f"{old}", f"+{old}", f" {old}", f"0{old}", f"{old} ", f"{old:030}", f"{old}_0"):
        v1 = f"v1={digest(body, int(stale))}"
        for header in (
            f"t={stale},t={now},{v1}",
            f"t={now},t={stale},{v1}",
            f"t={now},{v1},t={stale}",
            f"t={stale},{v1},t={now}",
            f"{v1},t={stale},t={now}",
        ):
            await refused(world, body, header)


async def test_what_is_no_signature_of_ours_is_refused(world: Payments) -> None:
    body = event()
    at = int(world.cloud.clock.now().timestamp())
    right = digest(body, at)
    for header in (
        "",
        ",",
        f"t={at}",
        f"v1={right}",
        f"t={at},v0={right}",
        f"t={at},v2={right}",
        f"t={at},v1=",
        f"t={at},v1={right[:-1]}",
        f"t={at},v1={right.upper()}",
        f"t={at},v1=\xe9{right[1:]}",
        f"t=,v1={right}",
        f"t=-{at},v1={right}",
        f"t={'9' * 5_000},v1={right}",
        f"T={at},V1={right}",
        f"t={at},v1={digest(body, at, OTHER_SECRET)}",
        f"t={at},v1={digest(body, at, '')}",
        f"t={at},v1={digest(b'', at)}",
        f"t={at},v1={hmac.digest(SECRET.encode(), body, hashlib.sha256).hex()}",
    ):
        await refused(world, body, header)


async def test_one_good_signature_among_others_is_enough(world: Payments) -> None:
    """As Stripe signs for a test while `v0` is about, or twice while a secret is replaced."""
    body = event()
    at = int(world.cloud.clock.now().timestamp())
    others = f"v0={digest(body, at, OTHER_SECRET)},v1={digest(body, at, OTHER_SECRET)}"
    await world.webhooks.receive(body, f"t={at},{others},v1={digest(body, at)}")
    assert len(await world.events()) == 1


async def test_no_byte_of_an_event_can_be_changed(world: Payments) -> None:
    body = event()
    header = signed(world, body)
    for position in range(len(body)):
        changed = bytearray(body)
        changed[position] ^= 1
        with pytest.raises(UnsignedEvent):
            await world.webhooks.receive(bytes(changed), header)
    for other in (b"", body[:-1], body + b" ", b" " + body, body + b"\0", body + b"\xff"):
        with pytest.raises(UnsignedEvent):
            await world.webhooks.receive(other, header)
    assert await world.events() == []


async def test_no_character_of_a_signature_can_be_changed(world: Payments) -> None:
    body = event()
    header = signed(world, body)
    for position, character in enumerate(header):
        other = "1" if character == "0" else "0"
        with pytest.raises(UnsignedEvent):
            await world.webhooks.receive(body, header[:position] + other + header[position + 1 :])
    assert await world.events() == []


async def test_a_signed_body_that_is_no_event_is_refused(world: Payments) -> None:
    for body in (b"[]", b"{}", b"null", b"1", b'{"id": 1}', b"{", b"\xff", b"\0"):
        await refused(world, body, signed(world, body))


async def test_two_secrets_are_good_while_one_is_replaced(world: Payments) -> None:
    def with_secrets(*secrets: str) -> Webhooks:
        made = Payments(world.cloud, world.stand_in, world.wire, world.database, secrets=secrets)
        return made.webhooks

    first, second, third = (event(id=f"evt_{number}") for number in range(3))
    both = with_secrets(NEW_SECRET, SECRET)
    await both.receive(first, signed(world, first, secret=SECRET))
    await both.receive(second, signed(world, second, secret=NEW_SECRET))
    with pytest.raises(UnsignedEvent):
        await both.receive(third, signed(world, third, secret=OTHER_SECRET))
    replaced = with_secrets(NEW_SECRET)
    with pytest.raises(UnsignedEvent):
        await replaced.receive(third, signed(world, third, secret=SECRET))
    await replaced.receive(third, signed(world, third, secret=NEW_SECRET))
    assert len(await world.events()) == 3


async def test_an_event_that_comes_again_is_acted_upon_once(world: Payments) -> None:
    owner, invoice_id = await unpaid(world)
    waiting(world)
    pay_there(world, invoice_id)
    (body,) = [each for each in waiting(world) if kind_of(each) == "invoice.paid"]
    await hear(world, body)
    assert await state(world, owner) is InvoiceState.PAID
    told = (wire_of(world).calls, await world.cloud.audit_count(owner.account_id))
    header = signed(world, body)
    for _ in range(3):
        await world.webhooks.receive(body, header)
    world.cloud.clock.move(days=3)
    await hear(world, body)
    assert (wire_of(world).calls, await world.cloud.audit_count(owner.account_id)) == told
    await only_event_of(world, "invoice.paid")


async def test_an_event_that_could_not_be_acted_upon_is_when_it_comes_again(
    world: Payments,
) -> None:
    owner, invoice_id = await unpaid(world)
    waiting(world)
    pay_there(world, invoice_id)
    (body,) = [each for each in waiting(world) if kind_of(each) == "invoice.paid"]
    wire_of(world).is_away = True
    for _ in range(2):
        with pytest.raises(PaymentsUnavailable):
            await hear(world, body)
    kept = await only_event_of(world, "invoice.paid")
    assert (kept.acted_at, await state(world, owner)) == (None, InvoiceState.FAILED)
    wire_of(world).is_away = False
    world.cloud.clock.move(hours=1)
    await hear(world, body)
    kept = await only_event_of(world, "invoice.paid")
    assert kept.acted_at == world.cloud.clock.now()
    assert await state(world, owner) is InvoiceState.PAID


async def test_events_in_any_order_lead_to_the_same(world: Payments) -> None:
    """Declined, then paid: each change of an invoice is the first that one account is told of."""
    for number, order in enumerate(([3, 2, 1, 0], [2, 3, 0, 1], [1, 0, 3, 2], [0, 1, 2, 3])):
        owner, invoice_id = await unpaid(world, f"owner-{number}@example.com")
        pay_there(world, invoice_id)
        told = [each for each in waiting(world) if about(each) == invoice_id]
        assert [kind_of(each) for each in told] == [
            "invoice.created",
            "invoice.finalized",
            "invoice.payment_failed",
            "invoice.paid",
        ]
        for position in order:
            await hear(world, told[position])
            # The first to come is enough: Stripe is asked how things are now.
            assert await state(world, owner) is InvoiceState.PAID


async def test_a_card_is_known_whichever_of_its_events_comes_first(world: Payments) -> None:
    for number, step in enumerate((1, -1)):
        owner = await world.cloud.owner(f"owner-{number}@example.com")
        address = await world.customers.open_checkout(
            owner, success="https://x", cancel="https://x"
        )
        with world.stand_in.store.transaction():
            session_id = address.rpartition("/")[2]
            world.stand_in.sessions.complete(session_id, "4242424242424242", 2030, 12)
        told = waiting(world)[::step]
        assert "checkout.session.completed" in map(kind_of, told)
        await hear(world, *told, *waiting(world)[::step])
        async with world.database.reading() as session:
            payer = await payer_of(session, owner.account_id, world.connection.service)
        assert payer is not None
        assert (payer.card_last4, payer.card_expires) == ("4242", "2030-12")


async def test_what_is_not_ours_at_stripe_is_left_alone(world: Payments) -> None:
    """The same account at Stripe may sell other things."""
    owner, _ = await unpaid(world)
    waiting(world)
    told = await world.cloud.audit_count(owner.account_id)
    calls = wire_of(world).calls
    for number, (kind, object_id) in enumerate(
        (
            ("invoice.paid", "in_foreign"),
            ("invoice.payment_failed", ""),
            ("customer.updated", "cus_foreign"),
            ("customer.deleted", "cus_foreign"),
            ("payment_method.attached", "pm_foreign"),
            ("v1.invoice.paid", "in_foreign"),
            ("charge.refunded", "ch_1"),
            ("x" * 300, "y" * 300),
        )
    ):
        await hear(world, event(kind, object_id, f"evt_{number}"))
    assert await world.cloud.audit_count(owner.account_id) == told
    assert wire_of(world).calls == calls
    assert all(kept.acted_at for kept in await world.events())


async def test_an_event_is_forgotten_when_stripe_sends_it_no_more(world: Payments) -> None:
    await hear(world, event())
    world.cloud.clock.move(days=EVENT_KEPT_DAYS)
    await world.webhooks.forget_old()
    assert len(await world.events()) == 1
    world.cloud.clock.move(seconds=1)
    await world.webhooks.forget_old()
    assert await world.events() == []


@pytest.mark.parametrize("end", [InvoiceState.PAID, InvoiceState.VOID])
async def test_an_invoice_is_followed_when_its_events_were_lost(
    world: Payments, end: InvoiceState
) -> None:
    owner, invoice_id = await unpaid(world)
    if end is InvoiceState.PAID:
        pay_there(world, invoice_id)
    else:
        with world.stand_in.store.transaction():
            world.stand_in.invoices.void({}, invoice_id)
    waiting(world)
    await world.follower.follow_open()
    assert await state(world, owner) is end
    told = (wire_of(world).calls, await world.cloud.audit_count(owner.account_id))
    await world.follower.follow_open()
    assert (wire_of(world).calls, await world.cloud.audit_count(owner.account_id)) == told


@pytest.mark.allow_log("invoice_not_followed")
async def test_an_invoice_that_stripe_has_no_more_keeps_no_other_from_being_followed(
    world: Payments,
) -> None:
    owners: list[tuple[Principal, str]] = []
    for name in ("first", "second", "third"):
        owners.append(await unpaid(world, f"{name}@example.com"))
    for _, invoice_id in owners:
        pay_there(world, invoice_id)
    lost = world.stand_in.store.find(owners[1][1])
    assert lost is not None
    # An object that calls itself something else is missing where an invoice is asked for.
    world.stand_in.store.keep(lost | {"object": "nothing"})
    await world.follower.follow_open()
    states: list[Any] = [await state(world, owner) for owner, _ in owners]
    assert states == [InvoiceState.PAID, InvoiceState.FAILED, InvoiceState.PAID]


async def test_following_stops_while_stripe_is_away_and_loses_nothing(world: Payments) -> None:
    owner, invoice_id = await unpaid(world)
    pay_there(world, invoice_id)
    wire_of(world).is_away = True
    with pytest.raises(PaymentsUnavailable):
        await world.follower.follow_open()
    assert await state(world, owner) is InvoiceState.FAILED
    wire_of(world).is_away = False
    await world.follower.follow_open()
    assert await state(world, owner) is InvoiceState.PAID
