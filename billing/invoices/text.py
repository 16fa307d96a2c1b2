"""How invoices are written for people."""

from __future__ import annotations

from decimal import Decimal

from billing.rating import CENT


def invoice_number(number: int) -> str:
    return f"INV-{number:06d}"


def amount_of(cents: int) -> Decimal:
    return cents * CENT
