"""Budgets: what is to be spent in a month, who is told, and what stops when it is spent."""

from __future__ import annotations

from billing.budgets.alerts import Alerts
from billing.budgets.budgets import Budgets, BudgetSpec, BudgetView
from billing.budgets.keeper import BudgetKeeper
from billing.budgets.tables import Budget, DeliveryState
from billing.budgets.webhooks import Webhooks, WebhookSecrets

__all__ = [
    "Alerts",
    "Budget",
    "BudgetKeeper",
    "BudgetSpec",
    "BudgetView",
    "Budgets",
    "DeliveryState",
    "WebhookSecrets",
    "Webhooks",
]
