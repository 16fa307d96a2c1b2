"""A stand-in for Stripe: it speaks Stripe's HTTP, keeps what it is told, and moves no money.

For installations without an account at Stripe, and for tests. `docs/billing.md` says what it
cannot prove.
"""

from __future__ import annotations

from billing.stand_in.server import StandIn

__all__ = ["StandIn"]
