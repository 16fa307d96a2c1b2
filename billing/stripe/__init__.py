"""Stripe: customers, cards, delivery of invoices, and what it tells us.

Our rating is the invoice; Stripe collects it. Its library is imported when it is needed first.
"""

from __future__ import annotations

from billing.stripe.connection import Connection, StripeSettings
from billing.stripe.customers import Customers
from billing.stripe.delivery import Delivery
from billing.stripe.follow import Follower
from billing.stripe.webhooks import Webhooks

__all__ = ["Connection", "Customers", "Delivery", "Follower", "StripeSettings", "Webhooks"]
