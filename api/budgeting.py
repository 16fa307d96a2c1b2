"""Budgets, put together once, and the steps of upkeep that they need."""

from __future__ import annotations

from api.upkeep import Upkeep
from billing.budgets import Alerts, BudgetKeeper, Budgets, Webhooks, WebhookSecrets
from tenancy import ControlPlane, Database
from tenancy.outgoing import Outgoing
from tenancy.randomness import Now, TokenBytes
from tenancy.sealing import Sealer

LOOK_SECONDS = 10.0
"""With collecting and the feed of changes, starts stop well within a minute of the spending."""

DELIVER_SECONDS = 2.0


class Budgeting:
    """`secret` is the installation's."""

    def __init__(
        self,
        control: ControlPlane,
        database: Database,
        outgoing: Outgoing,
        *,
        secret: bytes,
        now: Now,
        token_bytes: TokenBytes,
        console_address: str,
    ) -> None:
        sealer = Sealer(secret, purpose="budget webhooks", token_bytes=token_bytes)
        secrets = WebhookSecrets(sealer, token_bytes=token_bytes)
        self.alerts = Alerts(
            outbox=control.outbox,
            now=now,
            token_bytes=token_bytes,
            console_address=console_address,
        )
        self.keeper = BudgetKeeper(
            database=database, restrictions=control.restrictions, alerts=self.alerts, now=now
        )
        self.webhooks = Webhooks(database=database, outgoing=outgoing, secrets=secrets, now=now)
        self.budgets = Budgets(
            keeper=self.keeper,
            secrets=secrets,
            outgoing=outgoing,
            audit=control.audit,
            now=now,
            token_bytes=token_bytes,
        )

    def start(self, upkeep: Upkeep) -> None:
        upkeep.every(LOOK_SECONDS, "look_at_budgets", self.keeper.look)
        upkeep.every(DELIVER_SECONDS, "call_webhooks", self.webhooks.deliver)
