"""What billing refuses, as one tree.

BillingError
├── FactsUnreadable   a row of facts is damaged: collecting stops in front of it
├── UnknownFact       the engine counts what no rule prices: collecting stops in front of it
└── NoPriceList       no price list was in force then
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
