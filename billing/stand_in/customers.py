"""Customers and their cards."""

from __future__ import annotations

import re
from typing import Any

from billing.stand_in.desk import StandInDesk
from billing.stand_in.refusal import Refusal, declined
from billing.stand_in.store import Object

DECLINED_AT_ONCE = "4000000000000002"
DECLINED_LATER = "4000000000000341"
"""Stripe's own numbers for tests: the first cannot be kept, the second is declined when charged."""

SEARCH = re.compile(r"metadata\['(\w+)'\]:'([^']*)'")
BRANDS = {"4": "visa", "5": "mastercard", "3": "amex"}


class StandInCustomers:
    def __init__(self, desk: StandInDesk) -> None:
        self._desk = desk

    def create(self, fields: dict[str, Any]) -> Object:
        settings = {"default_payment_method": None, **fields.pop("invoice_settings", {})}
        made = self._desk.make(
            "cus",
            "customer",
            **{"email": None, "name": None, "metadata": {}, **fields},
            invoice_settings=settings,
        )
        self._desk.tell("customer.created", made)
        return made

    def update(self, fields: dict[str, Any], id: str) -> Object:
        found = self._desk.get("customer", id)
        settings = fields.pop("invoice_settings", {})
        if method_id := settings.get("default_payment_method"):
            method = self._desk.get("payment_method", method_id)
            if method["customer"] != id:
                raise Refusal(400, "The customer does not have this payment method.")
        found |= fields
        found["invoice_settings"] |= settings
        self._desk.store.keep(found)
        self._desk.tell("customer.updated", found)
        return found

    def retrieve(self, fields: dict[str, Any], id: str) -> Object:
        found = self._desk.get("customer", id)
        if "invoice_settings.default_payment_method" in fields.get("expand", ()):
            method_id = found["invoice_settings"]["default_payment_method"]
            if method_id:
                method = self._desk.get("payment_method", method_id)
                found["invoice_settings"]["default_payment_method"] = method
        return found

    def search(self, fields: dict[str, Any]) -> Object:
        asked = SEARCH.fullmatch(fields["query"])
        if asked is None:
            raise Refusal(400, "The stand-in searches by one key of the metadata.", param="query")
        key, value = asked.groups()
        found = [
            each for each in self._desk.store.all("customer") if each["metadata"].get(key) == value
        ]
        return {
            "object": "search_result",
            "data": found[: fields.get("limit", 10)],
            "has_more": False,
            "url": "/v1/customers/search",
        }

    def attach_card(self, customer_id: str, number: str, year: int, month: int) -> Object:
        """The card as a payment method of the customer. Raises Refusal."""
        if number == DECLINED_AT_ONCE:
            raise declined()
        method = self._desk.make(
            "pm",
            "payment_method",
            type="card",
            customer=customer_id,
            card={
                "brand": BRANDS.get(number[0], "unknown"),
                "last4": number[-4:],
                "exp_year": year,
                "exp_month": month,
            },
        )
        self._desk.tell("payment_method.attached", method)
        return method

    def charges(self, customer_id: str) -> bool:
        """Whether a charge of the customer's card succeeds."""
        customer = self._desk.get("customer", customer_id)
        method_id = customer["invoice_settings"]["default_payment_method"]
        if method_id is None:
            return False
        method = self._desk.get("payment_method", method_id)
        return bool(method["card"]["last4"] != DECLINED_LATER[-4:])
