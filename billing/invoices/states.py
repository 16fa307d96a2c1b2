"""The states of an invoice and the ways between them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from billing.tables import Invoice, InvoiceState

NEXT: Mapping[InvoiceState, frozenset[InvoiceState]] = {
    InvoiceState.DRAFT: frozenset({InvoiceState.FINALIZED}),
    InvoiceState.FINALIZED: frozenset({InvoiceState.SENT}),
    InvoiceState.SENT: frozenset({InvoiceState.PAID, InvoiceState.FAILED, InvoiceState.VOID}),
    InvoiceState.FAILED: frozenset({InvoiceState.PAID, InvoiceState.VOID}),
    InvoiceState.PAID: frozenset(),
    InvoiceState.VOID: frozenset(),
}
"""What may follow each state. An invoice of nothing stays FINALIZED: it is not sent."""


def can_become(invoice: Invoice, state: InvoiceState) -> bool:
    return state in NEXT[invoice.state]


def advance(invoice: Invoice, state: InvoiceState, at: datetime) -> None:
    """Moves the invoice on, in the caller's unit of work."""
    assert can_become(invoice, state), f"{invoice.state} does not become {state}"
    invoice.state = state
    if state is InvoiceState.FINALIZED:
        invoice.finalized_at = at
    elif state is InvoiceState.SENT:
        invoice.sent_at = at
    elif state is InvoiceState.FAILED:
        invoice.failed_at = at
    else:
        invoice.failed_at = None
        invoice.paid_at = at if state is InvoiceState.PAID else None
