"""What billing refuses, as one tree.

BillingError
├── FactsUnreadable   a row of facts is damaged: collecting stops in front of it
├── UnknownFact       the engine counts what no rule prices: collecting stops in front of it
├── NoPriceList       no price list was in force then
├── PeriodOpen        a month cannot be invoiced before it is over and collected
├── DeliveryDiffers   the payment service has another sum than our invoice
├── UnsignedEvent     what calls itself an event of the payment service is not signed by it
├── PaymentsUnavailable   the payment service cannot be reached now
└── PaymentsRefused   the payment service refuses what we ask
"""

from __future__ import annotations

from datetime import date


class BillingError(Exception):
    """Any refusal by billing."""


class FactsUnreadable(BillingError):
    def __init__(self, cell_id: str, shard_id: int, sequence: int) -> None:
        super().__init__(
            f"facts of cell {cell_id!r}, shard {shard_id}, sequence {sequence} cannot be read; "
            "restore the row from the cell's store, collecting then goes on"
        )
        self.cell_id = cell_id
        self.shard_id = shard_id
        self.sequence = sequence


class UnknownFact(BillingError):
    def __init__(self, kind: str) -> None:
        super().__init__(
            f"fact kind {kind!r} has no rule; add it to billing/actions.py, collecting then goes on"
        )
        self.kind = kind


class NoPriceList(BillingError):
    def __init__(self, plan: str, day: date) -> None:
        super().__init__(
            f"plan {plan!r} has no price list in force on {day}; add one to billing/prices.py"
        )
        self.plan = plan
        self.day = day


class PeriodOpen(BillingError):
    def __init__(self, month: str) -> None:
        super().__init__(
            f"{month} cannot be invoiced yet: wait until it is over and all cells are collected"
        )
        self.month = month


class DeliveryDiffers(BillingError):
    def __init__(self, invoice_id: str, total_cents: int, there_cents: int) -> None:
        super().__init__(
            f"invoice {invoice_id!r} is of {total_cents} cents, but of {there_cents} at the payment"
            " service; it was not sent: correct its items there, sending then goes on"
        )
        self.invoice_id = invoice_id


class UnsignedEvent(BillingError):
    def __init__(self) -> None:
        super().__init__(
            "the event's signature is missing, wrong or too old; send the event as it was signed,"
            " with the secret of this endpoint"
        )


class PaymentsUnavailable(BillingError):
    def __init__(self) -> None:
        super().__init__("the payment service cannot be reached; retry in a minute")


class PaymentsRefused(BillingError):
    """`code` is the service's own, for the operator."""

    def __init__(self, code: str) -> None:
        super().__init__(f"the payment service refuses this ({code}); ask the operator")
        self.code = code
