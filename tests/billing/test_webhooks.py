"""Alerts reach a webhook at least once, signed, and are given up at last."""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import pytest
import sqlalchemy as sa

from billing.budgets import Budget
from billing.budgets.budgets import TEST_AGAIN_SECONDS
from billing.budgets.tables import DeliveryState, WebhookDelivery
from billing.budgets.webhooks import CLAIM_SECONDS, SECRET_PREFIX, signed_headers
from tenancy import InvalidField, Passwords, RateLimited, User
from tenancy.deliveries import ATTEMPTS_MAX, BACKOFF_SECONDS_MAX, KEPT_DAYS
from tests.billing.budget_world import HOOK, World, open_world


@pytest.fixture
def passwords() -> Iterator[Passwords]:
    passwords = Passwords(token_bytes=Random(1).randbytes, memory_kib=8, passes=1)
    yield passwords
    passwords.close()


@pytest.fixture
async def world(control_url: str, tmp_path: Path, passwords: Passwords) -> AsyncIterator[World]:
    async with open_world(control_url, tmp_path, passwords) as world:
        yield world


async def reached(world: World) -> tuple[Budget, bytes]:
    """A budget of which one alert waits, and its webhook's secret."""
    owner = await world.cloud.owner()
    ref = await world.cloud.namespace(owner)
    budget, secret = await world.create(
        owner, "1.00", ref, thresholds=(80,), webhook_url=HOOK, stops_starts=False
    )
    await world.spend(ref, "0.90")
    await world.keeper.look()
    return budget, base64.b64decode(secret.removeprefix(SECRET_PREFIX))


async def deliveries(world: World) -> list[WebhookDelivery]:
    async with world.cloud.database.reading() as session:
        return list(await session.scalars(sa.select(WebhookDelivery)))


def test_a_signature_is_that_of_the_specification() -> None:
    """Its own example."""
    secret = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    body = b'{"test": 2432232314}'
    at = datetime.fromtimestamp(1614265330, UTC)
    headers = signed_headers("msg_p5jXN8AQM9LWM0D4loKWxJek", at, body, secret)
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


async def test_an_alert_is_signed_and_says_what_was_reached(world: World) -> None:
    budget, secret = await reached(world)
    assert await world.webhooks.deliver() == 1
    ((url, body, headers),) = world.receivers.posted
    assert url == HOOK
    told = json.loads(body)
    assert told["id"] == headers["webhook-id"]
    assert told["type"] == "budget.threshold_reached"
    data = told["data"]
    assert (data["budget_id"], data["month"], data["threshold_percent"]) == (
        budget.id,
        "2026-03",
        80,
    )
    assert (data["amount"], data["spent"], data["currency"]) == ("1.00", "0.90", "USD")
    assert data["starts_stopped"] is False
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = base64.b64encode(hmac.digest(secret, signed, "sha256")).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"


async def test_what_was_accepted_is_not_sent_again(world: World) -> None:
    await reached(world)
    assert await world.webhooks.deliver() == 1
    world.cloud.clock.move(days=1)
    assert await world.webhooks.deliver() == 0
    assert len(world.receivers.posted) == 1


@pytest.mark.parametrize("answer", [0, 302, 400, 404, 410, 500, 503])
async def test_what_is_not_accepted_comes_again_later_with_the_same_id(
    world: World, answer: int
) -> None:
    await reached(world)
    world.receivers.answers = [answer]
    assert await world.webhooks.deliver() == 0
    assert await world.webhooks.deliver() == 0
    assert len(world.receivers.posted) == 1
    world.cloud.clock.move(minutes=1)
    assert await world.webhooks.deliver() == 1
    first, second = world.receivers.posted
    assert first[1] == second[1]
    assert first[2]["webhook-id"] == second[2]["webhook-id"]
    assert first[2]["webhook-timestamp"] != second[2]["webhook-timestamp"]


async def test_an_alert_that_nobody_accepts_is_given_up(world: World) -> None:
    await reached(world)
    world.receivers.answers = [500] * ATTEMPTS_MAX
    for _ in range(ATTEMPTS_MAX + 2):
        await world.webhooks.deliver()
        world.cloud.clock.move(seconds=BACKOFF_SECONDS_MAX)
    assert len(world.receivers.posted) == ATTEMPTS_MAX
    (delivery,) = await deliveries(world)
    assert delivery.state is DeliveryState.FAILED
    assert delivery.problem == "it answered 500"


async def test_a_crash_while_it_is_sent_sends_it_again_with_the_same_id(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await reached(world)
    with monkeypatch.context() as patched:
        patched.setattr(world.webhooks, "call", _crash)
        with pytest.raises(ZeroDivisionError):
            await world.webhooks.deliver()
    assert await world.webhooks.deliver() == 0
    world.cloud.clock.move(seconds=CLAIM_SECONDS)
    assert await world.webhooks.deliver() == 1


async def _crash(*_given: object) -> str:
    raise ZeroDivisionError


async def test_one_receiver_that_fails_keeps_no_other_waiting(world: World) -> None:
    await reached(world)
    bob = await world.cloud.owner("bob@example.com")
    ref = await world.cloud.namespace(bob)
    await world.create(bob, "1.00", ref, thresholds=(80,), webhook_url=HOOK)
    await world.spend(ref, "0.90")
    await world.keeper.look()
    world.receivers.answers = [500]
    assert await world.webhooks.deliver() == 1
    assert len(world.receivers.posted) == 2


async def test_a_webhook_that_was_removed_is_not_called(world: World) -> None:
    budget, _ = await reached(world)
    owner = await world.cloud.principal(await _user_of(world))
    await world.update(owner, budget, "1.00", webhook_url="")
    assert await world.webhooks.deliver() == 0
    assert world.receivers.posted == []
    (delivery,) = await deliveries(world)
    assert delivery.state is DeliveryState.FAILED


async def _user_of(world: World) -> str:

    async with world.cloud.database.reading() as session:
        return (await session.scalars(sa.select(User.id))).one()


async def test_the_secret_is_sealed_and_a_new_one_replaces_it(world: World) -> None:
    budget, secret = await reached(world)
    owner = await world.cloud.principal(await _user_of(world))
    async with world.cloud.control.acting(owner) as session:
        renewed = await world.budgets.renew_secret(session, owner, budget.id)
        stored = await session.get_one(Budget, budget.id)
        assert stored.webhook_secret is not None
        assert secret not in stored.webhook_secret
    await world.webhooks.deliver()
    ((_, body, headers),) = world.receivers.posted
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    key = base64.b64decode(renewed.removeprefix(SECRET_PREFIX))
    expected = base64.b64encode(hmac.digest(key, signed, "sha256")).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"


async def test_a_test_is_made_once_in_a_while(world: World) -> None:
    budget, _ = await reached(world)
    owner = await world.cloud.principal(await _user_of(world))

    async def note() -> None:
        async with world.cloud.control.acting(owner) as session:
            await world.budgets.note_test(session, owner, budget.id)

    await note()
    world.cloud.clock.move(seconds=TEST_AGAIN_SECONDS - 1)
    with pytest.raises(RateLimited):
        await note()
    world.cloud.clock.move(seconds=1)
    await note()


async def test_a_budget_without_webhook_has_none_to_test(world: World) -> None:
    owner = await world.cloud.owner()
    budget, secret = await world.create(owner, "1.00")
    assert secret == ""
    for act in (world.budgets.note_test, world.budgets.renew_secret):
        with pytest.raises(InvalidField, match="webhook"):
            async with world.cloud.control.acting(owner) as session:
                await act(session, owner, budget.id)


async def test_what_ended_long_ago_is_forgotten(world: World) -> None:
    await reached(world)
    await world.webhooks.deliver()
    world.cloud.clock.move(days=KEPT_DAYS, seconds=1)
    bob = await world.cloud.owner("bob@example.com")
    ref = await world.cloud.namespace(bob)
    await world.create(bob, "1.00", ref, thresholds=(80,), webhook_url=HOOK)
    await world.spend(ref, "0.90")
    await world.keeper.look()
    await world.webhooks.deliver()
    assert len(await deliveries(world)) == 1
